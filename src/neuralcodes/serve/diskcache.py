"""`DiskCache`: files by key, of a bounded size together; the least used go first."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_write, make_folder

KEEP = 0.8  # of the room, after a sweep
REFRESH = 3600.0  # seconds between notes that a file was used


class DiskCache:
    """Bytes by key. What it loses can be made again, so it never fails a request.

    Args:
        folder: of its own; only the user may read it.
        most: bytes.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._lock = threading.Lock()
        self._size: int | None = None
        make_folder(folder)
        with suppress(OSError):
            folder.chmod(0o700)

    def get(self, key: str) -> bytes | None:
        """What was put under this key; None if it is not there (any more)."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            if time.time() - path.stat().st_mtime > REFRESH:
                os.utime(path)
        except OSError:
            return None
        return data or None

    def put(self, key: str, data: bytes) -> None:
        """Keep bytes under a key; where the disk is full they are not kept."""
        path = self._path(key)
        try:
            with atomic_write(path) as file:
                file.write(data)
        except UserError:
            return
        with self._lock:
            if self._size is None:
                self._size = sum(size for _, size, _ in self._files())
            else:
                self._size += len(data)
            if self._size > self._most:
                self._size = self._sweep()

    def _path(self, key: str) -> Path:
        """Keys are ours (digests and sizes); this only makes sure of it."""
        if not key.replace("-", "").replace(".", "").isalnum():
            raise ValueError(f"no key of this cache: {key!r}")
        return self._folder / key[:2] / key

    def _files(self) -> list[tuple[float, int, str]]:
        found = []
        for place, _, names in os.walk(self._folder):
            for name in names:
                with suppress(OSError):
                    path = os.path.join(place, name)
                    info = os.stat(path)
                    found.append((info.st_mtime, info.st_size, path))
        return found

    def _sweep(self) -> int:
        files = sorted(self._files())
        size = sum(bytes_ for _, bytes_, _ in files)
        for _, bytes_, path in files:
            if size <= KEEP * self._most:
                break
            with suppress(OSError):
                os.unlink(path)
                size -= bytes_
        return size
