"""`neuralcodes crops`: cut out the queries of a protocol that has boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def crops(
    images: Annotated[Path, typer.Argument(help="Folder or zip file of the protocol's images.")],
    protocol: Annotated[str, typer.Option(help="As of `evaluate`, for instance oxford5k.")],
    out: Annotated[Path, typer.Option(help="Folder for the queries' pictures (PNG).")],
    gnd: Annotated[Path | None, typer.Option(help="The protocol's ground truth.")] = None,
) -> None:
    """Cut out a protocol's queries; extract their codes and give these to `evaluate --queries`."""
    from neuralcodes.evaluation.protocols.crops import write_crops
    from neuralcodes.evaluation.protocols.registry import get_protocol
    from neuralcodes.images.classfolders import open_source

    truth = get_protocol(protocol).open(gnd, open_source(images).keys)
    written = write_crops(truth, images, out)
    typer.echo(f"{len(written)} queries: {out}\nnext: neuralcodes extract {out} --code …")
