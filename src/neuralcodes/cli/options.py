"""Options that several verbs share, so that each means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Data = Annotated[
    Path | None,
    typer.Option(
        envvar="NEURALCODES_TINY_IMAGENET",
        help="Tiny ImageNet (folder or zip files) or any folder of class folders; "
        "without it Tiny ImageNet is downloaded.",
        show_default="download",
    ),
]
Classes = Annotated[
    int | None, typer.Option(help="Use only so many first classes.", show_default="all")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
TrainPrecision = Annotated[
    str, typer.Option("--precision", help="Of training: auto (the faster), bf16 or fp32.")
]
CodePrecision = Annotated[
    str, typer.Option("--precision", help="Of codes: fp32, bf16 or auto (the faster).")
]
Seed = Annotated[int, typer.Option(help="Of weights, order of images and dropout.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")]
Run = Annotated[Path, typer.Argument(help="A run folder.")]
RayAddress = Annotated[
    str | None,
    typer.Option(help="Of the Ray cluster, HOST:PORT or auto.", show_default="this machine"),
]


def epochs(default: str | bool = True) -> Any:
    """How long to train; each verb has its own default, in words where it depends on others."""
    return typer.Option(help="Train for at most so many epochs.", show_default=default)


def train_classes(default: str) -> Any:
    """How many classes are trained on."""
    return typer.Option(
        help="Train on so many first classes; the others are searched.", show_default=default
    )


def keep(default: str | bool = True) -> Any:
    """Which epoch's weights count."""
    return typer.Option(help="Weights to evaluate: last or best epoch.", show_default=default)
