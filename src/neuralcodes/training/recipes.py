"""The recipes by name: founding, modern, retraining, and the one for images without labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from neuralcodes.common.errors import UserError
from neuralcodes.training.augmentation import Augmentation
from neuralcodes.training.recipe import Recipe


def founding(**changes: Any) -> Recipe:
    """The founding experiment's."""
    return Recipe(**changes)


def modern(**changes: Any) -> Recipe:
    """The recipe of our own network, `compact`; the reasons are in results/EXPERIMENTS.md.

    Besides the classes' own loss the codes of a class are drawn together (`training.contrast`).
    With `decay_epochs=0` the rate stays up, so that a run can go on for as long as there is time;
    what ships is a last part from its weights, in which the rate falls to zero.
    """
    chosen: dict[str, Any] = {
        "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4,
        "batch_size": 128, "max_epochs": 100, "patience": 1000, "warmup_epochs": 1.0,
        "label_smoothing": 0.1, "average": 0.999, "augmentation": Augmentation(),
        "contrast": 1.0, "temperature": 0.07, "memory": 4096, "fit_code": True,
    }  # fmt: skip
    return Recipe(**{**chosen, **changes})


def retraining(**changes: Any) -> Recipe:
    """For given weights and a labelled folder of some dozens of classes with some dozens of images.

    Made to keep what the network knows: the new classifier begins with the classes' mean codes,
    batch normalisation with its statistics, and half the way is kept. Without these the codes of
    classes left out became worse (results/EXPERIMENTS.md, "Retraining and unlabelled fine-tuning").
    """
    chosen: dict[str, Any] = {
        "optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4,
        "batch_size": 32, "max_epochs": 10, "patience": 1000, "warmup_epochs": 1.0,
        "label_smoothing": 0.1, "augmentation": Augmentation(), "layer_decay": 0.7,
        "class_means": True, "keep_statistics": True, "blend": 0.5,
    }  # fmt: skip
    return Recipe(**{**chosen, **changes})


def unlabelled(**changes: Any) -> Recipe:
    """For images without labels: two views of an image shall have like codes.

    Stops when views of images held out no longer find each other better, and keeps that epoch.
    Given weights keep their statistics and half the way, as in retraining: by labels that were
    hidden from it, the shipped network gained by that and lost without (results/EXPERIMENTS.md).
    """
    chosen: dict[str, Any] = {
        "optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4,
        "batch_size": 128, "max_epochs": 20, "patience": 5, "keep": "best", "warmup_epochs": 1.0,
        "augmentation": Augmentation(), "layer_decay": 0.7, "objective": "views",
        "temperature": 0.1, "keep_statistics": True, "blend": 0.5,
    }  # fmt: skip
    return Recipe(**{**chosen, **changes})


RECIPES = {"founding": founding, "modern": modern, "retraining": retraining}


def make_recipe(
    name: str | None, *, labelled: bool, started: bool, views: Augmentation | None = None,
    decay_epochs: int | None = None, **given: Any,
) -> Recipe:  # fmt: skip
    """The recipe of this name with some of its numbers changed.

    Args:
        name: of `RECIPES`; None for retraining where there are weights to start with, else for
            founding. Images without labels have one recipe.
        labelled: whether the images have labels.
        started: whether training starts with given weights; then modern has no warm-up.
        views: what is drawn from the recipe's own views otherwise; None for its own.
        decay_epochs: the rate falls over the last so many; None for all after the warm-up.
        given: fields of the recipe; None leaves one as it is.

    Raises:
        UserError: no such recipe, or options that it does not know.
    """
    if name is not None and name not in RECIPES:
        raise UserError(f"--recipe {name}: choose {', '.join(RECIPES)}")
    if not labelled and name is not None:
        raise UserError("--labels none: has a recipe of its own; leave --recipe out")
    make = RECIPES[name or ("retraining" if started else "founding")] if labelled else unlabelled
    changes = {key: value for key, value in given.items() if value is not None}
    recipe = make(**changes)
    if recipe.augmentation is None:
        if decay_epochs is not None or views is not None:
            raise UserError(
                "--decay-epochs, --view-size and --cutmix: not of the recipe founding; give "
                "--recipe modern"
            )
        return recipe
    if make is modern and started:
        recipe = replace(recipe, warmup_epochs=0.0)
    if make is unlabelled and not started:  # there is nothing to keep
        recipe = replace(recipe, keep_statistics=False, blend=1.0)
    if decay_epochs is None:
        decay_epochs = max(0, recipe.max_epochs - int(recipe.warmup_epochs))
    if views is not None:
        # an image of two classes has no partners
        contrast = 0.0 if views.cutmix else recipe.contrast
        recipe = replace(recipe, augmentation=views, contrast=contrast)
    return replace(recipe, decay_epochs=decay_epochs)


def default_network(recipe: Recipe) -> str:
    """The network that a recipe is for, where neither a network nor weights are named."""
    return "reference" if recipe.augmentation is None else "compact"
