"""Duplicates: exact copies by content, near ones by the distance of their codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.records import records_of
from neuralcodes.collection.results import ImageRecord, tile_of
from neuralcodes.collection.searching import Searcher
from neuralcodes.collection.segments import Ids
from neuralcodes.collection.sheet import render_sheet
from neuralcodes.collection.snapshot import Snapshot
from neuralcodes.collection.store import Connection
from neuralcodes.collection.writer import Writer
from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import progress

EXACT_UP_TO = 200_000  # contents of which all pairs are compared
NEIGHBOURS = 50  # looked at by the index beyond that
BLOCK = 1024  # codes multiplied with others at a time
TILE_BLOCKS = 16  # blocks a side of a tile of pairs…
TILE_BYTES = 2**26  # …or as many as such an amount of codes makes
MOST_PAIRS = 1_000_000
SLACK = 2e-5  # more than rounding moves a product of unit codes

Pair = tuple[float, int, int]


@dataclass(frozen=True)
class DuplicateGroup:
    """Images that are the same, or nearly.

    Attributes:
        kind: "exact" (the same bytes) or "near".
        images: the one to keep first.
        distance: the largest between linked ones, 0 for exact copies.
        reason: why the first is the one to keep.
    """

    kind: str
    images: tuple[ImageRecord, ...]
    distance: float
    reason: str

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "kind": self.kind,
            "distance": round(self.distance, 6),
            "keep": self.images[0].path,
            "reason": self.reason,
            "images": [image.to_json() for image in self.images],
        }


@dataclass(frozen=True)
class Duplicates:
    """Groups of duplicates.

    Attributes:
        groups: exact copies first, then near ones by distance.
        threshold: distance up to which two pictures count as near-duplicates.
        calibration: how that was measured; None where the user gave it.
        pictures: where to read pictures from, for sheets.
    """

    groups: tuple[DuplicateGroup, ...]
    threshold: float
    calibration: dict[str, Any] | None
    pictures: Pictures | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.groups)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "threshold": self.threshold,
            "calibration": self.calibration,
            "groups": [group.to_json() for group in self.groups],
        }

    def summary(self) -> str:
        """A line or two for people."""
        exact = sum(group.kind == "exact" for group in self.groups)
        text = (
            f"{exact} group(s) of exact copies, {len(self) - exact} of near-duplicates up to "
            f"distance {self.threshold:.4f}"
        )
        if self.calibration:
            known = self.calibration
            text += (
                f"\nmeasured here: it finds {known['found']:.1%} of altered copies; of "
                f"{known['pairs']:,} pairs of different pictures {known['false_rate']:.2g} are "
                f"within it (at most {known['false_rate_high']:.2g}), that is about "
                f"{known['false_pairs']:,.1f} pairs in this collection"
            )
            if known["found"] < 0.5:
                text += (
                    "\nmost copies are missed: different pictures here are as near to each other "
                    "as copies are; --threshold DISTANCE takes in more of both"
                )
        return text

    def to_html(self, whole: bool = True) -> str:
        """A contact sheet that needs nothing beside it; see `Results.to_html`."""
        groups = []
        for number, group in enumerate(self.groups, start=1):
            apart = "same bytes" if group.kind == "exact" else f"within {group.distance:.3f}"
            tiles = [
                tile_of(
                    image, self.pictures, "keep" if not place else "copy", "" if place else "keep"
                )
                for place, image in enumerate(group.images)
            ]
            groups.append((f"{number}. {apart}; kept: {group.reason}", tiles))
        note = f"{len(self.groups)} groups; near-duplicates up to distance {self.threshold:.4f}"
        return render_sheet("Duplicates", note, groups, whole)

    def _repr_html_(self) -> str:
        return self.to_html(whole=False)


def find_duplicates(
    connection: Connection, snapshot: Snapshot, searcher: Searcher, threshold: float
) -> list[DuplicateGroup]:
    """Groups of duplicates, without pairs that were marked as different.

    Raises:
        UserError: the threshold calls more than a million pairs duplicates.
    """
    different = _different(connection)
    copies = connection.query(
        "SELECT code FROM images WHERE code IS NOT NULL GROUP BY code HAVING count(*) > 1"
    )
    exact = [code for (code,) in copies if (code, code) not in different]
    groups = [_group(connection, "exact", [code], 0.0) for code in exact]
    near = []
    for distance, members in join(near_pairs(snapshot, searcher, threshold), different):
        near.append(_group(connection, "near", members, distance))
    near.sort(key=lambda group: (group.distance, group.images[0].path))
    return [*sorted(groups, key=lambda group: group.images[0].path), *near]


def near_pairs(snapshot: Snapshot, searcher: Searcher, threshold: float) -> list[Pair]:
    """Pairs of contents within a distance, nearest first: distance and the two ids.

    Codes of zeros say nothing and are in no pair.

    Raises:
        UserError: there are more than a million.
    """
    ids = snapshot.alive
    every = len(ids) <= EXACT_UP_TO
    blocks = (
        _all_pairs(snapshot, ids, threshold)
        if every
        else _index_pairs(snapshot, searcher, ids, threshold)
    )
    pairs: list[Pair] = []
    with progress(len(ids), "comparing") as bar:
        for rows, found in blocks:
            pairs += found
            if len(pairs) > MOST_PAIRS:
                raise UserError(
                    f"--threshold {threshold:.4f} calls more than {MOST_PAIRS:,} pairs duplicates; "
                    "give a smaller one"
                )
            bar.update(rows)
    return sorted(set(pairs))


def _all_pairs(snapshot: Snapshot, ids: Ids, threshold: float) -> Iterator[tuple[int, list[Pair]]]:
    """Each code with all behind it: how many codes have met all others, and pairs found.

    Square tiles: stored codes are decoded once for a whole row of tiles, and once a tile.
    """
    least = 1 - threshold**2 / 2 - SLACK
    side = BLOCK * max(1, min(TILE_BLOCKS, TILE_BYTES // (4 * snapshot.dims * BLOCK)))
    for top in range(0, len(ids), side):
        upper = snapshot.vectors(ids[top : top + side])
        for left in range(top, len(ids), side):
            codes = upper if left == top else snapshot.vectors(ids[left : left + side])
            for at in range(0, len(upper), BLOCK):
                block = upper[at : at + BLOCK]
                rows, columns = np.nonzero(block @ codes.T >= least)
                later = columns + left > rows + top + at
                rows, columns = rows[later], columns[later]
                apart = np.linalg.norm(block[rows] - codes[columns], axis=1)
                near = np.flatnonzero(apart <= threshold)
                ones, others = ids[top + at + rows[near]], ids[left + columns[near]]
                found = zip(apart[near].tolist(), ones.tolist(), others.tolist(), strict=True)
                yield len(block) if left + side >= len(ids) else 0, list(found)


def _index_pairs(
    snapshot: Snapshot, searcher: Searcher, ids: Ids, threshold: float
) -> Iterator[tuple[int, list[Pair]]]:
    """Each code with those that the index finds near it; else as `_all_pairs`."""
    for start in range(0, len(ids), BLOCK):
        block = ids[start : start + BLOCK]
        codes = snapshot.vectors(block)
        found = searcher.search(codes, NEIGHBOURS)
        pairs = []
        for row, one in enumerate(block.tolist()):
            if codes[row].any():
                near = (found.distances[row] <= threshold) & (found.rows[row] != one)
                for two, apart in zip(found.rows[row][near].tolist(), found.distances[row][near],
                                      strict=True):  # fmt: skip
                    pairs.append((round(float(apart), 6), min(one, two), max(one, two)))
        yield len(block), pairs


def join(pairs: Sequence[Pair], different: set[tuple[int, int]]) -> list[tuple[float, list[int]]]:
    """Groups of linked contents, nearest links first; marked pairs never share one.

    Returns:
        The largest link and the members of each group.
    """
    group: dict[int, int] = {}
    members: dict[int, list[int]] = {}
    largest: dict[int, float] = {}
    apart: dict[int, set[int]] = {}
    for one, two in different:
        apart.setdefault(one, set()).add(two)
        apart.setdefault(two, set()).add(one)
    for distance, one, two in pairs:
        a, b = group.setdefault(one, one), group.setdefault(two, two)
        left, right = members.setdefault(a, [a]), members.setdefault(b, [b])
        if a == b or any(apart.get(x, set()) & set(right) for x in left if x in apart):
            continue
        if len(left) < len(right):
            a, b, left, right = b, a, right, left
        for member in right:
            group[member] = a
        left += right
        del members[b]
        largest[a] = max(largest.get(a, 0.0), largest.pop(b, 0.0), distance)
    return [(largest[a], sorted(m)) for a, m in members.items() if len(m) > 1]


def mark_different(
    writer: Writer, one: ImageRecord, other: ImageRecord, different: bool = True
) -> None:
    """Remember that two images are no duplicates, by content, so that moving them changes nothing.

    Args:
        writer: the right to write.
        one, other: the images.
        different: False takes it back.

    Raises:
        UserError: it is the same image.
    """
    if one.id == other.id:
        raise UserError(f"{one.path}: the same image twice; give two")
    hashes = sorted(
        row[0]
        for code in (one.code, other.code)
        for row in writer.query("SELECT hash FROM codes WHERE id = ?", (code,))
    )
    if len(hashes) != 2:
        raise UserError(f"{one.path} or {other.path}: has no code")
    with writer.transaction():
        sql = "INSERT OR IGNORE INTO different VALUES (?, ?)"
        if not different:
            sql = "DELETE FROM different WHERE one = ? AND other = ?"
        writer.change(sql, hashes)


def _different(connection: Connection) -> set[tuple[int, int]]:
    rows = connection.query(
        "SELECT a.id, b.id FROM different JOIN codes a ON a.hash = one JOIN codes b "
        "ON b.hash = other"
    )
    return {(min(one, two), max(one, two)) for one, two in rows}


def _group(
    connection: Connection, kind: str, codes: Iterable[int], distance: float
) -> DuplicateGroup:
    images = records_of(connection, codes)
    images.sort(key=lambda i: (-i.width * i.height, -i.size, i.date, i.path))
    best, next_one = images[0], images[1]
    if best.width * best.height > next_one.width * next_one.height:
        reason = f"most pixels ({best.width}×{best.height})"
    elif best.size > next_one.size:
        reason = f"largest file ({best.size:,} bytes)"
    elif best.date < next_one.date:
        reason = "oldest file"
    else:
        reason = "first by name"
    return DuplicateGroup(kind, tuple(images), distance, reason)
