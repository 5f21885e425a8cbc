"""`neuralcodes reproduce`: the founding experiment, all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcodes.cli import options


def reproduce(
    data: options.Data = None,
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("runs/reference"),
    epochs: Annotated[int, options.epochs()] = 100,
    classes: options.Classes = None,
    train_classes: Annotated[int | None, options.train_classes("19 of 20, as 190 of 200")] = None,
    device: options.Device = "auto",
    precision: options.TrainPrecision = "auto",
    keep: Annotated[str, options.keep()] = "last",
    seed: options.Seed = 0,
    resume: options.Resume = False,
) -> None:
    """Train on most classes, search among the others, report: the founding experiment."""
    from neuralcodes.cli.show import show_run
    from neuralcodes.common.team import start_team
    from neuralcodes.experiments.configuration import Configuration
    from neuralcodes.experiments.founding import reproduce as run_all
    from neuralcodes.training.recipe import Recipe

    device = start_team(device)[1]
    configuration = Configuration(
        data=data,
        classes=classes,
        train_classes=train_classes,
        recipe=Recipe(max_epochs=epochs, keep=keep, seed=seed),  # type: ignore[arg-type]
        device=device,
        precision=precision,  # type: ignore[arg-type]
    )
    show_run(run_all(configuration, out, resume))
