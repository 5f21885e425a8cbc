"""The commands that build a collection with the recommended code, to be pasted as they are."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from neuralcodes.choosing.indexes import Indexed
from neuralcodes.choosing.sweep import Scored
from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.transforms.fitted import transform_file
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.experiments.choice_images import DIGITS, Chosen
from neuralcodes.images.tinyimagenet import holds_tiny_imagenet

if TYPE_CHECKING:
    from neuralcodes.experiments.choice import Choosing

IMAGES = "IMAGES"  # stands for a place where there is none


def building_commands(
    choosing: Choosing, chosen: Chosen, scored: Scored, base: CodeSpec, index: Indexed | None
) -> tuple[tuple[str, ...], str]:
    """`neuralcodes fit …` where there is something to fit, and `neuralcodes index …`.

    Args:
        choosing, chosen: what was swept.
        scored: the recommended code.
        base: the code that it begins with.
        index: the recommended backend.

    Returns:
        The commands, and a sentence about them or "".
    """
    place, notes = choosing.place, []
    if place == DIGITS and not Path(place).exists():
        place = IMAGES
        notes.append(f"The digits have no files: put the place of your images for {IMAGES}.")
    chain = scored.candidate.chain
    while chain and not get_transform(chain[-1])[0].is_fitted:
        chain = chain[:-1]  # nothing to fit in it
    commands = []
    if chain and transform_file(base, chain).is_file():
        notes.append(
            f"{'/'.join(chain)} is fitted already, maybe on other images; to fit it on these add "
            "--refit to: " + _fit(choosing, chosen, place, scored, chain)
        )
    elif chain:
        commands.append(_fit(choosing, chosen, place, scored, chain))
    backend = [] if index is None or index.backend == "exact" else ["--backend", index.backend]
    precision = [] if choosing.precision == "fp32" else ["--precision", choosing.precision]
    commands.append(
        shlex.join([
            "neuralcodes", "index", *_pictures(place), "--collection", choosing.collection,
            "--code", scored.code, *backend, *precision,
        ])
    )  # fmt: skip
    return tuple(commands), " ".join(notes)


def _fit(
    choosing: Choosing, chosen: Chosen, place: str, scored: Scored, chain: tuple[str, ...]
) -> str:
    learns = any(get_transform(name)[0].needs_pairs for name in chain)
    labels = ["--labels", "none"] if learns and chosen.labels == "none" else []
    sample = ["--sample", str(choosing.max_images)] if chosen.count < chosen.of_images else []
    seed = ["--seed", str(choosing.seed)] if choosing.seed else []
    precision = [] if choosing.precision == "fp32" else ["--precision", choosing.precision]
    return shlex.join([
        "neuralcodes", "fit", "--code", scored.candidate.base.code, "/".join(chain), "--on", place,
        *labels, *sample, *seed, *precision,
    ])  # fmt: skip


def _pictures(place: str) -> list[str]:
    """Tiny ImageNet's zip files one by one: an index does not look for archives in a folder."""
    path = Path(place)
    if path.is_dir() and holds_tiny_imagenet(path):
        archives = sorted(path.glob("tiny-imagenet-200*.zip"))
        if archives and not any(path.glob("**/train/*/images")):
            return [str(archive) for archive in archives]
    return [place]
