"""Passes of a network: how many images go through it together.

Everything that makes codes cuts its images into passes of this size, so that a set of images has
the same codes by whatever way, to the bit: in a pass of another size the last bits come out
otherwise. Who reads images ahead reads as many at a time. Needs no torch.
"""

from __future__ import annotations

BATCH = 250  # images a pass


def passes(count: int) -> list[slice]:
    """Runs of at most `BATCH` rows that make up 0…count."""
    return [slice(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
