"""Small text files of ground truth."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from neuralcodes.common.errors import UserError


def read_lines(path: Path) -> list[str]:
    """The lines that are not empty, without blanks around them.

    Raises:
        UserError: absent, may not be read, or not text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the protocol needs it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_columns(path: Path, header: Iterable[str], skip: int = 0) -> list[list[str]]:
    """Lines of as many words as the header, which must be there; `skip` lines stand before it.

    Raises:
        UserError: another header, or a line of another length; the message gives its number.
    """
    names = list(header)
    lines = [line.split() for line in read_lines(path)][skip:]
    if not lines or lines[0] != names:
        raise UserError(f"{path}: its header is not `{' '.join(names)}`; give the official file")
    for number, words in enumerate(lines[1:], skip + 2):
        if len(words) != len(names):
            raise UserError(f"{path}, line {number}: {len(words)} words, not {len(names)}")
    return lines[1:]


def require_different(names: Iterable[str], place: Path | str) -> None:
    """Refuse a name that stands twice.

    Raises:
        UserError: it names the first such name.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{place}: {name} stands twice; remove one")
        seen.add(name)
