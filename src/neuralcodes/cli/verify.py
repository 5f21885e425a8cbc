"""`neuralcodes verify`: check every checksum of a collection."""

from __future__ import annotations

from typing import Annotated

import typer

from neuralcodes.cli import collections, options


def verify(
    collection: collections.Where,
    repair: Annotated[
        bool, typer.Option("--repair", help="Compute damaged codes again from their pictures.")
    ] = False,
    images: Annotated[
        bool, typer.Option("--images", help="Also read every picture and compare it (slow).")
    ] = False,
    code: collections.Code = None,
    device: options.Device = "auto",
    json: collections.Json = False,
) -> None:
    """Check a collection; exit status 1 if something is wrong and was not mended."""
    from neuralcodes.collection.collection import Collection

    with Collection.open(collection, code=code, device=device) as opened:
        report = opened.verify(repair=repair, images=images)
        left = opened.verify() if repair and not report.whole else report
    if json:
        collections.say(report.to_json())
    else:
        for problem in report.problems:
            typer.echo(problem)
        typer.echo(report.summary())
    if not left.whole:
        raise typer.Exit(1)
