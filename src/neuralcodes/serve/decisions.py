"""`Decisions`: what a person has decided about groups of duplicates, remembered by content."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuralcodes.common.files import read_json, write_json

FILE = "duplicate-choices.json"


@dataclass(frozen=True)
class RememberedDecision:
    """What was decided about one group.

    Attributes:
        choice: "keep", "skip" or "different".
        images: ids in the group, then.
        keep: ids that stay, for "keep".
        at: seconds since 1970.
    """

    choice: str
    images: tuple[int, ...]
    keep: tuple[int, ...]
    at: float


def group_key(contents: Iterable[int | None], images: Iterable[int]) -> str:
    """A group's name: the same as long as the same images with the same contents are in it."""
    parts = sorted(zip(images, contents, strict=True))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class Decisions:
    """Decisions in one JSON file in the collection's folder.

    Args:
        collection: its folder.
    """

    def __init__(self, collection: Path) -> None:
        self._path = collection / FILE
        self._lock = threading.Lock()
        self._known: dict[str, RememberedDecision] = {}
        if self._path.exists():
            for key, value in read_json(self._path).items():
                self._known[key] = RememberedDecision(
                    value["choice"], tuple(value["images"]), tuple(value["keep"]), value["at"]
                )

    def get(self, key: str) -> RememberedDecision | None:
        """What was decided about a group."""
        return self._known.get(key)

    def all(self) -> dict[str, RememberedDecision]:
        """Every decision by group."""
        with self._lock:
            return dict(self._known)

    def set(self, key: str, choice: str | None, images: list[int], keep: list[int]) -> None:
        """Decide, or take a decision back with None; on disk when this returns.

        Raises:
            UserError: it cannot be written.
        """
        with self._lock:
            known = dict(self._known)
            if choice is None:
                known.pop(key, None)
            else:
                known[key] = RememberedDecision(choice, tuple(images), tuple(keep), time.time())
            write_json(self._path, {name: _json(one) for name, one in known.items()})
            self._known = known


def _json(decision: RememberedDecision) -> dict[str, Any]:
    return {
        "choice": decision.choice,
        "images": list(decision.images),
        "keep": list(decision.keep),
        "at": decision.at,
    }
