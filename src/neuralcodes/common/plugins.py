"""Finding what registers itself: a folder's own modules, and those that other packages declare."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from typing import Any

from neuralcodes.common.errors import UserError


def place_of(thing: Any) -> str:
    """Where a function, class or callable is defined. The same place again is a module reloaded
    or a notebook cell run twice."""
    return f"{thing.__module__}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def load_modules(package: str, prefixes: tuple[str, ...] = ("",)) -> None:
    """Import every module of a package whose name begins so, once, so that each registers what
    it holds."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if module.name.startswith(prefixes):
            importlib.import_module(f"{package}.{module.name}")


def load_plugins(group: str, what: str) -> None:
    """Import every module that an installed package declares (a second time costs nothing).

    Args:
        group: of entry points.
        what: a plug-in brings, for the message.

    Raises:
        UserError: one of them cannot be loaded.
    """
    for entry in importlib.metadata.entry_points(group=group):
        try:
            entry.load()
        except Exception as error:  # whatever somebody else's code may raise
            package = entry.dist.name if entry.dist else "an unknown package"
            raise UserError(
                f"{what} plug-in {entry.name!r} ({entry.value}, from {package}) cannot be loaded: "
                f"{type(error).__name__}: {' '.join(str(error).split())}; "
                "mend or uninstall that package"
            ) from error
