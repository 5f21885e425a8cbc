"""Reading, hashing and decoding images on all cores, ahead of the network."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from neuralcodes.codes.spec import Preprocessing
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.schema import DATABASE, connect
from neuralcodes.collection.walk import BROKEN, Found
from neuralcodes.common.machine import cpu_count
from neuralcodes.images.facts import Facts
from neuralcodes.images.imageset import Pixels

CHUNK = 16  # images a task: fewer would cost more in handing over than in work
AHEAD_BYTES = 128 * 2**20  # of decoded pixels that wait for the network


@dataclass(frozen=True)
class Job:
    """An image to be read: where it is, and its row in the database if it has one."""

    found: Found
    image: int | None


@dataclass(frozen=True)
class Ready:
    """An image that has been read.

    Attributes:
        job: what was asked for.
        bad: why there is nothing; else the rest is set.
        hash: sha256 of its bytes.
        size: bytes.
        code: id of the code, where the collection knew the content already; else
        pixels: uint8 H×W×3, and
        facts: what the file says of itself.
    """

    job: Job
    bad: str | None = None
    hash: bytes = b""
    size: int = 0
    code: int | None = None
    pixels: Pixels | None = None
    facts: Facts | None = None


class Reader:
    """Reads images in the order asked for, several at a time.

    Args:
        path: the collection's folder.
        pictures: where the bytes come from.
        preprocessing: how an image becomes the network's input.
    """

    def __init__(self, path: Path, pictures: Pictures, preprocessing: Preprocessing) -> None:
        self._path = path
        self._pictures = pictures
        self._pre = preprocessing
        self._own = threading.local()
        self._opened: list[sqlite3.Connection] = []

    def read(self, jobs: Sequence[Job]) -> Iterator[Ready]:
        """Give each job's image, in order; at most some hundreds are read ahead."""
        height, width = self._pre.size
        ahead = max(2, min(64, AHEAD_BYTES // (height * width * 3 * CHUNK)))
        pool = ThreadPoolExecutor(cpu_count())
        waiting: deque[Future[list[Ready]]] = deque()
        try:
            for start in range(0, len(jobs), CHUNK):
                chunk = jobs[start : start + CHUNK]
                early = [self._read_in_order(job) for job in chunk]
                waiting.append(pool.submit(self._prepare, chunk, early))
                if len(waiting) > ahead:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            for connection in self._opened:
                connection.close()
            self._opened.clear()

    def _read_in_order(self, job: Job) -> bytes | OSError | None:
        """The bytes of what cannot be read out of order, here and now; None for all else."""
        found = job.found
        try:
            if self._pictures.in_order(found.place, found.member):
                return self._pictures.read(found.place, found.member)
        except OSError as error:
            return error
        return None

    def _prepare(self, jobs: Sequence[Job], early: Sequence[bytes | OSError | None]) -> list[Ready]:
        return [self._one(job, data) for job, data in zip(jobs, early, strict=True)]

    def _one(self, job: Job, data: bytes | OSError | None) -> Ready:
        found = job.found
        try:
            if found.stamp == BROKEN:
                return Ready(job, bad="a broken link, or not a regular file")
            if isinstance(data, OSError):
                raise data
            if data is None:
                data = self._pictures.read(found.place, found.member)
        except OSError as error:
            return Ready(job, bad=error.strerror or str(error))
        return self.prepare(job, data)

    def prepare(self, job: Job, data: bytes) -> Ready:
        """Hash an image's bytes and, where the collection does not know them, decode them."""
        digest = hashlib.sha256(data).digest()
        known = self._known(digest)
        if known is not None:
            return Ready(job, hash=digest, size=len(data), code=known)
        try:
            pixels, facts = self._pictures.decoding.pixels(data, self._pre)
        except ValueError as error:
            return Ready(job, bad=str(error), hash=digest, size=len(data))
        except MemoryError:
            return Ready(job, bad="not enough memory to decode it", hash=digest, size=len(data))
        return Ready(job, hash=digest, size=len(data), pixels=pixels, facts=facts)

    def _known(self, digest: bytes) -> int | None:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = connect(self._path / DATABASE, write=False)
            self._own.connection = connection
            self._opened.append(connection)
        row = connection.execute("SELECT id FROM codes WHERE hash = ?", (digest,)).fetchone()
        return None if row is None else int(row[0])
