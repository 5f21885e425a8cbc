"""`Adder`: pictures of many requests, added by one writer in common commits.

A request is answered only after its pictures are committed and synced to disk. Pictures that come
while a commit is under way go into the next one together.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeVar

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.lookup import content_of, kept_image
from neuralcodes.collection.metadata import RESERVED
from neuralcodes.common.errors import UserError
from neuralcodes.serve.errors import BadPictureError, RefusedError, UnavailableError
from neuralcodes.serve.jobs import Jobs, StoppedError
from neuralcodes.serve.models import Added

WAIT = 60.0  # seconds that a request waits for the writer
OTHER_WRITER = 20.0  # seconds that the writer waits for another process
COLUMNS = 50

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_COLUMN = re.compile(r"[^\W\d]\w{0,63}")
Result = TypeVar("Result")


@dataclass
class _Waiting:
    """Pictures of one request: names to keep them under, and files."""

    pictures: Sequence[tuple[str, bytes]]
    metadata: Mapping[str, Any]
    answer: Future[list[Added]] = field(default_factory=Future)


class Adder:
    """Adds pictures and takes images out, through the writer's jobs.

    Args:
        collection: to add to.
        jobs: of the one writer.
        writing: held while something writes.
    """

    def __init__(self, collection: Collection, jobs: Jobs, writing: threading.Lock) -> None:
        self._collection = collection
        self._jobs = jobs
        self._writing = writing
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._scheduled = False

    def add(
        self, pictures: Sequence[tuple[str, bytes]], metadata: Mapping[str, Any]
    ) -> list[Added]:
        """Add pictures (name as the client calls it, file); on disk when this returns.

        Raises:
            UnavailableError: the writer is not free for long, or shutting down.
            BusyError: too much waits.
            BadPictureError: one cannot be decoded.
            RefusedError: metadata that is none.
        """
        check_metadata(metadata)
        named = [(kept_name(name, data), data) for name, data in pictures]
        mine = _Waiting(named, metadata)
        with self._lock:
            self._waiting.append(mine)
            if not self._scheduled:
                try:
                    self._jobs.submit("add", self._commit, quiet=True)
                except RefusedError:
                    self._waiting.remove(mine)
                    raise
                self._scheduled = True
        try:
            return mine.answer.result(timeout=WAIT)
        except TimeoutError:
            with self._lock:
                withdrawn = mine in self._waiting
                if withdrawn:
                    self._waiting.remove(mine)
        if withdrawn:
            raise UnavailableError("the collection is being written to; nothing was added", 10)
        return mine.answer.result()

    def remove(self, ids: Sequence[int]) -> int:
        """Take images out; gives how many left.

        Raises:
            UserError: there is no such image.
            UnavailableError: the writer is not free for long, or shutting down.
        """
        removed = self.write("remove", lambda: self._collection.remove(list(ids)))
        return int(removed)

    def close(self) -> None:
        """Refuse what still waits."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        _fail(taken, UnavailableError("shutting down; nothing was added"))

    def write(self, kind: str, work: Callable[[], Result]) -> Result:
        """Let the writer do something short, and wait for it; raises what it raises."""
        job = self._jobs.submit(kind, lambda: self.patiently(work), quiet=True)
        job.over.wait()
        if job.error is not None:
            raise job.error
        if job.state != "done":
            raise UnavailableError("shutting down; nothing was changed")
        result: Result = job.result
        return result

    def patiently(self, work: Callable[[], Result]) -> Result:
        """Do something that writes; while another process writes, wait for it for a while."""
        until = time.monotonic() + OTHER_WRITER
        while True:
            try:
                with self._writing:
                    return work()
            except UserError as error:
                if "is writing to it" not in str(error):
                    raise
                if time.monotonic() > until:
                    raise UnavailableError(" ".join(str(error).split()), 10) from None
            time.sleep(0.2)

    def _commit(self) -> int:
        """Add everything that waits now."""
        with self._lock:
            taken, self._waiting, self._scheduled = self._waiting, [], False
        try:
            return self.patiently(lambda: self._add(taken))
        except BaseException as error:
            told = UnavailableError("shutting down") if isinstance(error, StoppedError) else error
            _fail(taken, told)
            raise

    def _add(self, taken: Sequence[_Waiting]) -> int:
        store = self._collection.store
        files = {name: data for one in taken for name, data in one.pictures}
        known = {name for name in files if kept_image(store, name) is not None}
        self._collection.add(list(files.values()), names=list(files))
        for one in taken:
            try:
                added = self._added(one, known)
                if one.metadata:
                    rows = [{"id": image.id, **one.metadata} for image in added]
                    self._collection.set_metadata(rows)
            except (RefusedError, UserError) as error:
                one.answer.set_exception(error)
            else:
                one.answer.set_result(added)
        return len(files) - len(known)

    def _added(self, one: _Waiting, known: set[str]) -> list[Added]:
        added = []
        for name, _ in one.pictures:
            image = kept_image(self._collection.store, name)
            if image is None or content_of(self._collection.store, image) is None:
                with suppress(UserError):
                    self._collection.remove([image] if image is not None else [])
                raise BadPictureError(f"{name}: cannot be decoded")
            added.append(Added(id=image, name=name, new=name not in known))
        return added


def _fail(taken: Sequence[_Waiting], error: BaseException) -> None:
    for one in taken:
        if not one.answer.done():
            one.answer.set_exception(error)


def kept_name(name: str, data: bytes) -> str:
    """What a picture is kept as: something of its own name, and something of its content."""
    stem = PurePosixPath(name.replace("\\", "/")).stem
    stem = _UNSAFE.sub("_", stem)[:60].strip("_") or "picture"
    return f"{stem}-{hashlib.sha256(data).hexdigest()[:16]}"


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse what are no columns and values before anything is written."""
    if len(metadata) > COLUMNS:
        raise RefusedError(f"metadata: at most {COLUMNS} columns")
    for column, value in metadata.items():
        if not _COLUMN.fullmatch(column) or column.lower() in RESERVED:
            raise RefusedError(f"metadata: {column[:64]!r} cannot be a column's name")
        number = isinstance(value, int | float) and abs(value) < 2**63  # so not NaN either
        if not number and not isinstance(value, str):
            raise RefusedError(f"metadata: {column} must be text or a number")
        if isinstance(value, str) and len(value) > 1000:
            raise RefusedError(f"metadata: {column} is longer than 1000 characters")
