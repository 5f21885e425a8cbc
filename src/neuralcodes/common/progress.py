"""One progress bar for all long work: count, rate, time left; plain lines in a pipe or log."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress(total: int, what: str, unit: str = "image") -> tqdm[Any]:
    """A bar on standard error. In a pipe or log it prints a line at most every 30 seconds."""
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        unit_scale=total >= 10_000,
        mininterval=0.2 if terminal else 30.0,
        maxinterval=10.0 if terminal else 60.0,
        dynamic_ncols=terminal,
        leave=terminal,
        file=sys.stderr,
    )
