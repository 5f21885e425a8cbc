"""One progress bar for all long work: count, rate, time left; plain lines in a pipe or log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

from neuralcodes.common.team import Team

Watcher = Callable[[str, int, int], None]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Within the block this thread's bars tell the watcher instead of standard error.

    Args:
        watcher: called with what is done, how many so far and of how many. It may raise to stop
            the work: a `KeyboardInterrupt` does what Ctrl-C does.
    """
    before = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(before)


def progress(total: int, what: str, unit: str = "image") -> tqdm[Any]:
    """A bar on standard error. In a pipe or log it prints a line at most every 30 seconds."""
    watcher = _watcher.get()
    if watcher is not None:
        return _Watched(watcher, total, what)
    terminal = sys.stderr.isatty()
    if not Team.current().leads:
        return tqdm(total=total, disable=True)
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


class _Watched(tqdm):  # type: ignore[type-arg]  # tqdm is generic for mypy only
    """A bar that is not drawn."""

    def __init__(self, watcher: Watcher, total: int, what: str) -> None:
        self._watcher = watcher
        self._what = what
        self._done = 0
        super().__init__(total=total, desc=what, disable=True)
        watcher(what, 0, total)

    def update(self, n: float | None = 1) -> bool | None:
        self._done += int(n or 0)
        self._watcher(self._what, self._done, int(self.total or 0))
        return None
