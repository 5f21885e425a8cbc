"""Tiny ImageNet from its official address, when the user has no copy of it.

A download that breaks off goes on where it stopped, in the same run or in a later one. The file
gets its name only when it is whole and its checksum is right.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message
from pathlib import Path
from typing import Any

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import (
    check_room,
    exclusive,
    explain_os_errors,
    read_json,
    write_json,
)
from neuralcodes.common.progress import progress
from neuralcodes.images.cache import REMEDY, cache_root

_log = logging.getLogger(__name__)

OFFICIAL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
OFFICIAL_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
BY_HAND = "or download it elsewhere and give its place with --data"

TIMEOUT = 30.0  # seconds without a byte
PAUSES = (1.0, 5.0, 15.0)  # seconds before each further try in a row that brought nothing
CHUNK = 2**18


def ensure_tiny_imagenet(
    path: Path | None, url: str = OFFICIAL, md5: str | None = OFFICIAL_MD5
) -> Path:
    """Where Tiny ImageNet lies: `path`, else what was downloaded before, else a new download.

    Args:
        path: the place that the user gave, taken as it is.
        url: where to download from.
        md5: of the file there, in hexadecimal; None when it is not known.

    Raises:
        UserError: it cannot be downloaded or written; see `download`.
    """
    if path is not None:
        return Path(path)
    target = cache_root() / "downloads" / "tiny-imagenet-200.zip"
    if not target.is_file():
        download(url, target, md5)
    return target


def download(
    url: str, target: Path, md5: str | None = None, pauses: Sequence[float] = PAUSES
) -> None:
    """Download `url` to `target`, going on from a part that an earlier try left.

    Two processes that want the same file share one download.

    Args:
        url: an http or https address.
        target: the file to make; `TARGET.part` beside it holds what has come so far.
        md5: checksum in hexadecimal; None when it is not known.
        pauses: seconds to wait before each further try in a row that brings nothing.

    Raises:
        UserError: no network, an error of the server, connection lost for good, wrong checksum,
            full disk, no right to write.
    """
    part = target.with_name(f"{target.name}.part")
    lock = target.with_name(f".{target.name}.lock")
    with exclusive(lock, f"{target}: another process is downloading it; waiting for it"):
        if target.is_file():
            return
        _log.info("downloading %s to %s", url, target)
        _fetch_all(url, part, md5 is not None, pauses)
        with explain_os_errors(target):
            _check(url, part, md5)
            part.replace(target)
            _facts_of(part).unlink(missing_ok=True)


class _LostError(Exception):
    """The connection broke, or the server is busy: another try may help."""


class _UnreachableError(_LostError):
    """There was no connection at all."""


def _fetch_all(url: str, part: Path, checked: bool, pauses: Sequence[float]) -> None:
    first = _size(part)
    left = list(pauses)
    while True:
        before = _size(part)
        try:
            return _fetch(url, part, checked)
        except _LostError as lost:
            now = _size(part)
            if now > before:
                left = list(pauses)
            if not left or (isinstance(lost, _UnreachableError) and now == first):
                raise UserError(f"{url}: {lost}") from None
            time.sleep(left.pop(0))


def _fetch(url: str, part: Path, checked: bool) -> None:
    """One try: append to `part` what is missing of it."""
    have, version = _resume_point(url, part, checked)
    headers = {"User-Agent": "neuralcodes", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if version:
            headers["If-Range"] = version  # the whole file again if it has changed
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            _judge(url, part, have, error)
        return
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _UnreachableError(
            f"cannot be reached ({reason}); check the network, {BY_HAND}"
        ) from None
    with response:
        start, total = _extent(response.status, response.headers)
        if start not in (0, have):
            part.unlink(missing_ok=True)
            raise _LostError(f"the server sent bytes from {start}, not {have}; run again")
        if start == 0:
            part.unlink(missing_ok=True)
            write_json(_facts_of(part), {"url": url, "version": _version(response.headers)})
        check_room(part.parent, max(0, total - start), part.name, REMEDY)
        _append(response, part, start, total)


def _append(response: Any, part: Path, start: int, total: int) -> None:
    got, reason = start, "closed too early"
    with (
        explain_os_errors(part),
        open(part, "ab") as file,
        progress(total, "downloading", "B") as bar,
    ):
        bar.initial = start  # what came earlier does not count for the speed
        bar.update(start)
        while True:
            try:
                chunk = response.read(CHUNK)
            except (OSError, http.client.HTTPException) as error:
                chunk, reason = b"", str(error)
            if not chunk:
                break
            file.write(chunk)
            got += len(chunk)
            bar.update(len(chunk))
        os.fsync(file.fileno())
    if got < total or reason != "closed too early":
        raise _LostError(
            f"connection lost after {got / 1e6:.1f} of {total / 1e6:.1f} MB ({reason}); "
            "run again to go on from there"
        )


def _judge(url: str, part: Path, have: int, error: urllib.error.HTTPError) -> None:
    """What an error status means; returns when `part` is whole already."""
    if error.code == 416:  # nothing from there on
        total = str(error.headers.get("Content-Range", "")).rpartition("/")[2]
        if total == str(have):
            return
        part.unlink(missing_ok=True)
        raise _LostError("the server cannot go on from what is here; run again to start anew")
    said = f"the server answers {error.code} {error.reason}"
    if error.code == 429 or error.code >= 500:
        raise _LostError(f"{said}; try later, {BY_HAND}")
    raise UserError(f"{url}: {said}; check the address, {BY_HAND}")


def _extent(status: int, headers: Message) -> tuple[int, int]:
    """First byte of an answer, and bytes of the whole file (0 when the server does not say)."""
    if status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        if match:
            return int(match[1]), 0 if match[2] == "*" else int(match[2])
        return -1, 0
    return 0, int(headers.get("Content-Length") or 0)


def _version(headers: Message) -> str | None:
    """What the server calls this version of the file, in a form good for `If-Range`."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _resume_point(url: str, part: Path, checked: bool) -> tuple[int, str | None]:
    """Bytes to keep of `part`, and of which version of the file they are.

    Without a version only a checksum can tell that two halves belong together.
    """
    try:
        facts = read_json(_facts_of(part))
    except UserError:
        return 0, None
    version = facts.get("version") if isinstance(facts, dict) else None
    if facts == {"url": url, "version": version} and (version or checked):
        return _size(part), version
    return 0, None


def _check(url: str, part: Path, md5: str | None) -> None:
    if md5 is None:
        return
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, _md5).hexdigest()
    if found != md5:
        part.unlink()
        raise UserError(
            f"{url}: wrong checksum (MD5 {found}, expected {md5}); what came was removed: "
            f"run again, {BY_HAND}"
        )


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)  # allowed then where MD5 is switched off


def _facts_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
