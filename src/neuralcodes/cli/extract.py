"""`neuralcodes extract`: the codes of a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcodes.cli import options


def extract(
    images: Annotated[Path, typer.Argument(help="A folder or zip file of images.")],
    code: Annotated[
        list[str],
        typer.Option(
            help="NETWORK or NETWORK@LAYER, for instance runs/reference@L6, shipped or "
            "hf:facebook/dinov2-small; repeatable."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for NAME.npy and NAME.json.")] = Path("codes"),
    device: options.Device = "auto",
    precision: options.CodePrecision = "fp32",
) -> None:
    """Compute the codes of images: one .npy array a code, with a manifest beside it."""
    from neuralcodes.experiments.extraction import extract_codes

    written = extract_codes(images, code, out, device, precision)
    for path, codes in written.codes.items():
        typer.echo(f"{path}.npy: {len(codes)} codes of {codes.spec.dims} ({codes.spec.name})")
    if written.bad:
        typer.echo(f"{len(written.bad)} image(s) could not be read and have no code:", err=True)
        for bad in written.bad:
            typer.echo(f"  {bad.key}: {bad.reason}", err=True)
