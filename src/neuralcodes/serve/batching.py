"""`Batcher`: requests of many threads, gathered into passes of the network on one thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuralcodes.collection.snapshot import Floats
from neuralcodes.images.imageset import Pixels
from neuralcodes.serve.errors import BusyError, UnavailableError
from neuralcodes.serve.settings import Settings

Told = Callable[[int, float], None]


@dataclass
class _Item:
    """Pixels uint8 n×H×W×3 that wait, or another piece of work for the network's thread."""

    rows: int
    pixels: Pixels | None = None
    work: Callable[[], Any] | None = None
    answer: Future[Any] = field(default_factory=Future)


class Batcher:
    """One thread that owns the network, and a bounded queue before it.

    Args:
        encode: uint8 n×H×W×3 → float32 n×d.
        settings: pictures a pass, how long the first waits, how many may wait in all.
        told: is called with the size and seconds of each pass.
    """

    def __init__(self, encode: Callable[[Pixels], Floats], settings: Settings, told: Told) -> None:
        self._encode = encode
        self._settings = settings
        self._told = told
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Pictures in the queue or in the pass under way."""
        return self._waiting

    def encode(self, pixels: Pixels) -> Floats:
        """Codes, float32 n×d, of uint8 n×H×W×3 pixels; waits for them.

        Raises:
            BusyError: too many wait already.
            UnavailableError: shutting down.
            UserError: the network is not to be had.
        """
        step = self._settings.batch
        parts = [
            self._put(_Item(len(part), pixels=part))
            for part in (pixels[at : at + step] for at in range(0, len(pixels), step))
        ]
        return np.concatenate([part.result() for part in parts])

    def call(self, work: Callable[[], Any]) -> Any:
        """Run something else on the network's thread, as encoding text; raises as `encode`."""
        return self._put(_Item(1, work=work)).result()

    def close(self, patience: float) -> None:
        """Finish what waits and end; what takes longer than so many seconds dies with the process.

        It may still be opening a large network that nobody waits for any more.
        """
        with self._lock:
            self._closed = True
            self._items.put(None)
        self._thread.join(patience)

    def _put(self, item: _Item) -> Future[Any]:
        with self._lock:
            if self._closed:
                raise UnavailableError("shutting down")
            if self._waiting + item.rows > self._settings.batch_queue:
                raise BusyError(f"{self._waiting} pictures wait for the network already")
            self._waiting += item.rows
            self._items.put(item)
        return item.answer

    def _run(self) -> None:
        held: _Item | None = None
        ending = False
        while True:
            first = held or self._items.get()
            held = None
            if first is None:
                return
            if first.work is not None:
                self._finish([first], first.work)
                continue
            batch, rows = [first], first.rows
            until = time.monotonic() + self._settings.batch_wait
            while rows < self._settings.batch and not ending:
                try:
                    more = self._items.get(timeout=max(0.0, until - time.monotonic()))
                except queue.Empty:
                    break
                if more is None:
                    ending = True
                elif more.work is not None or rows + more.rows > self._settings.batch:
                    held = more
                    break
                else:
                    batch.append(more)
                    rows += more.rows
            self._pass(batch)
            if ending:
                return

    def _pass(self, batch: list[_Item]) -> None:
        def work() -> Floats:
            start = time.monotonic()
            parts = [item.pixels for item in batch if item.pixels is not None]
            codes = self._encode(parts[0] if len(parts) == 1 else np.concatenate(parts))
            self._told(len(codes), time.monotonic() - start)
            return codes

        self._finish(batch, work)

    def _finish(self, batch: list[_Item], work: Callable[[], Any]) -> None:
        """Do the work and give each item its part, or its error."""
        try:
            made = work()
        except BaseException as error:
            outcome: BaseException | None = error
        else:
            outcome = None
        with self._lock:
            self._waiting -= sum(item.rows for item in batch)
        at = 0
        for item in batch:
            if outcome is not None:
                item.answer.set_exception(outcome)
            elif item.work is not None:
                item.answer.set_result(made)
            else:
                item.answer.set_result(made[at : at + item.rows])
            at += item.rows
