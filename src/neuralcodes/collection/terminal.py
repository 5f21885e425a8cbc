"""Pictures in terminals that show them: kitty's, iTerm2's and sixel's ways."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Mapping
from typing import TextIO

from PIL import Image

KINDS = ("auto", "kitty", "iterm", "sixel", "no")
HEIGHT = 96  # pixels, about five lines
COLOURS = 128


def terminal_kind(
    environment: Mapping[str, str] | None = None, stream: TextIO | None = None
) -> str:
    """How the terminal shows pictures: "kitty", "iterm", "sixel" or "no".

    By what it says of itself in the environment; nothing is asked of it.
    """
    known = os.environ if environment is None else environment
    if not (sys.stdout if stream is None else stream).isatty():
        return "no"
    term, program = known.get("TERM", ""), known.get("TERM_PROGRAM", "")
    if "TMUX" in known or term.startswith("screen"):
        return "no"  # they swallow the codes
    if "KITTY_WINDOW_ID" in known or "kitty" in term or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty"):
        return "iterm"
    return "sixel" if term.startswith(("foot", "mlterm", "yaft")) or "sixel" in term else "no"


def show(picture: Image.Image, kind: str) -> str:
    """The characters that make a terminal of this kind show a picture."""
    small = picture.convert("RGB")
    small.thumbnail((3 * HEIGHT, HEIGHT))
    return {"kitty": _kitty, "iterm": _iterm, "sixel": _sixel}[kind](small)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _kitty(picture: Image.Image) -> str:
    data = base64.standard_b64encode(_png(picture)).decode()
    parts = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    texts = []
    for number, part in enumerate(parts):
        more = int(number < len(parts) - 1)
        control = f"a=T,f=100,m={more}" if number == 0 else f"m={more}"
        texts.append(f"\x1b_G{control};{part}\x1b\\")
    return "".join(texts) + "\n"


def _iterm(picture: Image.Image) -> str:
    data = _png(picture)
    text = base64.standard_b64encode(data).decode()
    size = f"size={len(data)};width={picture.width}px;height={picture.height}px"
    return f"\x1b]1337;File=inline=1;{size}:{text}\x07\n"


def _sixel(picture: Image.Image) -> str:
    """DEC's sixels: bands of six rows, a character a column and colour."""
    paletted = picture.quantize(COLOURS)
    palette = paletted.getpalette() or []
    pixels = paletted.load()
    assert pixels is not None
    width, height = picture.size
    texts = [f'\x1bPq"1;1;{width};{height}']
    for number in range(len(palette) // 3):
        red, green, blue = (
            round(part * 100 / 255) for part in palette[3 * number : 3 * number + 3]
        )
        texts.append(f"#{number};2;{red};{green};{blue}")
    for top in range(0, height, 6):
        band: dict[int, list[int]] = {}
        for column in range(width):
            for row in range(min(6, height - top)):
                colour = int(pixels[column, top + row])  # type: ignore[arg-type]
                band.setdefault(colour, [0] * width)[column] |= 1 << row
        lines = [f"#{c}" + "".join(chr(63 + bits) for bits in row) for c, row in band.items()]
        texts.append("$".join(lines) + "-")
    return "".join(texts) + "\x1b\\\n"
