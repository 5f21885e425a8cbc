"""`neuralcodes train`: train a network on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuralcodes.cli import options
from neuralcodes.common.errors import UserError

RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="founding: the paper's network as the founding experiment trained it. modern: our "
        "compact network with random views, a rate that falls and averaged weights.",
    ),
]
From = Annotated[
    str | None,
    typer.Option("--from", help="Start with the weights of this run folder or weights file."),
]
ViewSize = Annotated[
    int | None,
    typer.Option(
        help="With modern: train on views of this height and width; smaller is faster.",
        show_default="the images' size",
    ),
]
DecayEpochs = Annotated[
    int | None,
    typer.Option(
        help="With modern: the rate falls to zero over the last so many epochs; 0 keeps it up, "
        "for a run that another with --from shall end.",
        show_default="all after the warm-up",
    ),
]
CutMix = Annotated[float, typer.Option(help="With modern: share of batches that mix two images.")]


def train(
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    data: options.Data = None,
    recipe: RecipeName = "founding",
    network: Annotated[
        str | None,
        typer.Option(
            help="Network to train; see `neuralcodes layers`.",
            show_default="reference, or compact with modern",
        ),
    ] = None,
    start: From = None,
    epochs: options.Epochs = 100,
    decay_epochs: DecayEpochs = None,
    view_size: ViewSize = None,
    cutmix: CutMix = 0.0,
    classes: options.Classes = None,
    train_classes: options.TrainClasses = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images a step.", show_default="100, or 128 with modern"),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Highest rate.", show_default="1e-4 of Adam, or 0.1 of SGD with modern"),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop after so many epochs without a lower validation loss.",
            show_default="0, or never with modern",
        ),
    ] = None,
    keep: options.Keep = "last",
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.TrainPrecision = "auto",
    resume: options.Resume = False,
) -> None:
    """Train a network; the classes it does not see are left for `evaluate`."""
    from neuralcodes.experiments.configuration import Configuration, prepare
    from neuralcodes.experiments.founding import train_run
    from neuralcodes.training.augmentation import Augmentation
    from neuralcodes.training.recipe import Recipe, modern

    given: dict[str, Any] = {
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "patience": patience,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    chosen |= {"max_epochs": epochs, "keep": keep, "seed": seed}
    if recipe == "modern":
        warmup = 0.0 if start else 1.0
        chosen["warmup_epochs"] = warmup
        chosen["decay_epochs"] = (
            max(0, epochs - int(warmup)) if decay_epochs is None else decay_epochs
        )
        chosen["augmentation"] = Augmentation(size=view_size, cutmix=cutmix)
        how = modern(**chosen)
    elif recipe == "founding":
        if decay_epochs is not None or view_size is not None or cutmix:
            raise UserError("--decay-epochs, --view-size and --cutmix belong to --recipe modern")
        how = Recipe(**chosen)
    else:
        raise UserError(f"--recipe {recipe}: choose founding or modern")
    configuration = Configuration(
        data=data,
        classes=classes,
        train_classes=train_classes,
        network=network or ("compact" if recipe == "modern" else "reference"),
        recipe=how,
        start=start,
        device=device,
        precision=precision,  # type: ignore[arg-type]
    )
    run = train_run(configuration, prepare(configuration), out, resume)
    typer.echo(f"trained: {run.weights_file}\nnext: neuralcodes evaluate {run.path}")
