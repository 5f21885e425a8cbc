"""`neuralcodes train`: train a network on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcodes.cli import options


def train(
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    data: options.Data = None,
    network: options.Network = "reference",
    epochs: options.Epochs = 100,
    classes: options.Classes = None,
    train_classes: options.TrainClasses = None,
    batch_size: options.BatchSize = 100,
    learning_rate: options.LearningRate = 1e-4,
    patience: options.Patience = 0,
    keep: options.Keep = "last",
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.TrainPrecision = "auto",
    resume: options.Resume = False,
) -> None:
    """Train a network; the classes it does not see are left for `evaluate`."""
    from neuralcodes.experiments.configuration import Configuration, prepare
    from neuralcodes.experiments.founding import train_run
    from neuralcodes.training.recipe import Recipe

    recipe = Recipe(
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_epochs=epochs,
        patience=patience,
        keep=keep,  # type: ignore[arg-type]
        seed=seed,
    )
    configuration = Configuration(
        data=data,
        classes=classes,
        train_classes=train_classes,
        network=network,
        recipe=recipe,
        device=device,
        precision=precision,  # type: ignore[arg-type]
    )
    run = train_run(configuration, prepare(configuration), out, resume)
    typer.echo(f"trained: {run.weights_file}\nnext: neuralcodes evaluate {run.path}")
