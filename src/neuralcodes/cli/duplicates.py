"""`neuralcodes duplicates`: exact copies and near-duplicates."""

from __future__ import annotations

from typing import Annotated

import typer

from neuralcodes.cli import collections, options


def duplicates(
    collection: collections.Where,
    threshold: Annotated[
        float | None,
        typer.Option(help="Distance up to which two count as the same [measured once]."),
    ] = None,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Measure the threshold again.")
    ] = False,
    flip: Annotated[
        bool, typer.Option("--flip", help="When measuring: a mirrored picture is the same.")
    ] = False,
    not_duplicates: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B",
            help="Remember that these two are different; they are not shown together again.",
        ),
    ] = None,
    code: collections.Code = None,
    device: options.Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="One JSON line a group.")] = False,
    html: collections.Html = None,
    open_: collections.Open = False,
) -> None:
    """List groups of pictures that are the same, or nearly, with the one to keep first."""
    from neuralcodes.collection.collection import Collection

    with Collection.open(collection, code=code, device=device) as opened:
        if not_duplicates is not None:
            opened.not_duplicates(*not_duplicates)
            typer.echo(f"remembered: {not_duplicates[0]} and {not_duplicates[1]} are different")
            return
        found = opened.duplicates(threshold, recalibrate=recalibrate, flip=flip)
        if json:
            for group in found.groups:
                collections.say(group.to_json())
        else:
            for number, group in enumerate(found.groups, start=1):
                apart = "same bytes" if group.kind == "exact" else f"distance {group.distance:.4f}"
                typer.echo(f"{number}. {apart}; keep the first: {group.reason}")
                for image in group.images:
                    size = f"{image.width}×{image.height}"
                    typer.echo(f"   id:{image.id}  {size}  {collections.shown_path(image.path)}")
            typer.echo(found.summary(), err=bool(found.groups))
        if html is not None or open_:
            collections.sheet(found.to_html(), html, open_, "duplicates.html")
