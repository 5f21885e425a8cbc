"""Finding what registers itself: a folder's own modules, and those that other packages declare."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from neuralcodes.common.errors import UserError

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Registry(Generic[Thing]):
    """Things by name, which register themselves: ours, and those of other packages.

    Attributes:
        what: one of them is, for messages.
        package: its modules register ours.
        group: of entry points, by which other packages declare modules that register theirs.
        prefixes: of the names of our modules that register something.
        entries: by name, what defines a thing (a class, a function) and the thing.
    """

    what: str
    package: str
    group: str
    prefixes: tuple[str, ...] = ("",)
    entries: dict[str, tuple[Any, Thing]] = field(default_factory=dict)

    def add(self, name: str, definer: Any, thing: Thing) -> None:
        """Make a thing known.

        Raises:
            ValueError: another thing has that name.
        """
        known, _ = self.entries.get(name, (definer, thing))
        # the same place again is a module reloaded or a notebook cell run twice
        if _place_of(known) != _place_of(definer):
            raise ValueError(f"the {self.what} name {name!r} is taken by {_place_of(known)}")
        self.entries[name] = definer, thing

    def known(self, name: str) -> Thing | None:
        """The thing of this name among those that have registered so far."""
        return self.entries[name][1] if name in self.entries else None

    def find(self, name: str) -> Thing | None:
        """The thing of this name. Plug-ins are loaded only for a name that is not ours.

        Raises:
            UserError: a plug-in is broken.
        """
        for load in (self.load_own, self.load_plugins):
            if name not in self.entries:
                load()
        return self.known(name)

    def all(self) -> dict[str, Thing]:
        """All things in the order of their names.

        Raises:
            UserError: an installed plug-in cannot be loaded.
        """
        self.load_own()
        self.load_plugins()
        return {name: self.entries[name][1] for name in sorted(self.entries)}

    def load_own(self) -> None:
        """Import our modules, once."""
        for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            if module.name.startswith(self.prefixes):
                importlib.import_module(f"{self.package}.{module.name}")

    def load_plugins(self) -> None:
        """Import the modules that other packages declare (a second time costs nothing).

        Raises:
            UserError: one of them cannot be loaded.
        """
        for entry in importlib.metadata.entry_points(group=self.group):
            try:
                entry.load()
            except Exception as error:  # whatever somebody else's code may raise
                package = entry.dist.name if entry.dist else "an unknown package"
                raise UserError(
                    f"{self.what} plug-in {entry.name!r} ({entry.value}, from {package}) cannot be "
                    f"loaded: {type(error).__name__}: {' '.join(str(error).split())}; "
                    "mend or uninstall that package"
                ) from error


def _place_of(thing: Any) -> str:
    """Where a function, class or callable is defined."""
    return f"{thing.__module__}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"
