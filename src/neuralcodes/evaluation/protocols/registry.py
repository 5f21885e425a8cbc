"""The protocols known by name.

A new one of ours is one file here with a reader under `@register`. One from outside is a module
with such a reader in any installed package that declares it, in its pyproject.toml, as

    [project.entry-points."neuralcodes.protocols"]
    NAME = "package.module"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.common.plugins import load_modules, load_plugins, place_of
from neuralcodes.evaluation.protocols.groundtruth import GroundTruth

Reader = Callable[[Path | None, Sequence[str]], GroundTruth]

ENTRY_POINTS = "neuralcodes.protocols"


@dataclass(frozen=True)
class Protocol:
    """A protocol by name.

    Attributes:
        name: what people type.
        title: one line for people.
        files: what `--gnd` must be, for people; None where the images' names say all.
        files_needed: whether it works without.
        read: place of the files (or None) and names of the images at hand → ground truth.
    """

    name: str
    title: str
    files: str | None
    files_needed: bool
    read: Reader

    def open(self, path: Path | None, keys: Sequence[str]) -> GroundTruth:
        """Read the files.

        Args:
            path: their place.
            keys: names of the images that have codes.

        Raises:
            UserError: files absent, not needed, or not as they should be.
        """
        if path is None and self.files_needed:
            raise UserError(f"--gnd: {self.name} needs {self.files}")
        if path is not None and self.files is None:
            raise UserError(f"--gnd: {self.name} reads no files, only the images' names")
        if path is not None and not path.exists():
            raise UserError(f"{path}: no such file or folder; {self.name} needs {self.files}")
        return self.read(path, keys)


_PROTOCOLS: dict[str, Protocol] = {}


def register(
    name: str, title: str, files: str | None = None, files_needed: bool = True
) -> Callable[[Reader], Reader]:
    """Decorate a reader to make its protocol known under `name`.

    Raises:
        ValueError: another reader has that name.
    """

    def add(read: Reader) -> Reader:
        known = _PROTOCOLS.get(name)
        # the same function again is a module reloaded or a notebook cell run twice
        if known is not None and place_of(known.read) != place_of(read):
            raise ValueError(f"the protocol name {name!r} is taken by {place_of(known.read)}")
        _PROTOCOLS[name] = Protocol(name, title, files, files is not None and files_needed, read)
        return read

    return add


def protocols() -> list[Protocol]:
    """All registered protocols, sorted by name.

    Raises:
        UserError: an installed plug-in cannot be loaded.
    """
    _load_own()
    _load_plugins()
    return [_PROTOCOLS[name] for name in sorted(_PROTOCOLS)]


def get_protocol(name: str) -> Protocol:
    """The protocol of this name. Plug-ins are loaded only for a name that is not ours.

    Raises:
        UserError: there is none (the message names those there are), or a plug-in is broken.
    """
    if name not in _PROTOCOLS:
        _load_own()
    if name not in _PROTOCOLS:
        _load_plugins()
    if name not in _PROTOCOLS:
        raise UserError(f"--protocol {name!r}: unknown; there are: {', '.join(sorted(_PROTOCOLS))}")
    return _PROTOCOLS[name]


def _load_own() -> None:
    load_modules("neuralcodes.evaluation.protocols")


def _load_plugins() -> None:
    load_plugins(ENTRY_POINTS, "protocol")
