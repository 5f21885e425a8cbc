"""The transforms known by name.

One from outside is a module with a class under `@register` in any installed package that declares
it, in its pyproject.toml, as

    [project.entry-points."neuralcodes.transforms"]
    NAME = "package.module"
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from functools import partial

from neuralcodes.codes.pooling_names import POOLINGS
from neuralcodes.codes.transforms.base import Transform
from neuralcodes.common.errors import UserError
from neuralcodes.common.plugins import Registry

ENTRY_POINTS = "neuralcodes.transforms"

_NUMBERED = re.compile(r"(.*?[^\d])([1-9]\d*)")
_KINDS: Registry[tuple[type[Transform], str]] = Registry(
    "transform", "neuralcodes.codes.transforms", ENTRY_POINTS
)


def register(kind: str, number: str = "") -> Callable[[type[Transform]], type[Transform]]:
    """Decorate a class to make its transform known.

    Args:
        kind: its name, or the part before the number.
        number: the letter that stands for the number in lists of names; empty without one.

    Raises:
        ValueError: another class has that name.
    """

    def add(transform: type[Transform]) -> type[Transform]:
        _KINDS.add(kind, transform, (transform, number))
        transform.kind = kind
        return transform

    return add


def transform_names() -> list[str]:
    """Names of all transforms, sorted; a capital letter stands for a number (`pcaN`)."""
    return sorted(kind + number for kind, (_, number) in _KINDS.all().items())


def get_transform(name: str) -> tuple[type[Transform], int | None]:
    """The class and the number that a name such as `pca128` or `int8` stands for.

    Raises:
        UserError: there is none (the message names those there are), or a plug-in is broken.
    """
    found = _find(name)
    for load in (partial(_load_namesake, name), _KINDS.load_own, _KINDS.load_plugins):
        if found is None:
            load()
            found = _find(name)
    if found is None:
        raise UserError(
            f"unknown transform or pooling {name!r}; there are the transforms "
            f"{', '.join(transform_names())} and, right behind the layer, the poolings "
            f"{', '.join(POOLINGS)}"
        )
    return found


def _find(name: str) -> tuple[type[Transform], int | None] | None:
    transform, letter = _KINDS.known(name) or (None, "")
    if transform is not None and not letter:
        return transform, None
    parts = _NUMBERED.fullmatch(name)
    transform, letter = (_KINDS.known(parts[1]) if parts else None) or (None, "")
    if parts is not None and transform is not None and letter:
        return transform, int(parts[2])
    return None


def _load_namesake(name: str) -> None:
    """Import the module here that is called as the transform is: most need no torch."""
    for module in (name, name.rstrip("0123456789")):
        place = f"neuralcodes.codes.transforms.{module}"
        if module.isidentifier() and importlib.util.find_spec(place):
            importlib.import_module(place)
