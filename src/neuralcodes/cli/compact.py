"""`neuralcodes compact`: give back the room of what was removed."""

from __future__ import annotations

import typer

from neuralcodes.cli import collections


def compact(collection: collections.Where) -> None:
    """Drop codes that no image has any more, and put the rest into few files."""
    from neuralcodes.collection.collection import Collection

    with Collection.open(collection) as opened:
        before = sum(opened.info().bytes.values())
        opened.compact()
        after = sum(opened.info().bytes.values())
    typer.echo(f"{collections.size(before)} before, {collections.size(after)} now")
