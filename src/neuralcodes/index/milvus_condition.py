"""Which ids are allowed, said in Milvus's language."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuralcodes.index.backend import Ids, Mask

LISTED = 8192  # ids that a condition lists
RANGES = 32  # of ids in a condition; Milvus 2.3 fails on some hundreds
SHORT = 16  # ids; fewer in a row are listed


@dataclass(frozen=True)
class Condition:
    """One condition, and what it lets through.

    Attributes:
        text: Milvus's expression.
        count: ids that are meant; rows that do not count may be let through beside them.
        firsts, lasts: int64, the ids' ranges; a listed one is a range of its own.
    """

    text: str
    count: int
    firsts: Ids
    lasts: Ids

    def partitions(self, span: int) -> list[str]:
        """Names of the partitions of `span` ids each that the ids lie in."""
        numbers: set[int] = set()
        for first, last in zip(self.firsts // span, self.lasts // span, strict=True):
            numbers.update(range(int(first), int(last) + 1))
        return [partition_name(number) for number in sorted(numbers)]


def partition_name(number: int) -> str:
    """The partition that holds ids from `number` times the span on."""
    return f"ids_{number}"


def conditions(ids: Ids, usable: Mask, deep: bool) -> list[Condition]:
    """In as many conditions as it takes, ids of which some are usable.

    Ids in a row with no unusable one of `ids` between them are one range.

    Args:
        ids: int64 n, rising.
        usable: bool n.
        deep: list all of them, so that no condition lets more than `LISTED` through.
    """
    places = np.flatnonzero(usable)
    breaks = np.flatnonzero(np.diff(places) > 1) + 1
    starts = np.concatenate([[0], breaks]).astype(np.int64) if len(places) else places
    lengths = np.diff(np.append(starts, len(places)))
    long = (lengths >= SHORT) & (not deep)
    firsts = ids[places[starts[long]]]
    lasts = ids[places[(starts + lengths - 1)[long]]]
    counts = lengths[long]
    listed = ids[places[~np.repeat(long, lengths)]]
    parts = max(-(-len(firsts) // RANGES), -(-len(listed) // LISTED))
    found = []
    for part in range(parts):
        some = slice(part * RANGES, (part + 1) * RANGES)
        named = listed[part * LISTED : (part + 1) * LISTED]
        text = [
            f"(id >= {first} and id <= {last})"
            for first, last in zip(firsts[some], lasts[some], strict=True)
        ]
        if len(named):
            text.append(f"id in {named.tolist()}")
        found.append(
            Condition(
                " or ".join(text),
                int(counts[some].sum()) + len(named),
                np.concatenate([firsts[some], named]),
                np.concatenate([lasts[some], named]),
            )
        )
    return found
