"""`neuralcodes calibrate`: from distances to the probability that two images match."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuralcodes.cli import collections, options
from neuralcodes.common.errors import UserError

if TYPE_CHECKING:
    from neuralcodes.codes.probability import MatchProbability


def calibrate(
    target: Annotated[
        Path,
        typer.Argument(metavar="COLLECTION|CODES", help="A collection, or codes or RUN@LAYER."),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            help="What matches has the same: a column of the collection, such as label (the "
            "folder); for codes a CSV file with the columns name and class.",
            show_default="label, or for codes their class folders",
        ),
    ] = None,
    views: Annotated[
        bool,
        typer.Option("--views", help="Without labels: what matches is the same picture, altered."),
    ] = False,
    method: Annotated[str, typer.Option(help="isotonic or logistic.")] = "isotonic",
    queries: Annotated[int, typer.Option(help="Search by so many at most.")] = 2000,
    depth: Annotated[
        int, typer.Option(help="Look at so many results of each, as many as you look at.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    use: Annotated[
        Path | None,
        typer.Option(help="Measure nothing; take this calibration of the same code over."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="For codes: the file to write, not that beside them.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a reliability plot: .png or .html.")
    ] = None,
    code: collections.Code = None,
    device: options.Device = "auto",
    json: collections.Json = False,
) -> None:
    """Learn how likely a search result matches, by its distance; searches show it from then on."""
    from neuralcodes.codes.probability import parse_method
    from neuralcodes.collection.store import is_collection

    if plot is not None and plot.suffix.lower() not in (".png", ".html"):
        raise UserError(f"--plot {plot}: give a name that ends in .png or .html")
    if queries < 1 or depth < 1:
        raise UserError(f"--queries {queries} --depth {depth}: give numbers above 0")
    how = parse_method(method)
    if is_collection(target):
        from neuralcodes.codes.probability import load_probability, probability_file
        from neuralcodes.collection.collection import Collection

        if out is not None:
            raise UserError("--out: goes with codes; a collection keeps its calibration itself")
        with Collection.open(target, code=code, device=device) as opened:
            if use is not None:
                known = load_probability(use)
                opened.use_probability(known)
            else:
                known = opened.calibrate_distances(
                    labels, views=views, method=how, queries=queries, depth=depth, seed=seed
                )
            file = probability_file(opened.path, opened.spec)
    else:
        from neuralcodes.experiments.calibrating import Calibrating, calibrate_codes

        if views or use is not None:
            raise UserError("--views and --use: go with a collection; codes need labels")
        known, file = calibrate_codes(
            Calibrating(target, Path(labels) if labels else None, how, depth, queries, seed, out)
        )
    _plot(known, plot)
    _show(known, file, json)


def _plot(known: MatchProbability, plot: Path | None) -> None:
    from neuralcodes.common.files import atomic_write, write_text
    from neuralcodes.reports.reliability import reliability_figure, reliability_page
    from neuralcodes.reports.style import png_bytes

    if plot is None:
        return
    if plot.suffix.lower() == ".html":
        write_text(plot, reliability_page(known))
        return
    about = {"Code": f"{known.spec.name} ({known.spec.fingerprint()})"}
    with atomic_write(plot) as file:
        file.write(png_bytes(reliability_figure(known), about))


def _show(known: MatchProbability, file: Path, as_json: bool) -> None:
    from neuralcodes.reports.reliability import figures_of, verdict

    if as_json:
        collections.say({**known.to_json(), "file": str(file)})
        return
    typer.echo(verdict(known))
    rows = figures_of(known)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")
    typer.echo(f"kept in {file}")
