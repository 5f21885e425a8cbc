"""The one interface of all index backends, and the names by which they are known.

A new one of ours is one file here with a class under `@register`. One from outside is a module
with such a class in any installed package that declares it, in its pyproject.toml, as

    [project.entry-points."neuralcodes.indexes"]
    NAME = "package.module"

Every backend passes the same tests (`tests/index/test_backends.py`).
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json
from neuralcodes.common.plugins import Registry
from neuralcodes.index.ranking import Ranking

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

Vectors = Callable[[Ids], Floats]
"""Stored codes by id: int64 m → float32 m×d. What re-ranking reads."""

ENTRY_POINTS = "neuralcodes.indexes"
ABOUT = "index.json"
FORMAT = 1


@dataclass(frozen=True)
class Parameters:
    """How an index is built. A backend adds its own fields, all JSON-ready."""

    def to_json(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)


class IndexBackend(ABC):
    """Codes by id, and the nearest of them.

    Args:
        dims: length of a code.
        parameters: how to build it; the backend's own kind.
        vectors: the stored codes, for backends that keep less than the whole codes.

    Attributes:
        name: what it is registered as.
        exact: whether it always finds the true nearest.
        trained: whether it learns from the first codes what all later ones are kept by.
        elsewhere: whether it keeps codes outside the folders that `save` writes.
        effort: how hard a search works. More finds more of the true nearest and takes longer;
            each backend says what it means. An exact one ignores it.
    """

    name: ClassVar[str]
    exact: ClassVar[bool] = False
    trained: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = False
    parameters_kind: ClassVar[type[Parameters]] = Parameters

    def __init__(self, dims: int, parameters: Parameters, vectors: Vectors | None = None) -> None:
        self.dims = dims
        self.parameters = parameters
        self.vectors = vectors
        self.effort = 1

    @classmethod
    def at(cls, place: str) -> type[IndexBackend]:
        """This backend for codes kept at `place`, where it keeps them elsewhere; see `get_backend`.

        Raises:
            UserError: it needs no place and one is given, or the other way round.
        """
        if place:
            raise UserError(f"index {cls.name}:{place}: {cls.name} takes no place; leave it out")
        return cls

    @classmethod
    def suggest(cls, count: int, dims: int) -> Parameters:
        """Parameters for so many codes of so many dimensions."""
        return cls.parameters_kind()

    @classmethod
    @abstractmethod
    def estimate_bytes(cls, count: int, dims: int) -> int:
        """Memory that so many codes will take with `suggest`'s parameters."""

    def begin(self, owner: str) -> None:  # noqa: B027 - most need none
        """Said before the first `train` or `add` by who means to keep the index.

        A backend that keeps codes elsewhere names them by `owner`, and removes what a build of
        that owner which did not come to its end has left there.

        Args:
            owner: letters, digits and _; no other index that is to be kept has it.
        """

    def train(self, codes: Floats) -> None:  # noqa: B027 - most need none
        """Learn what the index needs to know of codes in general, before the first `add`.

        Args:
            codes: float32 (or float16) m×d, a sample of what will be added. Without this call the
                first codes added are the sample.
        """

    @abstractmethod
    def add(self, codes: Floats, ids: Ids) -> None:
        """Add codes.

        Args:
            codes: float32 (or float16) n×d, rows of length 1 or zero.
            ids: int64 n, not negative, none of them in the index.
        """

    @abstractmethod
    def search(
        self, queries: Floats, k: int, exclude: Ids | None = None, allowed: Mask | None = None
    ) -> Ranking:
        """The k nearest of each query; the ranking's rows are ids.

        Args:
            queries: float32 q×d, rows of length 1 or zero.
            k: how many.
            exclude: int64 q, one id that each query must not find (itself); -1 for none.
            allowed: one bool an id, from id 0 on: only those are found. Ids beyond its end are
                not allowed.

        Returns:
            Nearest first, equal distances in order of ids; -1 and infinity where there are
            fewer. An approximate backend may find fewer than there are when little is allowed.
        """

    @abstractmethod
    def remove(self, ids: Ids) -> int:
        """Forget codes; ids that are not there are passed over. Gives how many were there."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write it as a folder, whole or not at all.

        Raises:
            UserError: full disk or no right to write.
        """

    @classmethod
    @abstractmethod
    def load(cls, path: Path, vectors: Vectors | None = None) -> IndexBackend:
        """Open what `save` wrote.

        Raises:
            UserError: absent or damaged.
        """

    def drop(self) -> None:  # noqa: B027 - most need none
        """Give up what it keeps outside this process; an index that was only tried out."""

    @classmethod
    def discard(cls, path: Path) -> None:
        """Remove what `save` wrote, and what belongs to it elsewhere; see `discard_index`."""
        shutil.rmtree(path, ignore_errors=True)

    @abstractmethod
    def ids(self) -> Ids:
        """Ids of the codes that can be found, int64, in any order."""

    def __len__(self) -> int:
        """How many codes can be found."""
        return len(self.ids())

    @abstractmethod
    def memory_bytes(self) -> int:
        """Bytes of memory it holds now; files that are only mapped do not count."""

    def efforts(self) -> list[int]:
        """Rising values of `effort` worth trying; see `neuralcodes.index.recall`."""
        return [1]

    def describe(self) -> dict[str, Any]:
        """What it is, JSON-ready: what `save` writes beside the data."""
        return {
            "format": FORMAT,
            "backend": self.name,
            "dims": self.dims,
            "parameters": self.parameters.to_json(),
            "effort": self.effort,
        }


Kind = TypeVar("Kind", bound=type[IndexBackend])

_KINDS: Registry[type[IndexBackend]] = Registry(
    "index", "neuralcodes.index", ENTRY_POINTS, ("faiss_", "milvus", "scan")
)


def register(name: str) -> Callable[[Kind], Kind]:
    """Decorate a backend to make it known under `name`.

    Raises:
        ValueError: another class has that name.
    """

    def add(kind: Kind) -> Kind:
        _KINDS.add(name, kind, kind)
        kind.name = name
        return kind

    return add


def backend_names(local: bool = False) -> list[str]:
    """Names of all backends, ours and those of other packages, sorted.

    Args:
        local: only those that keep everything in the folder that `save` writes, so that their
            names are enough to make one. The others want a place too; see `get_backend`.

    Raises:
        UserError: an installed plug-in cannot be loaded.
    """
    return [name for name, kind in _KINDS.all().items() if not (local and kind.elsewhere)]


def get_backend(name: str) -> type[IndexBackend]:
    """The backend of this name. Plug-ins are loaded only for a name that is not ours.

    Args:
        name: of one that keeps codes elsewhere, with the place: milvus:http://HOST:19530.

    Raises:
        UserError: there is none (the message names those there are), it has no such place, or a
            plug-in is broken.
    """
    base, _, place = name.partition(":")
    kind = _KINDS.find(base)
    if kind is None:
        raise UserError(f"unknown index {base!r}; there are: {', '.join(backend_names())}")
    return kind.at(place)


def load_index(path: Path, vectors: Vectors | None = None) -> IndexBackend:
    """Open an index that any backend saved.

    Raises:
        UserError: absent, damaged, of another format, or of a backend that is not installed.
    """
    return get_backend(str(read_about(path)["backend"])).load(path, vectors)


def discard_index(path: Path) -> None:
    """Remove an index that any backend saved; damaged ones too.

    Where it also lies on a server that cannot be reached now, the folder stays, for another time.
    """
    try:
        kind = get_backend(str(read_about(path)["backend"]))
    except (UserError, KeyError):
        kind = None
    if kind is None:
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(UserError):
        kind.discard(path)


def read_about(path: Path) -> dict[str, Any]:
    """What `IndexBackend.describe` said when the index was saved.

    Raises:
        UserError: absent, damaged or of another format.
    """
    about = read_json(path / ABOUT)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise UserError(f"{path}: an index of another version; build it again")
    return about


def efforts_upto(most: int) -> list[int]:
    """From 1 to `most` by steps of a half, for backends whose effort is a number of lists."""
    ladder = [1]
    while ladder[-1] < most:
        ladder.append(min(most, max(ladder[-1] + 1, int(ladder[-1] * 1.5))))
    return ladder


def id_mask(ids: Ids, allowed: Mask) -> Mask:
    """Which of `ids` are allowed; see `IndexBackend.search`."""
    known = ids < len(allowed)
    if known.all():
        return allowed[ids]
    return known & allowed[np.where(known, ids, 0)] if len(allowed) else np.zeros_like(known)
