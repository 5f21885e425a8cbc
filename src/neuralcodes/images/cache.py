"""Images decoded once, in parallel, into a memory-mapped uint8 array keyed by content.

Two keys are kept. The *content key* is the sha256 of all file names and checksums with the size
and manner of decoding: the same pictures have the same key whether they lie in a folder or in
zip files. The *stamp* is cheap (places, sizes, times) and leads to the content key, so that
opening an unchanged source reads no picture at all.

The array is on disk: it takes the memory of what is being read, and the system takes that back
when it wants it. Decoding holds a block and one image being decoded per core; see `BLOCK_BYTES`.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import (
    atomic_folder,
    check_room,
    exclusive,
    read_json,
    write_json,
)
from neuralcodes.images.blocks import over_blocks
from neuralcodes.images.decode import decode, formats
from neuralcodes.images.imageset import BadImage, Pixels
from neuralcodes.images.resizing import Resize
from neuralcodes.images.sources import UNREADABLE, Source

_log = logging.getLogger(__name__)

FORMAT = 1  # raise when decoding changes, so that old caches are not taken for new ones
BLOCK_BYTES = 2**20  # of decoded images that a thread holds before it writes them
REMEDY = "free some space or set NEURALCODES_CACHE to a folder on another disk"


@dataclass(frozen=True)
class Decoded:
    """Decoded files of a source, in its order.

    Attributes:
        pixels: uint8 n×H×W×3, memory-mapped; a bad image's row is black.
        keys: one per row.
        bad: what could not be read or decoded, and why.
        content: the content key.
        texts: contents of the small text files asked for, by name.
    """

    pixels: Pixels
    keys: tuple[str, ...]
    bad: tuple[BadImage, ...]
    content: str
    texts: dict[str, str]

    def good(self) -> npt.NDArray[np.bool_]:
        """Which rows hold an image, bool n."""
        bad = {image.key for image in self.bad}
        return np.array([key not in bad for key in self.keys])


def cache_root() -> Path:
    """`NEURALCODES_CACHE`, else `XDG_CACHE_HOME`/neuralcodes, else ~/.cache/neuralcodes.

    Raises:
        UserError: none of them is set and the user has no home folder.
    """
    own = os.environ.get("NEURALCODES_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        if own:
            return Path(own).expanduser()
        return (Path(base) if base else Path.home() / ".cache") / "neuralcodes"
    except RuntimeError:
        raise UserError("no home folder for the cache; set NEURALCODES_CACHE to a folder") from None


def find_decoded(stamp: str, size: tuple[int, int], resize: Resize) -> Decoded | None:
    """The cached pixels of a source with this stamp; None when there are none, or damaged ones.

    The texts are those of the last time that the source itself was opened.
    """
    try:
        facts = read_json(_pointer(stamp, size, resize))
        found = _load(_folder(str(facts["content"])), size)
        return replace(found, texts=facts["texts"]) if found and "texts" in facts else found
    except (UserError, KeyError, TypeError):
        return None


def decode_all(
    source: Source, size: tuple[int, int], resize: Resize = "crop", texts: tuple[str, ...] = ()
) -> Decoded:
    """Decode every file of `source` to `size`, or take the pixels from the cache.

    Safe in several processes at once: of those that want the same images one decodes, the others
    wait for it. A damaged cache is made anew.

    Args:
        source: where the encoded files are.
        size: height and width.
        resize: see `neuralcodes.images.resizing.Resize`.
        texts: names of small text files to keep beside the pixels (`words.txt`).

    Raises:
        UserError: the cache's disk is full or not writable, there is not enough memory, or the
            source has no image that can be read.
    """
    stamp = source.stamp()
    wanted = {name: text for name in texts if (text := source.text(name)) is not None}
    decoded = find_decoded(stamp, size, resize)
    if decoded is not None and decoded.texts == wanted:
        return decoded
    if not source.keys:
        raise UserError(f"{source.name}: no images in it (looked for .jpg, .png, .webp and others)")
    sums = source.checksums()
    decoded = None
    while decoded is None:
        content = _content_key(source, sums, size, resize)
        decoded = _load(_folder(content), size) or _fill(source, sums, size, resize)
    if UNREADABLE not in sums:  # else what is there next time cannot be told from the stamp
        with suppress(UserError):  # it only saves time; a shared cache may be read-only
            pointer = {"content": decoded.content, "source": source.name, "texts": wanted}
            write_json(_pointer(stamp, size, resize), pointer)
    return replace(decoded, texts=wanted)


def _fill(source: Source, sums: list[int], size: tuple[int, int], resize: Resize) -> Decoded | None:
    """Decode into the cache. None when files turned out unreadable, now marked so in `sums`:
    what was promised is not what is there, so the content has another key."""
    folder = _folder(_content_key(source, sums, size, resize))
    needed = len(source.keys) * _image_bytes(size)
    check_room(folder.parent, needed, "the cache of decoded images", REMEDY)
    waiting = f"{source.name}: another process is decoding these images; waiting for it"
    with exclusive(folder.with_name(f".{folder.name}.lock"), waiting):
        decoded = _load(folder, size)
        if decoded is not None:
            return decoded
        _log.info("decoding %d images of %s into %s", len(source.keys), source.name, folder)
        try:
            with atomic_folder(folder) as work:
                _decode_into(work, source, sums, size, resize)
        except _BrokenPromiseError:
            return None
    decoded = _load(folder, size)
    if decoded is None:
        raise UserError(f"{folder}: cannot be read back after writing; {REMEDY}")
    return decoded


class _BrokenPromiseError(Exception):
    """Files that had a checksum could not be read."""


def _decode_into(
    work: Path, source: Source, sums: list[int], size: tuple[int, int], resize: Resize
) -> None:
    count = len(source.keys)
    path = work / "pixels.npy"
    start = _write_header(path, (count, *size, 3))
    bytes_each = _image_bytes(size)
    reasons: dict[int, str] = {}
    broken: list[int] = []

    def decode_block(rows: range) -> None:
        block = np.zeros((len(rows), *size, 3), dtype=np.uint8)
        for position, row in enumerate(rows):
            try:
                block[position] = decode(source.read(row), size, resize)
            except OSError as error:
                reasons[row] = error.strerror or str(error)
                if sums[row] != UNREADABLE:
                    broken.append(row)
            except ValueError as error:
                reasons[row] = str(error)
            except MemoryError:  # of the machine, not of the file: no verdict to keep
                raise UserError(
                    f"{source.name}: not enough memory to decode {source.keys[row]}; "
                    "close other programs or take the file away"
                ) from None
        # Written, not stored through a memory map: on a full disk that ends the process (SIGBUS).
        with open(path, "r+b") as file:
            file.seek(start + rows.start * bytes_each)
            file.write(block.data)

    with warnings.catch_warnings():  # not within the threads: the filters belong to them all
        warnings.simplefilter("ignore")  # Pillow's, of odd files; what matters is an error
        over_blocks(count, max(1, BLOCK_BYTES // bytes_each), decode_block, "decoding")
    if broken:
        for row in broken:
            sums[row] = UNREADABLE
        raise _BrokenPromiseError
    if len(reasons) == count:
        raise UserError(
            f"{source.name}: none of its {count} images can be read "
            f"(the first, {source.keys[0]}: {reasons[0]})"
        )
    manifest = {
        "keys": list(source.keys),
        "bad": [{"key": source.keys[row], "reason": reasons[row]} for row in sorted(reasons)],
        "content": _content_key(source, sums, size, resize),
        "formats": formats(),
    }
    write_json(work / "manifest.json", manifest, indent=None)


def _write_header(path: Path, shape: tuple[int, ...]) -> int:
    """An array file of this shape, all zero; gives the place of its first byte."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        file.truncate(start + int(np.prod(shape)))
    return start


def _load(folder: Path, size: tuple[int, int]) -> Decoded | None:
    """What lies in the cache; None when there is nothing whole."""
    try:
        facts = read_json(folder / "manifest.json")
        pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="r")
        decoded = Decoded(
            pixels=pixels,
            keys=tuple(facts["keys"]),
            bad=tuple(BadImage(entry["key"], entry["reason"]) for entry in facts["bad"]),
            content=facts["content"],
            texts=dict(facts.get("texts", {})),  # older manifests hold them
        )
    except (UserError, ValueError, KeyError, TypeError):
        return None
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise UserError(
                f"{folder}: not enough memory to map the decoded images; "
                "raise the limit of this process (ulimit -v)"
            ) from None
        return None
    whole = pixels.dtype == np.uint8 and pixels.shape == (len(decoded.keys), *size, 3)
    # what could not be read then may be readable now, with another package
    outdated = bool(decoded.bad) and facts.get("formats", list(formats())) != list(formats())
    return decoded if whole and decoded.content == folder.name and not outdated else None


def _image_bytes(size: tuple[int, int]) -> int:
    return size[0] * size[1] * 3


def _content_key(source: Source, sums: list[int], size: tuple[int, int], resize: Resize) -> str:
    digest = hashlib.sha256(f"{FORMAT} {size[0]}x{size[1]} {resize}\n".encode())
    for key, value in zip(source.keys, sums, strict=True):
        digest.update(f"{value:08x} {key}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _folder(content: str) -> Path:
    return cache_root() / "pixels" / content


def _pointer(stamp: str, size: tuple[int, int], resize: Resize) -> Path:
    return cache_root() / "stamps" / f"{stamp[:32]}-{size[0]}x{size[1]}-{resize}-{FORMAT}.json"
