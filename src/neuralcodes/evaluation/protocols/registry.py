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
from neuralcodes.common.plugins import Registry
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


_PROTOCOLS: Registry[Protocol] = Registry(
    "protocol", "neuralcodes.evaluation.protocols", ENTRY_POINTS
)


def register(
    name: str, title: str, files: str | None = None, files_needed: bool = True
) -> Callable[[Reader], Reader]:
    """Decorate a reader to make its protocol known under `name`.

    Raises:
        ValueError: another reader has that name.
    """

    def add(read: Reader) -> Reader:
        protocol = Protocol(name, title, files, files is not None and files_needed, read)
        _PROTOCOLS.add(name, read, protocol)
        return read

    return add


def protocols() -> list[Protocol]:
    """All registered protocols, sorted by name.

    Raises:
        UserError: an installed plug-in cannot be loaded.
    """
    return list(_PROTOCOLS.all().values())


def get_protocol(name: str) -> Protocol:
    """The protocol of this name. Plug-ins are loaded only for a name that is not ours.

    Raises:
        UserError: there is none (the message names those there are), or a plug-in is broken.
    """
    protocol = _PROTOCOLS.find(name)
    if protocol is None:
        there = ", ".join(_PROTOCOLS.all())
        raise UserError(f"--protocol {name!r}: unknown; there are: {there}")
    return protocol
