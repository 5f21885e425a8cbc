"""`neuralcodes info`: a collection in figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from neuralcodes.cli import collections

if TYPE_CHECKING:
    from neuralcodes.collection.describing import Info


def info(
    collection: collections.Where,
    bad: Annotated[
        bool, typer.Option("--bad", help="List the files without a code, and why.")
    ] = False,
    json: collections.Json = False,
) -> None:
    """Show how many images a collection has, its code, its size and its index's measured recall."""
    from neuralcodes.collection.collection import Collection

    with Collection.open(collection) as opened:
        if bad:
            for path, reason in opened.bad():
                if json:
                    collections.say({"path": path, "reason": reason})
                else:
                    typer.echo(f"{path}: {reason}")
            return
        about = opened.info()
        if json:
            collections.say(about.to_json())
        else:
            typer.echo("\n".join(f"{name:<10}  {text}" for name, text in _lines(about)))


def _lines(about: Info) -> list[tuple[str, str]]:
    size = collections.size
    copies = about.images - about.contents
    total = sum(about.bytes.values())
    parts = ", ".join(
        f"{name} {size(amount)} or {about.parts_per_image[name]:.0f} an image"
        for name, amount in about.bytes.items()
        if amount
    )
    lines = [
        ("images", f"{about.images:,}" + (f" ({copies:,} of them exact copies)" if copies else "")),
        ("bad", f"{about.bad:,}" + (" (list them with --bad)" if about.bad else "")),
        (
            "code",
            f"{about.code} ({about.fingerprint}), {about.dims} dimensions, {about.code_bytes:,} "
            f"bytes as {about.dtype}",
        ),
        ("size", f"{size(total)}, {about.bytes_per_image:.0f} bytes an image: {parts}"),
        ("index", f"{about.index['backend']}: {about.index['reason']}"),
        ("recall", _recall(about)),
    ]
    if about.removed_codes:
        lines.append(("removed", f"{about.removed_codes:,} codes still take room (compact)"))
    if about.calibration:
        found = about.calibration
        lines.append((
            "duplicates",
            f"within {found['threshold']:.4f}: finds {found['found']:.0%} of altered copies, "
            f"takes {found['false_rate']:.2g} of different pairs for duplicates",
        ))  # fmt: skip
    if about.probability:
        known = about.probability
        lines.append((
            "matches",
            f"probability that a result {known['match']} ({known['method']}, {known['date'][:10]}, "
            f"on {known['count']:,} images): off by {known['ece']['value']:.3f} on held-out "
            f"{known['held_out']}" + (f"; {known['stale']}" if known["stale"] else ""),
        ))  # fmt: skip
    if about.columns:
        lines.append(("columns", ", ".join(about.columns)))
    return lines + [("from", f"{root['path']} ({root['kind']})") for root in about.roots]


def _recall(about: Info) -> str:
    measured = about.index["recall"]
    if measured is None:
        return "1 (exact search)"
    kept = "promise kept" if measured["met"] else "PROMISE NOT KEPT"
    return (
        f"{measured['mean']:.4f} ({measured['low']:.4f} to {measured['high']:.4f}) of the "
        f"{measured['k']} nearest, on {measured['queries']} held-out queries at "
        f"{measured['count']:,} codes; promised {measured['target']}: {kept}"
    )
