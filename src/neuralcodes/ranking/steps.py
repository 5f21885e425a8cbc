"""Steps by name, their short form, and what they cost.

`dba10+aqe5` is database augmentation with 10 neighbours, then query expansion with 5. After the
number a step may have parameters by name: `kreciprocal20:k2=6,weight=0.3`.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, TypeVar

from neuralcodes.common.errors import UserError
from neuralcodes.index.exact import Database
from neuralcodes.ranking.search import Search


class Step(Protocol):
    """From a search to a better one. Its parameters are the fields of a dataclass.

    Attributes:
        reorders: whether the rows found are put into another order, not by codes; if so rows
            that were not found can no longer be.
    """

    reorders: ClassVar[bool]

    @property
    def reads(self) -> int:
        """How many of the first rows found it needs."""

    def prepare(self, database: Database) -> Any:
        """What can be made of the database alone, before there is a query."""

    def apply(self, search: Search, prepared: Any) -> tuple[Search, int]:
        """The better search, and the bytes held for it beyond codes and ranking."""


@dataclass(frozen=True)
class Cost:
    """What a step took.

    Attributes:
        step: its short form.
        offline_seconds: for what is made of the database alone, once.
        seconds: for all queries together, their new search included.
        bytes: held beyond codes and ranking.
    """

    step: str
    offline_seconds: float
    seconds: float
    bytes: int


AnyStep = TypeVar("AnyStep", bound=type)

_STEPS: dict[str, type[Any]] = {}
_MODULES = ("expansion", "kreciprocal", "diffusion")
_FORM = re.compile(r"([a-z]+)(\d+)?(?::(.+))?")


def step(name: str) -> Callable[[AnyStep], AnyStep]:
    """Decorate a step's dataclass; a number behind its name is its first field."""

    def add(kind: AnyStep) -> AnyStep:
        _STEPS[name] = kind
        return kind

    return add


def require(holds: bool, otherwise: str) -> None:
    """Refuse a parameter.

    Raises:
        ValueError: it does not hold.
    """
    if not holds:
        raise ValueError(otherwise)


def step_names() -> list[str]:
    """Names of all steps, sorted."""
    for module in _MODULES:
        importlib.import_module(f"neuralcodes.ranking.{module}")
    return sorted(_STEPS)


def parse_steps(text: str) -> dict[str, Step]:
    """Read the short form of one or more steps, in the order they are taken.

    >>> parse_steps("dba10+aqe5")["aqe5"]
    AverageQueryExpansion(n=5)

    Returns:
        The steps by their own short forms.

    Raises:
        UserError: unknown step or parameter, a value out of bounds, or a step given twice.
    """
    found: dict[str, Step] = {}
    for part in text.split("+"):
        if part in found:
            raise UserError(f"--rerank {text!r}: {part} is given twice")
        found[part] = _parse_step(part)
    return found


def short_form(one: Step) -> str:
    """A step with all its parameters, as people type it."""
    name = next(name for name, kind in _STEPS.items() if type(one) is kind)
    first, *others = [field.name for field in fields(one)]  # type: ignore[arg-type]
    rest = ",".join(f"{field}={getattr(one, field):g}" for field in others)
    return f"{name}{getattr(one, first)}" + (f":{rest}" if rest else "")


def run_steps(search: Search, steps: Sequence[Step]) -> tuple[Search, list[Cost]]:
    """Take the steps one after the other, and the time."""
    costs = []
    for one in steps:
        begin = time.perf_counter()
        prepared = one.prepare(search.database)
        middle = time.perf_counter()
        search, size = one.apply(search, prepared)
        end = time.perf_counter()
        costs.append(Cost(short_form(one), middle - begin, end - middle, size))
    return search, costs


def _parse_step(text: str) -> Step:
    match = _FORM.fullmatch(text)
    if not match or match[1] not in step_names():
        raise UserError(
            f"--rerank {text!r}: unknown step; there are: {', '.join(step_names())} (as aqe10, "
            "dba10+aqe5 or kreciprocal20:k2=6)"
        )
    kind = _STEPS[match[1]]
    known: dict[str, type[int] | type[float]] = {
        field.name: float if isinstance(field.default, float) else int for field in fields(kind)
    }
    given = {next(iter(known)): match[2]} if match[2] else {}
    for pair in filter(None, (match[3] or "").split(",")):
        key, _, value = pair.partition("=")
        if key not in known:
            raise UserError(f"--rerank {text!r}: {match[1]} has {', '.join(known)}, not {key!r}")
        given[key] = value
    try:
        made: Step = kind(**{key: known[key](value) for key, value in given.items()})
    except ValueError as error:
        raise UserError(f"--rerank {text!r}: {error}") from None
    return made
