"""The process that decodes pictures: bytes in, pixels or a small JPEG out, under hard limits.

It holds nothing worth stealing and can be killed at any moment. Frames on standard input and
output: two lengths (JSON, bytes) as little-endian uint32, the JSON, the bytes.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
import warnings
from contextlib import suppress
from typing import Any, BinaryIO

HEAD = struct.Struct("<II")
CPU_SLACK = 2  # seconds beyond the limit before the kernel kills; the parent is earlier
QUALITY = 82


def read_frame(file: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """A frame; None at the end of the stream."""
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    texts, size = HEAD.unpack(head)
    return json.loads(file.read(texts)), file.read(size)


def write_frame(file: BinaryIO, about: dict[str, Any], data: bytes = b"") -> None:
    """Write a frame and send it off."""
    text = json.dumps(about).encode()
    file.write(HEAD.pack(len(text), len(data)))
    file.write(text)
    file.write(data)
    file.flush()


def main() -> None:
    """Serve requests until the stream ends; the limits are the first frame."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "r+b") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)  # a stray print must not get between the frames
    warnings.simplefilter("ignore")
    import neuralcodes.images.decode as decoding

    decoding.formats()  # opens what is to be opened while there are no limits yet
    first = read_frame(source)
    if first is None:
        return
    _limit(first[0]["memory"])
    write_frame(sink, {"ready": True})
    while (frame := read_frame(source)) is not None:
        about, data = frame
        _limit_time(about["seconds"])
        try:
            answer, result = _TASKS[about["task"]](data, about)
        except MemoryError:
            answer, result = {"bad": "takes too much memory to decode"}, b""
        except ValueError as error:
            answer, result = {"bad": str(error)[:300] or "cannot be decoded"}, b""
        del data, frame
        write_frame(sink, answer, result)


def _limit(memory: int) -> None:
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(kind, (0, 0))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))


def _limit_time(seconds: float) -> None:
    """Also when the parent is gone and no one else would end it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + seconds) + CPU_SLACK
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def _check(data: bytes, most: int) -> dict[str, Any]:
    """Refuse by the header what is too large; gives width, height (as stored) and kind."""
    from PIL import Image, UnidentifiedImageError

    from neuralcodes.images.decode import formats

    if not data:
        raise ValueError("empty file")
    try:
        with Image.open(io.BytesIO(data), formats=formats()) as image:
            width, height, kind = image.width, image.height, image.format
    except MemoryError:
        raise
    except Image.DecompressionBombError:
        return {"large": "more pixels than are allowed"}
    except UnidentifiedImageError:
        raise ValueError("not an image, or of a kind that is not supported") from None
    except Exception as error:
        raise ValueError(f"damaged image ({error or type(error).__name__})") from None
    if width * height > most:
        return {"large": f"{width}×{height} pixels; at most {most:,} are allowed"}
    return {"width": width, "height": height, "kind": kind}


def _cut(picture: Any, crop: list[float]) -> Any:
    """The part within fractions left, top, width, height of the upright picture."""
    left, top = int(crop[0] * picture.width), int(crop[1] * picture.height)
    right = max(left + 1, round((crop[0] + crop[2]) * picture.width))
    bottom = max(top + 1, round((crop[1] + crop[3]) * picture.height))
    box = (min(left, picture.width - 1), min(top, picture.height - 1),
           min(right, picture.width), min(bottom, picture.height))  # fmt: skip
    return picture.crop(box)


def _pixels(data: bytes, about: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The network's input, uint8 H×W×3, of the picture or a part of it."""
    from neuralcodes.images.decode import decode, open_picture
    from neuralcodes.images.facts import image_facts

    facts = _check(data, about["most"])
    if "large" in facts:
        return facts, b""
    if about.get("crop"):
        part = io.BytesIO()
        _cut(open_picture(data), about["crop"]).save(part, "BMP")  # every pixel, no work
        data = part.getvalue()
    height, width = about["size"]
    pixels = decode(data, (height, width), about["resize"])
    if not about.get("crop"):
        upright = image_facts(data)
        facts["turned"] = (upright.width, upright.height) != (facts["width"], facts["height"])
    return facts, pixels.tobytes()


def _picture(data: bytes, about: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The pixels of a picture of its own shape, no side longer than `side`."""
    from neuralcodes.images.decode import open_picture

    facts = _check(data, about["most"])
    if "large" in facts:
        return facts, b""
    picture = open_picture(data, about["side"])
    return {**facts, "made": (picture.height, picture.width)}, picture.tobytes()


def _thumbnail(data: bytes, about: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """A JPEG at most `side` pixels wide and high, without anything of the file but pixels."""
    from neuralcodes.images.decode import open_picture

    facts = _check(data, about["most"])
    if "large" in facts:
        return facts, b""
    if about.get("crop"):
        picture = _cut(open_picture(data), about["crop"])
        picture.thumbnail((about["side"], about["side"]))
    else:
        picture = open_picture(data, about["side"])
    picture.info.clear()  # comments and profiles of the file would be written with the pixels
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return facts, file.getvalue()


_TASKS = {"pixels": _pixels, "thumbnail": _thumbnail, "picture": _picture}

if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt):
        sys.exit(0)
