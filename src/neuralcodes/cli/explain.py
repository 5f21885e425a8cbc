"""`neuralcodes explain`: which regions of two pictures carry their similarity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuralcodes.cli import collections, options
from neuralcodes.common.errors import UserError

if TYPE_CHECKING:
    from neuralcodes.codes.explaining import Explainer, Explanation


LARGEST = 2_000_000  # bytes of the picture; a smaller limit would cost colours


def explain(
    query: Annotated[
        str, typer.Argument(help="A file or ARCHIVE/NAME; with --collection also id:N.")
    ],
    result: Annotated[str, typer.Argument(help="What it matched, likewise.")],
    code: Annotated[
        str | None,
        typer.Option(
            help="The code that compares them, for instance runs/reference@L7; with "
            "--collection, where its network is now."
        ),
    ] = None,
    collection: Annotated[
        Path | None, typer.Option(help="Compare by this collection's code.")
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Whose map is shown, any convolutional layer at or before the code's.",
            show_default="the deepest",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The picture to write, a .png file.")] = Path(
        "explanation.png"
    ),
    check: Annotated[
        bool,
        typer.Option("--check", help="Also cover the hottest region, and others, and compare."),
    ] = False,
    device: options.Device = "auto",
    json: collections.Json = False,
) -> None:
    """Show on two pictures which regions make them similar, as heat maps in one picture."""
    from neuralcodes.common.files import atomic_write
    from neuralcodes.reports.explanation import below, explanation_figure, summary
    from neuralcodes.reports.style import png_bytes

    if out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: give a name that ends in .png")
    explained, explainer = _explain(query, result, code, collection, layer, device)
    names = (Path(query).name, Path(result).name)
    with atomic_write(out) as file:
        file.write(
            png_bytes(explanation_figure(explained, names), {"Code": explained.code}, LARGEST)
        )
    checks = _check(explainer, explained) if check else {}
    if json:
        collections.say({**explained.to_json(), **checks, "file": str(out)})
        return
    typer.echo(summary(explained))
    typer.echo(below(explained))
    for name, found in checks.items():
        typer.echo(
            f"{name.replace('_', ' ')}: covering the hottest window lowers the similarity by "
            f"{found['hottest']:.4f}, others by {found['others']:.4f} on average; it beats "
            f"{100 * found['beats']:.0f} % of them"
        )
    typer.echo(f"picture: {out}")


def _explain(
    query: str, result: str, code: str | None, collection: Path | None, layer: str | None,
    device: str,
) -> tuple[Explanation, Explainer]:  # fmt: skip
    if collection is not None:
        from neuralcodes.collection.collection import Collection

        with Collection.open(collection, code=code, device=device) as opened:
            return opened.explain(query, result, layer=layer), opened.explainer()
    if code is None:
        raise UserError("--code or --collection: say by what they are compared")
    from neuralcodes.experiments.explaining import explain_with, open_explainer

    explainer = open_explainer(code, device)
    return explain_with(explainer, code, query, result, layer), explainer


def _check(explainer: Explainer, explained: Explanation) -> dict[str, dict[str, float]]:
    from neuralcodes.codes.explaining import occlude

    found = {}
    for name, on_query in (("on_the_query", True), ("on_the_result", False)):
        covered = occlude(explainer, explained, on_query=on_query)
        found[name] = {
            "hottest": covered.drop,
            "others": float(covered.others.mean()),
            "beats": covered.beats,
        }
    return found
