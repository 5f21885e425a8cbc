"""What an update is asked to do, and what it says it did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class BadFile:
    """An image file without a code, and why."""

    path: str
    reason: str


@dataclass
class SyncReport:
    """What an update did.

    Attributes:
        added, changed, moved, removed, unchanged: images.
        computed: contents that went through the network.
        bad: files that were tried now and could not be read.
        notes: what the user should know: places that could not be read, images kept all the same.
        seconds: all in all.
    """

    added: int = 0
    changed: int = 0
    moved: int = 0
    removed: int = 0
    unchanged: int = 0
    computed: int = 0
    bad: list[BadFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def include(self, other: SyncReport) -> None:
        """Take over what a further update did."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def summary(self) -> str:
        """One line for people."""
        counts = {
            "new": self.added,
            "changed": self.changed,
            "moved": self.moved,
            "gone": self.removed,
            "unchanged": self.unchanged,
            "bad": len(self.bad),
        }
        parts = [f"{count:,} {name}" for name, count in counts.items() if count] or ["nothing new"]
        rate = f", {self.computed / self.seconds:,.0f} images/s" if self.computed else ""
        return f"{', '.join(parts)}; {self.computed:,} codes made in {self.seconds:.1f} s{rate}"


@dataclass(frozen=True)
class SyncOptions:
    """How to update.

    Attributes:
        remove_gone: let images go whose files are no longer there.
        prune: also where a place holds no image at all any more (as a disk that is not mounted).
        retry_bad: try bad files again though they have not changed.
        archives: open archives that lie in folders; None as last time, at first not.
    """

    remove_gone: bool = True
    prune: bool = False
    retry_bad: bool = False
    archives: bool | None = None
