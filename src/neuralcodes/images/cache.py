"""Images decoded once, in parallel, into a memory-mapped uint8 array keyed by content.

Two keys are kept. The *content key* is the sha256 of all file names and checksums with the size
and manner of decoding: the same pictures have the same key whether they lie in a folder or in
zip files. The *stamp* is cheap (places, sizes, times) and leads to the content key, so that
opening an unchanged source reads no picture at all.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_folder, explain_os_errors, read_json, write_json
from neuralcodes.common.machine import cpu_count
from neuralcodes.common.progress import progress
from neuralcodes.images.decode import Resize, decode
from neuralcodes.images.imageset import BadImage, Pixels
from neuralcodes.images.sources import Source

FORMAT = 1  # raise when decoding changes, so that old caches are not taken for new ones


@dataclass(frozen=True)
class Decoded:
    """Good images of a source: `pixels` (uint8 n×H×W×3, memory-mapped), their keys, the bad."""

    pixels: Pixels
    keys: tuple[str, ...]
    bad: tuple[BadImage, ...]
    content: str
    texts: dict[str, str]


def cache_root() -> Path:
    """`NEURALCODES_CACHE`, else `XDG_CACHE_HOME`/neuralcodes, else ~/.cache/neuralcodes."""
    own = os.environ.get("NEURALCODES_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "neuralcodes"


def find_decoded(stamp: str, size: tuple[int, int], resize: Resize) -> Decoded | None:
    """The cached pixels of a source with this stamp, None when there are none."""
    pointer = _pointer(stamp, size, resize)
    if not pointer.is_file():
        return None
    folder = cache_root() / "pixels" / read_json(pointer)["content"]
    return _load(folder) if (folder / "manifest.json").is_file() else None


def decode_all(
    source: Source, size: tuple[int, int], resize: Resize = "crop", texts: tuple[str, ...] = ()
) -> Decoded:
    """Decode every file of `source` to `size`, or take the pixels from the cache.

    Args:
        source: where the encoded files are.
        size: height and width.
        resize: see `neuralcodes.images.decode.Resize`.
        texts: names of small text files to keep beside the pixels (`words.txt`).

    Raises:
        UserError: the cache's disk is full or not writable, or the source has no image.
    """
    stamp = source.stamp()
    found = find_decoded(stamp, size, resize)
    if found is not None:
        return found
    if not source.keys:
        raise UserError(f"{source.name}: no images in it (looked for .jpg, .png, .webp and others)")
    sums = source.checksums()
    content = _content_key(source, sums, size, resize)
    folder = cache_root() / "pixels" / content
    if not (folder / "manifest.json").is_file():
        _check_room(folder, len(source.keys) * size[0] * size[1] * 3)
        with atomic_folder(folder) as work:
            _decode_into(work, source, size, resize, content, texts)
    write_json(_pointer(stamp, size, resize), {"content": content, "source": source.name})
    return _load(folder)


def _decode_into(
    work: Path,
    source: Source,
    size: tuple[int, int],
    resize: Resize,
    content: str,
    texts: tuple[str, ...],
) -> None:
    count = len(source.keys)
    pixels = np.lib.format.open_memmap(
        work / "pixels.npy", mode="w+", dtype=np.uint8, shape=(count, *size, 3)
    )
    reasons: dict[int, str] = {}

    def decode_block(rows: range) -> int:
        for row in rows:
            try:
                pixels[row] = decode(source.read(row), size, resize)
            except (ValueError, OSError, MemoryError) as error:
                reasons[row] = str(error) or type(error).__name__
        return len(rows)

    # The decoders let go of the interpreter lock, so threads use all cores.
    blocks = [range(start, min(start + 256, count)) for start in range(0, count, 256)]
    with progress(count, "decoding") as bar, ThreadPoolExecutor(cpu_count()) as pool:
        for done in pool.map(decode_block, blocks):
            bar.update(done)
    if len(reasons) == count:
        first = min(reasons)
        raise UserError(
            f"{source.name}: none of its {count} images can be read "
            f"(the first, {source.keys[first]}: {reasons[first]})"
        )
    pixels.flush()
    if reasons:
        good = np.array([row not in reasons for row in range(count)])
        kept = pixels[good]
        del pixels
        np.save(work / "pixels.npy", kept)
    keys = [key for row, key in enumerate(source.keys) if row not in reasons]
    bad = [{"key": source.keys[row], "reason": reasons[row]} for row in sorted(reasons)]
    kept_texts = {name: text for name in texts if (text := source.text(name)) is not None}
    write_json(
        work / "manifest.json",
        {"keys": keys, "bad": bad, "content": content, "texts": kept_texts},
    )


def _load(folder: Path) -> Decoded:
    facts = read_json(folder / "manifest.json")
    return Decoded(
        pixels=np.load(folder / "pixels.npy", mmap_mode="r"),
        keys=tuple(facts["keys"]),
        bad=tuple(BadImage(entry["key"], entry["reason"]) for entry in facts["bad"]),
        content=facts["content"],
        texts=facts["texts"],
    )


def _content_key(
    source: Source, sums: list[int], size: tuple[int, int], resize: Resize
) -> str:
    digest = hashlib.sha256(f"{FORMAT} {size[0]}x{size[1]} {resize}\n".encode())
    for key, value in zip(source.keys, sums, strict=True):
        digest.update(f"{value:08x} {key}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _pointer(stamp: str, size: tuple[int, int], resize: Resize) -> Path:
    return cache_root() / "stamps" / f"{stamp[:32]}-{size[0]}x{size[1]}-{resize}-{FORMAT}.json"


def _check_room(folder: Path, needed: int) -> None:
    """Refuse early what would fill the disk after minutes of decoding."""
    with explain_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        status = os.statvfs(folder.parent)
    free = status.f_bavail * status.f_frsize
    if needed > free:
        raise UserError(
            f"{folder.parent}: the decoded images need {needed / 1e9:.2f} GB and the disk has "
            f"{free / 1e9:.2f} GB free; free some space or set NEURALCODES_CACHE to another disk"
        )
