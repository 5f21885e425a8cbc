"""`--filter`: a small, safe expression language on what is known of images, compiled to SQL.

    folder == "cats" and width >= 300
    not label in ("cat", "dog") or name ~ "IMG_*"
    date >= 2024-05-01 and date < 2025-01-01 and stars > 3

Comparisons: == != < <= > >= , `~` (a pattern with * and ?), `in (…)`; `and`, `or`, `not`,
parentheses. Text stands in quotes, dates are YYYY-MM-DD. A column of the user's that an image has
no value in is equal to nothing; `COLUMN == none` asks for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from neuralcodes.common.errors import UserError

COLUMNS = {
    "path": "images.path",
    "name": "images.name",
    "folder": "images.folder",
    "label": "images.label",
    "date": "images.date",
    "added": "images.added",
    "size": "codes.size",
    "width": "codes.width",
    "height": "codes.height",
    "kind": "codes.kind",
    "id": "images.id",
}
DATES = frozenset({"date", "added"})
OPERATORS = {"==": "=", "=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
DEEPEST = 50

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<date>\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>==|!=|<=|>=|[=<>~(),])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Filter:
    """A condition in SQL over `images`, `codes` and `metadata`, and its values."""

    sql: str
    values: tuple[Any, ...]


def parse_filter(text: str, own_columns: Iterable[str] = ()) -> Filter:
    """Compile an expression.

    Args:
        text: see above.
        own_columns: the user's columns.

    Raises:
        UserError: it is no such expression, or names a column that there is not.
    """
    return _Parser(text, own_columns).parse()


def quoted(name: str) -> str:
    """A name for use in SQL."""
    return '"' + name.replace('"', '""') + '"'


def sql_columns(own_columns: Iterable[str]) -> dict[str, str]:
    """What filters call a column → what it is in SQL over `images`, `codes` and `metadata`."""
    return {name: f"metadata.{quoted(name)}" for name in own_columns} | COLUMNS


class _Parser:
    def __init__(self, text: str, own_columns: Iterable[str]) -> None:
        self._text = text
        self._columns = sql_columns(own_columns)
        self._tokens = self._split()
        self._at = 0
        self._deep = 0
        self._values: list[Any] = []

    def parse(self) -> Filter:
        sql = self._either()
        if self._at < len(self._tokens):
            raise self._wrong(f"{self._tokens[self._at][1]!r} is not expected there")
        return Filter(sql, tuple(self._values))

    def _split(self) -> list[tuple[str, str]]:
        tokens, at = [], 0
        text = self._text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise self._wrong(f"cannot read {text[at:].strip()[:20]!r}")
            tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        if not tokens:
            raise self._wrong("it is empty")
        return tokens

    def _either(self) -> str:
        self._deep += 1
        if self._deep > DEEPEST:
            raise self._wrong("too many parentheses")
        parts = [self._both()]
        while self._take_word("or"):
            parts.append(self._both())
        self._deep -= 1
        return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"

    def _both(self) -> str:
        parts = [self._one()]
        while self._take_word("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else f"({' AND '.join(parts)})"

    def _one(self) -> str:
        turned = False
        while self._take_word("not"):
            turned = not turned
        if self._take_sign("("):
            inner = self._either()
            self._demand(")")
        else:
            inner = self._comparison()
        # without a value a comparison is neither true nor false in SQL; here it is false
        return f"NOT coalesce({inner}, 0)" if turned else f"coalesce({inner}, 0)"

    def _comparison(self) -> str:
        kind, name = self._next("a column")
        if kind != "word":
            raise self._wrong(f"a column should stand where {name!r} is")
        if name not in self._columns:
            raise self._wrong(f"no column {name!r}; there are: {', '.join(self._columns)}")
        column = self._columns[name]
        turned = self._take_word("not")
        if self._take_word("in"):
            return ("NOT " if turned else "") + self._among(name, column)
        kind, sign = self._next("a comparison")
        if turned or kind != "sign" or sign not in (*OPERATORS, "~"):
            raise self._wrong(f"a comparison (== != < <= > >= ~ in) should follow {name}")
        value = self._value(name)
        if sign == "~":
            self._values.append(_glob(str(value)))
            return f"{column} GLOB ?"
        if value is None:
            if sign not in ("==", "=", "!="):
                raise self._wrong("none can only be compared by == and !=")
            return f"{column} IS {'NOT ' if sign == '!=' else ''}NULL"
        self._values.append(value)
        return f"{column} {OPERATORS[sign]} ?"

    def _among(self, name: str, column: str) -> str:
        self._demand("(")
        values = [self._value(name)]
        while self._take_sign(","):
            values.append(self._value(name))
        self._demand(")")
        self._values += values
        return f"{column} IN ({', '.join('?' * len(values))})"

    def _value(self, name: str) -> Any:
        kind, text = self._next("a value")
        if kind == "number":
            return float(text) if any(sign in text for sign in ".eE") else int(text)
        if kind == "text":
            value: Any = re.sub(r"\\(.)", r"\1", text[1:-1])
        elif kind == "date":
            value = text
        elif kind == "word" and text.lower() in ("none", "true", "false"):
            return {"none": None, "true": 1, "false": 0}[text.lower()]
        else:
            raise self._wrong(f"put {text!r} in quotes if it is text")
        if name in DATES:
            try:
                return datetime.fromisoformat(value).timestamp()
            except ValueError:
                raise self._wrong(f"{value!r} is no date; write YYYY-MM-DD") from None
        return value

    def _next(self, wanted: str) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._wrong(f"{wanted} is missing at the end")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take_word(self, word: str) -> bool:
        return self._take(lambda kind, text: kind == "word" and text.lower() == word)

    def _take_sign(self, sign: str) -> bool:
        return self._take(lambda kind, text: kind == "sign" and text == sign)

    def _take(self, fits: Any) -> bool:
        if self._at < len(self._tokens) and fits(*self._tokens[self._at]):
            self._at += 1
            return True
        return False

    def _demand(self, sign: str) -> None:
        if not self._take_sign(sign):
            raise self._wrong(f"{sign!r} is missing")

    def _wrong(self, reason: str) -> UserError:
        return UserError(f"--filter {self._text!r}: {reason}")


def _glob(pattern: str) -> str:
    """A pattern in which only * and ? mean something."""
    return pattern.replace("[", "[[]")
