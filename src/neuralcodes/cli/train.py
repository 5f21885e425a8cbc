"""`neuralcodes train`: train a network on images, from nothing or from given weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcodes.cli import options
from neuralcodes.common.errors import UserError

RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="founding: the paper's network as the founding experiment trained it. modern: our "
        "compact network with random views, a rate that falls and averaged weights. retraining: "
        "given weights, a small labelled folder.",
        show_default="founding; retraining with --from",
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Start with the weights of this run folder or weights file, of this network; what "
        "that changed is measured on images left out.",
    ),
]
Labels = Annotated[
    str,
    typer.Option(
        help="folder: class folders tell what is similar. none: the images have no labels; learn "
        "to know each one again after a change of framing and colour."
    ),
]
Freeze = Annotated[
    str,
    typer.Option(
        help="With --from: everything up to and including this layer keeps its weights.",
        show_default="nothing",
    ),
]
LayerDecay = Annotated[
    float | None,
    typer.Option(
        help="With --from: each block learns at this share of the rate of the block behind it, "
        "counted back from the classifier; 1 for the same rate everywhere.",
        show_default="0.7 in retraining",
    ),
]
ViewSize = Annotated[
    int | None,
    typer.Option(
        help="Train on views of this height and width; smaller is faster. Not with founding.",
        show_default="the images' size",
    ),
]
DecayEpochs = Annotated[
    int | None,
    typer.Option(
        help="The rate falls to zero over the last so many epochs; 0 keeps it up, for a run that "
        "another with --from shall end. Not with founding.",
        show_default="all after the warm-up",
    ),
]
CutMix = Annotated[
    float, typer.Option(help="Share of batches that mix two images. Not with founding.")
]


def train(
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    data: options.Data = None,
    recipe: RecipeName = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="Network to train; see `neuralcodes layers`.",
            show_default="that of --from, else reference, or compact with modern",
        ),
    ] = None,
    start: From = None,
    labels: Labels = "folder",
    freeze: Freeze = "",
    layer_decay: LayerDecay = None,
    epochs: Annotated[
        int | None, options.epochs("100; 10 in retraining, 20 without labels")
    ] = None,
    decay_epochs: DecayEpochs = None,
    view_size: ViewSize = None,
    cutmix: CutMix = 0.0,
    classes: options.Classes = None,
    train_classes: Annotated[
        int | None, options.train_classes("19 of 20, as 190 of 200; 4 of 5 in retraining")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images a step.", show_default="100, or as the recipe says"),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Highest rate.", show_default="1e-4 of Adam, or as the recipe says"),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop after so many epochs without a lower validation loss.",
            show_default="0, or as the recipe says",
        ),
    ] = None,
    keep: Annotated[str | None, options.keep("last; best without labels")] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.TrainPrecision = "auto",
    resume: options.Resume = False,
) -> None:
    """Train a network; the classes it does not see are left for `evaluate`.

    Under torchrun all its processes train together: torchrun --nproc-per-node 2 -m neuralcodes
    train …

    With --from (recipe retraining) or --labels none it also judges before and after, and reports.
    """
    _check(start, labels, freeze, classes, train_classes, data)
    from neuralcodes.common.team import start_team
    from neuralcodes.experiments.configuration import (
        FOUNDING_SHARE,
        RETRAINING_SHARE,
        Configuration,
        prepare,
    )
    from neuralcodes.experiments.founding import train_run
    from neuralcodes.experiments.retraining import open_start, retrain
    from neuralcodes.training.augmentation import Augmentation
    from neuralcodes.training.recipes import default_network, make_recipe

    device = start_team(device)[1]
    how = make_recipe(
        recipe,
        labelled=labels == "folder",
        started=start is not None,
        views=Augmentation(size=view_size, cutmix=cutmix) if view_size or cutmix else None,
        decay_epochs=decay_epochs,
        max_epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        keep=keep,
        seed=seed,
        freeze=freeze or None,
        layer_decay=layer_decay,
    )
    weights = None if start is None else open_start(start, network)
    retrained = labels == "none" or (start is not None and recipe in (None, "retraining"))
    configuration = Configuration(
        data=data,
        classes=classes,
        train_classes=train_classes,
        left_out=RETRAINING_SHARE if retrained else FOUNDING_SHARE,
        labels=labels,  # type: ignore[arg-type]
        network=network or (weights.kind.name if weights else default_network(how)),
        recipe=how,
        start=weights,
        device=device,
        precision=precision,  # type: ignore[arg-type]
    )
    if retrained:
        from neuralcodes.cli.show import show_run

        show_run(retrain(configuration, out, resume))
        return
    run = train_run(configuration, prepare(configuration), out, resume)
    typer.echo(f"trained: {run.weights_file}\nnext: neuralcodes evaluate {run.path}")


def _check(
    start: str | None, labels: str, freeze: str, classes: int | None, train_classes: int | None,
    data: Path | None,
) -> None:  # fmt: skip
    if labels not in ("folder", "none"):
        raise UserError(f"--labels {labels}: choose folder or none")
    if freeze and start is None:
        raise UserError(f"--freeze {freeze}: needs weights to keep; give them with --from")
    if labels == "none" and (classes or train_classes):
        raise UserError("--labels none: no classes are looked at; leave out --classes")
    if labels == "none" and data is None:
        raise UserError("--data: give the folder or zip file of images")
