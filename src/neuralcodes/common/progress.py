"""One progress bar for all long work: count, rate, time left.

In a terminal it is a line that is drawn again; in a notebook a widget, or such a line where
ipywidgets is missing; in a pipe or log a whole line now and then, and none for what is done soon.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

from neuralcodes.common.team import Team

LINE_SECONDS = 30.0  # between lines in a pipe or log
SCALED = 10_000  # units; more are counted in thousands

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
    """A bar on standard error; see above.

    Args:
        total: of units; 0 where it is not known.
        what: is being done.
        unit: of what is counted.
    """
    watcher = _watcher.get()
    if watcher is not None:
        return _Watched(watcher, total, what)
    if not Team.current().leads:
        return tqdm(total=total, disable=True)
    notebook = _in_notebook()
    if not notebook and not sys.stderr.isatty():
        return _Lines(total, what, unit)
    kind: type[tqdm[Any]] = tqdm
    if notebook and importlib.util.find_spec("ipywidgets"):
        from tqdm.notebook import tqdm_notebook

        kind = tqdm_notebook
    return kind(
        total=total or None,
        desc=what,
        unit=unit,
        unit_scale=total >= SCALED,
        mininterval=0.2,
        dynamic_ncols=not notebook,
        file=sys.stderr,
    )


def _in_notebook() -> bool:
    """Whether this is a kernel's process, as of Jupyter."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


class _Lines(tqdm):  # type: ignore[type-arg]  # tqdm is generic for mypy only
    """Whole lines: one every `LINE_SECONDS`, and one at the end of what took as long."""

    def __init__(self, total: int, what: str, unit: str) -> None:
        super().__init__(total=total, disable=True)
        self.initial = 0
        self._what, self._unit, self._postfix = what, unit, ""
        self._begun = self._told = time.monotonic()
        self._told_at: float = 0

    def update(self, n: float | None = 1) -> bool | None:
        self.n += int(n or 0)
        if time.monotonic() - self._told >= LINE_SECONDS:
            self._tell()
        return None

    def set_postfix(
        self, ordered_dict: Any = None, refresh: bool | None = True, **more: Any
    ) -> None:
        self._postfix = ", ".join(f"{k}={v}" for k, v in {**(ordered_dict or {}), **more}.items())

    def close(self) -> None:
        if self._told > self._begun and self.n != self._told_at:
            self._tell()

    def _tell(self) -> None:
        self._told, self._told_at = time.monotonic(), self.n
        line = self.format_meter(
            self.n,
            self.total or None,  # type: ignore[arg-type]  # None: not known
            self._told - self._begun,
            prefix=self._what,
            unit=self._unit,
            unit_scale=(self.total or self.n) >= SCALED,
            postfix=self._postfix,
            initial=self.initial,
            ncols=0,  # no bar
        )
        print(line, file=sys.stderr, flush=True)


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
