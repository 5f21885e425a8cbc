"""Class retrieval: each image queries all others; relevant is what has its class.

The founding experiment's protocol. The class of an image is the first of its folders that not
all images share (`tiny-imagenet-200/train/n01443537/images/x.JPEG` is of `n01443537`), or stands in
a CSV file with the columns `name` and `class`.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.measures import AVERAGE_PRECISION, precision, recall
from neuralcodes.evaluation.protocols.groundtruth import Classes, GroundTruth, Query
from neuralcodes.evaluation.protocols.names import Names
from neuralcodes.evaluation.protocols.registry import register
from neuralcodes.evaluation.protocols.textfiles import read_lines

NAME = "class-retrieval"


@register(
    NAME,
    "each image queries all others; relevant is its class (the founding experiment)",
    files="a CSV file with the columns name and class; without it folders are the classes",
    files_needed=False,
)
def read(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """Each key with its class."""
    classes = _classes_of_folders(keys) if path is None else _classes_of_file(path, keys)
    if len(set(classes)) < 2:
        raise UserError(f"{NAME}: all images are of one class; give at least two")
    return GroundTruth(
        protocol=NAME,
        queries=tuple(Query(key, key) for key in keys),
        database=None,
        tasks={"": Classes(tuple(classes), dict(zip(keys, classes, strict=True)))},
        own_image_counts=False,
        measures=(AVERAGE_PRECISION, precision(1), precision(10), recall(10), recall(100)),
    )


def _classes_of_folders(keys: Sequence[str]) -> list[str]:
    folders = [key.split("/")[:-1] for key in keys]
    shared = 0
    shortest = min((len(names) for names in folders), default=0)
    while shared < shortest and len({names[shared] for names in folders}) == 1:
        shared += 1
    if shared == shortest:
        raise UserError(
            f"{NAME}: {next(k for k, f in zip(keys, folders, strict=True) if len(f) == shortest)} "
            "is in no class folder; give --labels FILE.csv"
            if keys
            else f"{NAME}: there are no codes"
        )
    return [names[shared] for names in folders]


def _classes_of_file(path: Path, keys: Sequence[str]) -> list[str]:
    rows = list(csv.DictReader(read_lines(path)))
    if not rows or not {"name", "class"} <= rows[0].keys():
        raise UserError(f"{path}: needs a header line with the columns name and class")
    names = Names(keys, NAME)
    classes: list[str | None] = [None] * len(keys)
    for row in rows:
        found, label = names.find(row["name"]), row["class"]
        if found < 0:
            continue
        if not label or classes[found] not in (None, label):
            raise UserError(f"{path}: {row['name']} has no class or more than one")
        classes[found] = label
    without = [key for key, label in zip(keys, classes, strict=True) if label is None]
    if without:
        raise UserError(f"{path}: {len(without)} images have no class ({without[0]}, …); add them")
    return [label for label in classes if label is not None]
