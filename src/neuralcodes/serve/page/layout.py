"""Where images lie on the map: principal components, computed once for a state and kept on disk."""

from __future__ import annotations

import hashlib
import io
import threading
from dataclasses import dataclass

import numpy as np

from neuralcodes.collection.segments import Ids
from neuralcodes.collection.snapshot import Floats, Snapshot
from neuralcodes.serve.diskcache import DiskCache

FITTED = 20_000  # codes that the components are found on
SHOWN = 100_000  # points
FORMAT = b"1"


@dataclass(frozen=True)
class Layout:
    """Places of contents.

    Attributes:
        contents: ids, rising.
        places: float32 n×2, within −1 to 1.
        kept: share of the codes' variance along the two directions.
    """

    contents: Ids
    places: Floats
    kept: float


class Layouts:
    """The layout of the present state, made at most once for each.

    Args:
        cache: where they are kept.
        name: of the code and the collection, so that each has its own.
    """

    def __init__(self, cache: DiskCache, name: str) -> None:
        self._cache = cache
        self._name = name.encode()
        self._lock = threading.Lock()
        self._last: tuple[str, Layout] | None = None

    def of(self, snapshot: Snapshot) -> Layout:
        """The layout of a snapshot's codes in use."""
        alive = snapshot.alive
        digest = hashlib.sha256(FORMAT + self._name + alive.tobytes()).hexdigest()
        with self._lock:  # a second visitor waits rather than computing the same
            if self._last is None or self._last[0] != digest:
                kept = self._cache.get(digest)
                made = _read(kept) if kept else None
                if made is None:
                    made = lay_out(snapshot, alive)
                    self._cache.put(digest, _written(made))
                self._last = digest, made
            return self._last[1]


def lay_out(snapshot: Snapshot, contents: Ids) -> Layout:
    """The first two principal components of codes (all of them, or an even sample).

    Each is scaled by itself so that all but the farthest hundredth lie within −1 to 1 in the wider
    one; signs are fixed, so that the same codes give the same map.
    """
    shown = _spread(contents, SHOWN)
    if len(shown) < 3:
        return Layout(shown, np.zeros((len(shown), 2), np.float32), 1.0)
    sample = snapshot.vectors(_spread(shown, FITTED))
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    axes, kept = principal_axes(sample - mean)
    blocks = (shown[at : at + 4096] for at in range(0, len(shown), 4096))
    places = np.concatenate([(snapshot.vectors(block) - mean) @ axes.T for block in blocks])
    size = float(np.quantile(np.abs(places), 0.99)) or 1.0
    return Layout(shown, np.clip(places / size, -1.5, 1.5).astype(np.float32), kept)


def principal_axes(centred: Floats, seed: int = 0) -> tuple[Floats, float]:
    """The two directions of most variance, float32 2×d, and the share of it that they keep.

    Args:
        centred: float32 n×d of mean 0.
        seed: of the randomised start (Halko, Martinsson and Tropp, "Finding structure with
            randomness", 2011, algorithm 4.4, with four passes).
    """
    generator = np.random.default_rng(seed)
    width = min(12, *centred.shape)
    basis = np.linalg.qr(
        centred @ generator.standard_normal((centred.shape[1], width), dtype=np.float32)
    )[0]
    for _ in range(4):
        basis = np.linalg.qr(centred @ np.linalg.qr(centred.T @ basis)[0])[0]
    _, sizes, rows = np.linalg.svd(basis.T @ centred, full_matrices=False)
    axes = np.zeros((2, centred.shape[1]), np.float32)
    axes[: len(rows[:2])] = rows[:2]
    strongest = axes[np.arange(2), np.abs(axes).argmax(axis=1)]
    axes *= np.where(strongest < 0, -1.0, 1.0)[:, None].astype(np.float32)
    total = float(np.square(centred, dtype=np.float64).sum())
    return axes, float(np.square(sizes[:2], dtype=np.float64).sum()) / total if total else 1.0


def _spread(ids: Ids, most: int) -> Ids:
    """All ids, or `most` of them at even steps."""
    if len(ids) <= most:
        return ids
    return ids[np.linspace(0, len(ids) - 1, most).astype(np.int64)]


def _written(layout: Layout) -> bytes:
    file = io.BytesIO()
    np.savez(file, contents=layout.contents, places=layout.places, kept=np.array(layout.kept))
    return file.getvalue()


def _read(data: bytes) -> Layout | None:
    """What `_written` wrote; None if it is damaged."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return Layout(file["contents"], file["places"], float(file["kept"]))
    except (OSError, ValueError, KeyError):
        return None
