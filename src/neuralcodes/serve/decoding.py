"""`Decoders`: processes that decode pictures, watched; a picture that kills one harms no other."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuralcodes.codes.spec import Preprocessing
from neuralcodes.images.facts import Facts
from neuralcodes.images.imageset import Pixels
from neuralcodes.serve.decoding_worker import HEAD
from neuralcodes.serve.errors import (
    BadPictureError,
    BusyError,
    TooLargeError,
    UnavailableError,
)
from neuralcodes.serve.settings import Settings

Crop = tuple[float, float, float, float]
"""Left, top, width, height of a part, as fractions of the upright picture."""

START_SECONDS = 60.0
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "LANG", "LC_ALL")


@dataclass(frozen=True)
class Picture:
    """What a decoder says of a picture: size in pixels as stored, and kind ("JPEG").

    `turned`: it lies on its side, so that upright it is as wide as it is stored high.
    """

    width: int
    height: int
    kind: str
    turned: bool = False

    @property
    def upright(self) -> Facts:
        """The same of the upright picture."""
        if self.turned:
            return Facts(self.height, self.width, self.kind)
        return Facts(self.width, self.height, self.kind)


class _EndedError(Exception):
    """The process has died or was killed: why, in words."""


class _Worker:
    """One process; used by one thread at a time."""

    def __init__(self, memory: int) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # one thread of OpenBLAS: each would reserve address space
        environment |= {
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "neuralcodes.serve.decoding_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the server, which then ends it
            bufsize=0,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._sink, self._source = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._sink, False)
        os.set_blocking(self._source, False)
        self._send({"memory": memory}, b"", time.monotonic() + START_SECONDS)
        self._started = False

    def ask(self, about: dict[str, Any], data: bytes, seconds: float) -> tuple[Any, bytes]:
        """Send a request and wait for the answer; raises `_EndedError` and is of no use then."""
        if not self._started:
            self._receive(time.monotonic() + START_SECONDS)
            self._started = True
        deadline = time.monotonic() + seconds
        self._send({**about, "seconds": seconds}, data, deadline)
        return self._receive(deadline)

    def kill(self) -> None:
        """End it now."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _send(self, about: dict[str, Any], data: bytes, deadline: float) -> None:
        text = json.dumps(about).encode()
        rest = memoryview(HEAD.pack(len(text), len(data)) + text + data)
        while rest:
            self._wait(self._sink, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self._sink, rest[: 2**20]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise _EndedError(self._why()) from None

    def _receive(self, deadline: float) -> tuple[Any, bytes]:
        texts, size = HEAD.unpack(self._read(HEAD.size, deadline))
        return json.loads(self._read(texts, deadline)), self._read(size, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        parts: list[bytes] = []
        while size:
            self._wait(self._source, select.POLLIN, deadline)
            try:
                part = os.read(self._source, min(size, 2**20))
            except BlockingIOError:
                continue
            if not part:
                raise _EndedError(self._why())
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _wait(self, descriptor: int, what: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, what)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise _EndedError("takes too long to decode")

    def _why(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(timeout=5)
            if code == -signal.SIGXCPU:
                return "takes too long to decode"
        return "cannot be decoded: its decoder crashed on it"


class Decoders:
    """A fixed number of worker processes.

    Args:
        settings: how many, and their limits.
        told: is called with seconds and outcome ("ok", "bad", "killed") of each picture.
    """

    def __init__(self, settings: Settings, told: Callable[[float, str], None]) -> None:
        self._settings = settings
        self._told = told
        self._free: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._all: set[_Worker] = set()
        self._closed = False
        for _ in range(settings.decoders):
            self._free.put(None)

    def start(self) -> None:
        """Start the processes ahead of the first picture."""
        slots = [self._free.get() for _ in range(self._settings.decoders)]
        for slot in slots:
            self._free.put(slot or self._new())

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed = True
            workers, self._all = self._all, set()
        for worker in workers:
            worker.kill()

    def pixels(
        self, data: bytes, pre: Preprocessing, crop: Crop | None, most: int | None = None
    ) -> tuple[Picture, Pixels]:
        """A picture as the network's input, uint8 H×W×3.

        Args:
            data: a file.
            pre: how it becomes the network's input.
            crop: only this part of it.
            most: pixels it may have; None for the settings' limit.

        Raises:
            BadPictureError: no picture, damaged, or it took too much time or memory.
            TooLargeError: too many pixels.
            BusyError: all decoders are busy for long.
        """
        about = {"task": "pixels", "size": list(pre.size), "resize": pre.resize, "crop": crop}
        facts, _, made = self._ask(about, data, most)
        height, width = pre.size
        pixels = np.frombuffer(bytearray(made), np.uint8).reshape(height, width, 3)
        return facts, pixels

    def thumbnail(self, data: bytes, side: int, crop: Crop | None = None) -> bytes:
        """A picture as a JPEG file at most `side` pixels wide and high; raises as `pixels`."""
        return self._ask({"task": "thumbnail", "side": side, "crop": crop}, data)[2]

    def picture(self, data: bytes, longest: int, most: int | None = None) -> Pixels:
        """A picture of its own shape, uint8 H×W×3, no side of more pixels; raises as `pixels`."""
        _, (height, width), made = self._ask({"task": "picture", "side": longest}, data, most)
        return np.frombuffer(made, np.uint8).reshape(height, width, 3)

    def _ask(
        self, about: dict[str, Any], data: bytes, most: int | None = None
    ) -> tuple[Picture, tuple[int, int], bytes]:
        """What the file is; height and width of what was made, where it has another shape; it."""
        settings = self._settings
        try:
            worker = self._free.get(timeout=settings.decode_seconds)
        except queue.Empty:
            raise BusyError("all decoders are busy") from None
        start = time.monotonic()
        outcome = "killed"
        try:
            if worker is None:
                worker = self._new()
            answer, made = worker.ask(
                {**about, "most": most or settings.pixels}, data, settings.decode_seconds
            )
            outcome = "ok" if made else "bad"
        except _EndedError as ended:
            if self._closed:  # it is no fault of the picture's, which must not be called bad
                raise UnavailableError("shutting down") from None
            raise BadPictureError(str(ended)) from None
        finally:
            if outcome == "killed" and worker is not None:
                self._end(worker)
                worker = None
            self._free.put(worker)
            self._told(time.monotonic() - start, outcome)
        if "large" in answer:
            raise TooLargeError(answer["large"])
        if "bad" in answer:
            raise BadPictureError(answer["bad"])
        facts = Picture(
            answer["width"], answer["height"], answer["kind"], answer.get("turned", False)
        )
        height, width = answer.get("made", (0, 0))
        return facts, (height, width), made

    def _new(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise UnavailableError("shutting down")
            worker = _Worker(self._settings.decode_bytes)
            self._all.add(worker)
            return worker

    def _end(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.kill()
