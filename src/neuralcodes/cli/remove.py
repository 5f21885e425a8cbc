"""`neuralcodes remove`: take images out of a collection."""

from __future__ import annotations

from typing import Annotated

import typer

from neuralcodes.cli import collections


def remove(
    collection: collections.Where,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="Files, folders, archives, ARCHIVE/NAME, or id:N each."
        ),
    ],
) -> None:
    """Take images out; they stay out when their folder is indexed again. No file is deleted."""
    from neuralcodes.collection.collection import Collection

    with Collection.open(collection) as opened:
        count = opened.remove(images)
        typer.echo(f"{count} image(s) removed, {len(opened)} left")
