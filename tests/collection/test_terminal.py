"""Pictures in terminals: each way decodes to the picture again."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from painted import paint
from PIL import Image

from neuralcodes.collection.terminal import show, terminal_kind


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color"}, "no"),
        ({"TERM": "screen", "KITTY_WINDOW_ID": "1"}, "no"),
        ({}, "no"),
    ],
)
def test_what_a_terminal_can(environment: dict[str, str], kind: str) -> None:
    assert terminal_kind(environment, Terminal()) == kind
    assert terminal_kind(environment, io.StringIO()) == "no"  # a pipe


def test_kitty_and_iterm_carry_the_picture() -> None:
    picture = paint(1, 600, 300)
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", show(picture, "kitty"))
    assert parts[0][0].startswith("a=T,f=100") and parts[-1][0].endswith("m=0")
    assert all(len(data) <= 4096 for _, data in parts)
    kitty = base64.b64decode("".join(data for _, data in parts))
    control, iterm = (
        show(picture, "iterm").removeprefix("\x1b]1337;File=").rstrip("\x07\n").split(":")
    )
    assert f"size={len(base64.b64decode(iterm))}" in control
    for data in (kitty, base64.b64decode(iterm)):
        assert Image.open(io.BytesIO(data)).size == (192, 96)


def test_sixels_paint_the_picture() -> None:
    """Decoded by the definition, they give the picture with few colours."""
    text = show(paint(2, 30, 20), "sixel")
    body = re.fullmatch(r'\x1bPq"1;1;30;20(.*)\x1b\\\n', text, re.DOTALL)
    assert body is not None
    colours: dict[int, tuple[int, ...]] = {}
    image = np.full((24, 30, 3), -1)
    row = column = colour = 0
    for token in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|[?-~]|\$|-", body[1]):
        if token.startswith("#"):
            numbers = [int(part) for part in token[1:].split(";")]
            colour = numbers[0]
            if len(numbers) > 1:
                colours[colour] = tuple(numbers[2:])
        elif token == "$":
            column = 0
        elif token == "-":
            row, column = row + 6, 0
        else:
            for bit in range(6):
                if (ord(token) - 63) >> bit & 1:
                    image[row + bit, column] = colours[colour]
            column += 1
    assert (image[:20] >= 0).all() and (image[20:] == -1).all()
    assert np.abs(image[:20] * 2.55 - np.asarray(paint(2, 30, 20))).mean() < 10
