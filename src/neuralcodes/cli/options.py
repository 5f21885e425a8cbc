"""Options that several verbs share, so that each means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
TrainClasses = Annotated[
    int | None,
    typer.Option(
        help="Train on so many first classes; the others are searched.",
        show_default="19 of 20, as 190 of 200",
    ),
]
Network = Annotated[str, typer.Option(help="Network to train; see `neuralcodes layers`.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
TrainPrecision = Annotated[
    str, typer.Option("--precision", help="Of training: auto (the faster), bf16 or fp32.")
]
CodePrecision = Annotated[
    str, typer.Option("--precision", help="Of codes: fp32, bf16 or auto (the faster).")
]
Epochs = Annotated[int, typer.Option(help="Train for at most so many epochs.")]
BatchSize = Annotated[int, typer.Option(help="Images a step.")]
LearningRate = Annotated[float, typer.Option(help="Of Adam.")]
Patience = Annotated[
    int, typer.Option(help="Stop after so many epochs without a lower validation loss.")
]
Keep = Annotated[str, typer.Option(help="Weights to evaluate: last or best epoch.")]
Seed = Annotated[int, typer.Option(help="Of weights, order of images and dropout.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")]
Run = Annotated[Path, typer.Argument(help="A run folder.")]
