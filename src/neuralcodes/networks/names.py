"""The names of networks, without torch: what they refer to and what they are from elsewhere."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from neuralcodes.common.errors import UserError

SHIPPED = "shipped"
WEIGHTS_FILE = "weights.safetensors"
SOURCES = {
    "hf": "neuralcodes.networks.huggingface",
    "timm": "neuralcodes.networks.timm",
    "open_clip": "neuralcodes.networks.open_clip",
}
"""Where pretrained networks come from, and the module that opens them."""


@dataclass(frozen=True)
class PretrainedName:
    """`SOURCE:NAME[#REVISION]`, for instance `hf:facebook/dinov2-small#main`.

    Attributes:
        source: a key of `SOURCES`.
        place: a repository's name, or a local folder's path, which begins with . / or ~.
        revision: branch, tag or commit of the repository; None for its newest.
    """

    source: str
    place: str
    revision: str | None

    @property
    def written(self) -> str:
        """As people write it."""
        return f"{self.source}:{self.place}" + (f"#{self.revision}" if self.revision else "")

    @property
    def folder(self) -> Path | None:
        """The local folder, if it is one."""
        if self.place.startswith((".", "~")) or Path(self.place).is_absolute():
            return Path(self.place).expanduser()
        return None


def source_of(name: str) -> str | None:
    """The library that a network's name refers to, None for a network of ours.

    >>> source_of("hf:facebook/dinov2-small"), source_of("runs/mine")
    ('hf', None)
    """
    source, colon, _ = name.partition(":")
    return source if colon and source in SOURCES else None


def parse_pretrained(name: str) -> PretrainedName:
    """Take a pretrained network's name apart.

    Raises:
        UserError: nothing behind the colon or the #, or a revision of a local folder.
    """
    source, _, rest = name.partition(":")
    place, mark, revision = rest.partition("#")
    if not place or (mark and not revision):
        raise UserError(f"{name}: write {source}:NAME or {source}:NAME#REVISION")
    parsed = PretrainedName(source, place, revision or None)
    if revision and parsed.folder is not None:
        raise UserError(f"{name}: a local folder has no revisions; leave out #{revision}")
    return parsed


def path_of(name: str) -> Path | None:
    """The file or folder that a network's name refers to, which need not exist; None for the hub
    and for what the package carries."""
    if source_of(name):
        return parse_pretrained(name).folder
    return None if name == SHIPPED else Path(name)


def absolute_name(name: str) -> str:
    """The same network's name from any working folder: paths become absolute."""
    place = path_of(name)
    if place is None or not place.exists():
        return name
    source = source_of(name)
    return f"{source}:{place.resolve()}" if source else str(place.resolve())


def shipped_file() -> Traversable:
    """The weights that the package carries; a release has them."""
    return importlib.resources.files("neuralcodes.networks") / SHIPPED / WEIGHTS_FILE


def carries_weights() -> bool:
    """Whether this copy of the package carries the weights called `shipped`."""
    return shipped_file().is_file()
