"""`Task`: what is fitted on, what chooses and what judges, kept apart.

The groups (classes, or images where there are no classes) are dealt by a seed into three parts.
Transforms learn from the first, codes are compared on the second, and the choice is judged on the
third. Where groups are few the parts take turns, so that each group chooses once and judges once,
always with transforms that did not see it (cross-fitting).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.relevance import ClassRelevance

Rows = npt.NDArray[np.int64]
Role = Literal["choose", "judge"]
Kind = Literal["labels", "views"]

PARTS = 3
LEAST_CLASSES = 2 * PARTS  # in a part of one class everything is relevant
FEW = 100  # groups, below which the parts take turns
LEAST_IMAGES = 30  # without classes
QUERIES = 200  # images a part that have views


@dataclass(frozen=True)
class Rotation:
    """Groups (int64, sorted) that transforms learn from, that choose, and that judge."""

    fit: Rows
    choose: Rows
    judge: Rows


@dataclass(frozen=True)
class Part:
    """The rows of one role in one rotation.

    Attributes:
        rows: of the task, rising; what is searched.
        queries: positions in `rows` that are queries.
        relevance: of these queries among these rows.
    """

    rows: Rows
    queries: Rows
    relevance: ClassRelevance


@dataclass(frozen=True)
class Task:
    """Rows to be searched and how they are divided.

    The rows are the images and, behind them, their views if there are any.

    Attributes:
        kind: by labels, or estimated from views.
        groups: int64 rows, what a row belongs to; rows of a group are relevant to each other.
        images: how many of the rows are images, the others being views.
        queries: bool rows.
        rotations: one, or as many as there are parts.
        labels: int64 images, for transforms that learn from pairs; None without classes.
    """

    kind: Kind
    groups: Rows
    images: int
    queries: npt.NDArray[np.bool_]
    rotations: tuple[Rotation, ...]
    labels: Rows | None

    def fit_rows(self, rotation: int) -> Rows:
        """The images, never views, that transforms learn from."""
        mine = np.isin(self.groups[: self.images], self.rotations[rotation].fit)
        return np.flatnonzero(mine)

    def part(self, rotation: int, role: Role) -> Part:
        """What is searched in a role."""
        groups = getattr(self.rotations[rotation], role)
        rows = np.flatnonzero(np.isin(self.groups, groups))
        queries = np.flatnonzero(self.queries[rows])
        labels = self.groups[rows]
        return Part(rows, queries, ClassRelevance(labels[queries], labels, queries))

    def viewed(self) -> Rows:
        """The image that each view is of, int64; empty by labels."""
        return self.groups[self.images :]

    def fingerprint(self, rotation: int) -> str:
        """16 hex digits over groups, queries and a rotation."""
        digest = hashlib.sha256(f"{self.kind} {self.images}".encode())
        turn = self.rotations[rotation]
        for array in (self.groups, self.queries, turn.fit, turn.choose, turn.judge):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def label_task(labels: Rows, seed: int, source: str) -> Task:
    """By classes.

    Args:
        labels: int64 n, each class with at least 2 images.
        seed: deals the classes.
        source: of the images, for the message.

    Raises:
        UserError: too few classes.
    """
    classes = np.unique(labels)
    if len(classes) < LEAST_CLASSES:
        raise UserError(
            f"{source}: {len(classes)} class(es) of at least 2 images, and {LEAST_CLASSES} are "
            "needed to fit, choose and judge on different ones; give more, or estimate without "
            "classes by --labels none"
        )
    return Task(
        kind="labels",
        groups=labels,
        images=len(labels),
        queries=np.ones(len(labels), dtype=np.bool_),
        rotations=deal(classes, seed),
        labels=labels,
    )


def view_task(images: int, views: int, seed: int, source: str) -> Task:
    """By augmented views: relevant to an image are its views.

    Args:
        images: how many.
        views: of each image that has some.
        seed: deals the images and picks those that have views.
        source: of the images, for the message.

    Raises:
        UserError: too few images.
    """
    if images < LEAST_IMAGES:
        raise UserError(f"{source}: {images} image(s); give at least {LEAST_IMAGES} to choose by")
    rotation = deal(np.arange(images), seed, turns=False)
    generator = np.random.default_rng(seed)
    viewed = np.sort(
        np.concatenate([
            generator.choice(part, min(QUERIES, len(part)), replace=False)
            for part in (rotation[0].choose, rotation[0].judge)
        ])
    )  # fmt: skip
    groups = np.concatenate([np.arange(images), np.repeat(viewed, views)])
    queries = np.zeros(len(groups), dtype=np.bool_)
    queries[viewed] = True
    return Task("views", groups, images, queries, rotation, None)


def deal(groups: Rows, seed: int, turns: bool | None = None) -> tuple[Rotation, ...]:
    """Groups into parts of equal size, by seed.

    Args:
        groups: at least as many as there are parts.
        seed: of the order.
        turns: whether the parts take turns; when None, if there are fewer than `FEW` groups.
    """
    order = np.random.default_rng(seed).permutation(groups)
    parts = [np.sort(part) for part in np.array_split(order, PARTS)]
    if turns is None:
        turns = len(groups) < FEW
    return tuple(
        Rotation(parts[turn], parts[(turn + 1) % PARTS], parts[(turn + 2) % PARTS])
        for turn in range(PARTS if turns else 1)
    )


def sample_rows(labels: Rows | None, count: int, most: int, seed: int) -> Rows:
    """Which of many images take part, sorted.

    Without labels any. With labels, of each class at most `most` / classes or 20, whichever is
    more, and only as many classes as that allows.

    Args:
        labels: int64 n, or None.
        count: n.
        most: images that may take part.
        seed: of the draw.
    """
    if count <= most:
        return np.arange(count)
    generator = np.random.default_rng(seed)
    if labels is None:
        return np.sort(generator.choice(count, most, replace=False))
    classes = np.unique(labels)
    each = max(20, most // len(classes))
    kept: list[Rows] = []
    for label in generator.permutation(classes):
        rows = np.flatnonzero(labels == label)
        kept.append(generator.permutation(rows)[:each])
        if sum(map(len, kept)) >= most:
            break
    return np.sort(np.concatenate(kept)[:most])


def lonely(labels: Rows) -> Rows:
    """Rows of classes with a single image, to which nothing is relevant."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[inverse] < 2)


def part_sizes(task: Task) -> dict[str, Sequence[int]]:
    """Groups and images of the parts of the first rotation, for the record."""
    rotation = task.rotations[0]
    return {
        role: (
            len(getattr(rotation, role)),
            int(np.isin(task.groups[: task.images], getattr(rotation, role)).sum()),
        )
        for role in ("fit", "choose", "judge")
    }
