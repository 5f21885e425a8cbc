"""What a sweep leaves out, and why: a line for each in the record, one line on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

WHOLE = 3  # lines told as they are; more are summed up


@dataclass(frozen=True)
class LeftOut:
    """Codes that are not tried.

    Attributes:
        line: which and why, for the record.
        why: the reason without what is particular to this one, to sum up by.
        count: how many codes it is.
    """

    line: str
    why: str
    count: int = 1


def told(left: Sequence[LeftOut]) -> list[str]:
    """Lines for the terminal: a few whole, or the number of codes by reason, most first."""
    if len(left) <= WHOLE:
        return [one.line for one in left]
    counts: Counter[str] = Counter()
    for one in left:
        counts[one.why] += one.count
    reasons = ", ".join(f"{count:,} {why}" for why, count in counts.most_common())
    return [f"{counts.total():,} codes left out: {reasons} (each is named in choice.json)"]
