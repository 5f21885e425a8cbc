"""`neuralcodes export`: a collection's codes and columns for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcodes.cli import collections


def export(
    collection: collections.Where,
    out: Annotated[Path, typer.Argument(help="Folder for codes.npy, codes.json and the table.")],
    filter: collections.Filter = None,
    table: Annotated[str, typer.Option(help="parquet or csv.")] = "parquet",
) -> None:
    """Write the codes as .npy with their manifest, and a table of the images; row by row alike."""
    from neuralcodes.collection.collection import Collection

    with Collection.open(collection) as opened:
        for path in opened.export(out, filter=filter, table=table):
            typer.echo(str(path))
