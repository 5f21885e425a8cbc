"""Files and folders written atomically, and locks between processes.

A reader sees the old content or the new, never a part. What a killed process leaves half-written
is named `.NAME.xxxxxxxx.partial`; a later process that writes to the same folder removes it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from neuralcodes.common.errors import UserError
from neuralcodes.common.machine import available_memory

_log = logging.getLogger(__name__)

_REMEDY = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place",
    errno.EACCES: "no right to write there; choose another place",
    errno.EPERM: "no right to write there; choose another place",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.ENOTDIR: "a part of this path is a file, not a folder; choose another place",
    errno.EEXIST: "a file of that name is in the way; choose another place",
    errno.EISDIR: "a folder of that name is in the way; choose another place",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}

_PARTIAL = re.compile(r"\..+\.[0-9a-f]{8}\.partial")
_YOUNG = 60.0  # seconds; a new partial file may not be locked yet
_cleaned: set[Path] = set()


@contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn the file-system errors a user can mend into one line that names `path`."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDY.get(error.errno or 0)
        if remedy is None:
            raise
        raise UserError(f"{path}: cannot write: {remedy}") from error


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears under `path` only when the block ends without an error.

    Raises:
        UserError: full disk, no right to write, read-only file system.
    """
    path = Path(path)
    with explain_os_errors(path):
        make_folder(path.parent)
        _clean(path.parent)
        work = _partial(path)
        try:
            with open(work, "xb") as file:
                _hold(file.fileno())
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(work, path)  # still locked, so that no one takes it for a left-over
        except BaseException:
            work.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under `path`, whole, when the block ends without an error.

    An older folder of that name is replaced. Two processes may do so at once: the later one wins.

    Raises:
        UserError: full disk, no right to write, read-only file system.
    """
    path = Path(path)
    with explain_os_errors(path):
        make_folder(path.parent)
        _clean(path.parent)
        work = _partial(path)
        work.mkdir()
        lock = os.open(work, os.O_RDONLY)
        try:
            _hold(lock)
            yield work
            for file in work.rglob("*"):
                if file.is_file():
                    _sync(file)
            _put_folder(work, path)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        finally:
            os.close(lock)


@contextmanager
def exclusive(path: Path, waiting: str) -> Iterator[None]:
    """Hold the lock file `path`; while another process holds it, log `waiting` and wait.

    A process that dies lets go of it. The empty file stays. Where the file system has no locks
    the block runs at once, so it must be right without one too, only slower.
    """
    path = Path(path)
    with explain_os_errors(path):
        make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning(waiting)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder and those above it where they are missing.

    Raises:
        UserError: it cannot be made there.
    """
    try:
        with explain_os_errors(path):
            path.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError:  # a kernel file system such as /proc, or a dangling link
        raise UserError(f"{path}: no folder can be made there; choose another place") from None


def check_room(folder: Path, needed: int, what: str, remedy: str) -> None:
    """Refuse early what would fill the disk after minutes of work.

    Args:
        folder: where `what` would lie; it is made if absent.
        needed: bytes.

    Raises:
        UserError: less is free, or the folder cannot be made.
    """
    make_folder(folder)
    status = os.statvfs(folder)
    free, where = status.f_bavail * status.f_frsize, "on this disk"
    memory = available_memory()
    if memory is not None and memory < free and _is_in_memory(folder):
        free, where = memory, "in memory, where this folder lies"
    if needed > free:
        raise UserError(
            f"{folder}: {what} needs {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB are free "
            f"{where}; {remedy}"
        )


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Write `value` as JSON, atomically. NaN is refused: JSON has none."""
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file name that is not UTF-8; escapes can hold it
        text = json.dumps(value, indent=indent, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: it is absent, may not be read, or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON file ({error})") from None


def _is_in_memory(folder: Path) -> bool:
    """Whether a folder is on a tmpfs: its files take memory, whatever size it claims."""
    device = os.stat(folder).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return False
    return any(mount.split()[2] == number and " - tmpfs " in mount for mount in mounts.splitlines())


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


def _hold(descriptor: int) -> None:
    """Mark a partial file as that of a living process."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _clean(folder: Path) -> None:
    """Remove what killed processes left, once a process and folder; the living hold locks."""
    if folder in _cleaned:
        return
    _cleaned.add(folder)
    for entry in list(os.scandir(folder)):
        if not _PARTIAL.fullmatch(entry.name):
            continue
        with suppress(OSError):  # locked, just removed by another, or not ours to remove
            if time.time() - entry.stat(follow_symlinks=False).st_mtime < _YOUNG:
                continue
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
            finally:
                os.close(descriptor)


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_folder(work: Path, path: Path) -> None:
    olds = []
    while True:
        try:
            os.rename(work, path)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if _exchange(work, path):
            olds.append(work)
            break
        # Not named as a partial: killed between the two renames, it is the only whole copy.
        old = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
        with suppress(FileNotFoundError):  # another process has just put it aside
            os.rename(path, old)
            olds.append(old)
    for old in olds:
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step (Linux's renameat2); False where the system cannot."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    here, swap = -100, 2  # AT_FDCWD of fcntl.h, RENAME_EXCHANGE of linux/fs.h
    done: int = renameat2(here, os.fsencode(one), here, os.fsencode(other), swap)
    return done == 0
