"""Where images lie: files, archives, and object stores by their address, as s3://BUCKET/FOLDER.

A place is bytes: an absolute path, one below the collection for files that it keeps itself, or an
address. Object stores are read through fsspec, with the credentials that its own drivers find.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from neuralcodes.common.errors import UserError, import_extra
from neuralcodes.images.sources import MAX_BYTES, is_hidden, is_image_name


def is_remote(place: bytes) -> bool:
    """Whether it is an address in an object store."""
    return b"://" in place


def is_own(place: bytes) -> bool:
    """Whether it is a file that the collection keeps."""
    return not os.path.isabs(place) and not is_remote(place)


def below(place: bytes) -> tuple[bytes, bytes]:
    """What all places below a folder lie between."""
    prefix = place.rstrip(b"/")
    return prefix + b"/", prefix + b"0"  # 0 is what comes after /


def is_below(place: bytes, folder: bytes) -> bool:
    """Whether a place lies below a folder."""
    return place.startswith(below(folder)[0])


def is_gone(place: bytes) -> bool:
    """Whether there is surely no such file; not so if it only cannot be seen."""
    if is_remote(place):
        return True  # what an object store does not list, it does not have
    try:
        os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def remote_facts(place: bytes) -> tuple[bool, str]:
    """Whether it is a folder, and the stamp of a file: another one when it changes.

    Raises:
        UserError: nothing there, no right to see it, or no driver for such an address.
    """
    with _explained(place):
        store, path = _store(place)
        about = store.info(path)
        return about["type"] == "directory", _stamp(about)


def list_remote(place: bytes) -> Iterator[tuple[bytes, str, float]]:
    """Place, stamp and date of all files below a folder, in order of names.

    Raises:
        UserError: it cannot be listed; nothing counts as gone then.
    """
    with _explained(place):
        store, path = _store(place)
        store.invalidate_cache()
        found = store.find(path, detail=True)
    for name in sorted(found):
        about = found[name]
        date = about.get("mtime") or about.get("created") or about.get("LastModified") or 0.0
        seconds = date.timestamp() if hasattr(date, "timestamp") else date
        below_it = os.fsencode(name)[len(os.fsencode(path)) :]  # addresses stay as given
        yield place + b"/" + below_it.lstrip(b"/"), _stamp(about), float(seconds)


def read_remote(place: bytes, start: int | None = None, end: int | None = None) -> bytes:
    """A file's bytes, or those from `start` to before `end`.

    Raises:
        OSError: it cannot be had.
    """
    store, path = _store(place)
    try:
        if end is None and (size := int(store.info(path)["size"])) > MAX_BYTES:
            raise OSError(errno.EFBIG, f"a file of {size / 2**30:.1f} GB")
        data: bytes = store.cat_file(path, start=start, end=end)
    except OSError:
        raise
    except Exception as error:  # each driver has its own
        raise OSError(errno.EIO, " ".join(str(error).split())[:200]) from error
    return data


def open_remote(place: bytes) -> Any:
    """A file object that can seek, for archives."""
    store, path = _store(place)
    return store.open(path, "rb", block_size=2**20)


def wanted_image(name: str) -> bool:
    """Whether a file below a folder, by its name with "/", is an image to take in."""
    return is_image_name(name) and not any(is_hidden(part) for part in name.split("/"))


def _stamp(about: dict[str, Any]) -> str:
    seen = [
        about.get(key) for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created")
    ]
    marks = [str(value) for value in seen if value]
    return f"{about.get('size')}:{marks[0] if marks else ''}"


def _store(place: bytes) -> tuple[Any, str]:
    fsspec = import_extra("fsspec", "cluster")
    store, path = fsspec.core.url_to_fs(os.fsdecode(place))
    return store, str(path)


@contextmanager
def _explained(place: bytes) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # each driver has its own
        known = isinstance(error, FileNotFoundError)
        reason = "no such file or folder" if known else " ".join(str(error).split())[:300]
        raise UserError(f"{os.fsdecode(place)}: {reason}") from error
