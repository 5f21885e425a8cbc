"""A collection's search index: chosen, built, grown, and its recall kept.

The index is made from the stored codes and never the only place of anything. Codes that it does
not hold are searched exactly beside it (see `searching`).
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neuralcodes.collection.segments import Ids, file_sum
from neuralcodes.collection.snapshot import Snapshot
from neuralcodes.collection.store import INDEXES, Connection
from neuralcodes.collection.writer import Writer
from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import progress
from neuralcodes.index.backend import IndexBackend, discard_index, get_backend, load_index
from neuralcodes.index.choose import IndexChoice, choose_index
from neuralcodes.index.recall import Recall, tune
from neuralcodes.index.scan import ScanIndex

_log = logging.getLogger(__name__)

RECALL = 0.95
K = 10
HELD_OUT = 1000  # codes that stand for queries when recall is measured
TAIL = 0.1  # codes beside the index, as a share of those in it, before it is grown
TAIL_LEAST = 5000
RECHECK = 1.5  # recall is measured again when there are so many times the codes
RETRAIN = 4.0  # what learnt from the codes is built anew when there are so many times as many
DEAD = 0.2  # …or when so large a share of its codes is no longer in use
ADD = 65_536


@dataclass(frozen=True)
class Wishes:
    """What the user asked of the index.

    Attributes:
        recall: promised recall@10.
        backend: a backend by name; None chooses.
        memory: bytes it may take; None for half of what is free.
    """

    recall: float = RECALL
    backend: str | None = None
    memory: int | None = None


def read_wishes(connection: Connection) -> Wishes:
    """What was asked for last."""
    return Wishes(**(connection.setting("index_wishes") or {}))


def write_wishes(writer: Writer, wishes: Wishes) -> None:
    """Remember what is asked for.

    Raises:
        UserError: a recall outside (0, 1], or no backend of that name.
    """
    if not 0 < wishes.recall <= 1:
        raise UserError(f"--recall {wishes.recall}: give a share above 0 and at most 1, as 0.95")
    if wishes.backend is not None:
        # a relative place would be another one in another working folder
        wishes = replace(wishes, backend=get_backend(wishes.backend).name)
    with writer.transaction():
        writer.set("index_wishes", vars(wishes).copy())


def open_index(path: Path, state: dict[str, Any], snapshot: Snapshot) -> IndexBackend:
    """The index that `state` (the setting "index") tells of.

    Raises:
        UserError: absent or damaged.
    """
    return load_index(path / INDEXES / state["folder"], snapshot.vectors)


def update_index(writer: Writer, force: bool = False) -> None:
    """Make the index what it should be for the codes there are now.

    Builds it where there is none and one is needed or where the old one no longer fits; adds codes
    that it lacks when they are many; measures recall again when there are half as many again.

    Args:
        force: build it anew whatever there is.
    """
    snapshot = writer.snapshot()
    state = writer.setting("index")
    wishes = read_wishes(writer)
    count = len(snapshot.alive)
    choice = choose_index(count, snapshot.dims, wishes.memory, wishes.backend)
    if choice.backend == "exact" or count < 2 * K:
        _forget(writer, state, choice)
        return
    tail = int((snapshot.ids > state["watermark"]).sum()) if state else 0
    if force or state is None or _unfit(state, choice, snapshot, wishes):
        _build(writer, snapshot, choice, wishes, state)
    elif (
        tail > max(TAIL_LEAST, TAIL * state["count"])
        or _due(state, count)
        or (get_backend(state["backend"]).elsewhere and not _there(writer, state, snapshot))
    ):
        try:
            index = open_index(writer.path, state, snapshot)
        except UserError:
            _build(writer, snapshot, choice, wishes, state)
            return
        _grow(writer, snapshot, index, wishes, state)


def _unfit(state: dict[str, Any], choice: IndexChoice, snapshot: Snapshot, wishes: Wishes) -> bool:
    """Whether the index must be built anew."""
    if state["wishes"] != vars(wishes):
        return True
    inside = snapshot.ids[snapshot.ids <= state["watermark"]]
    alive = len(inside) - int((snapshot.dead <= state["watermark"]).sum())
    times = len(snapshot) / state["built_with"]
    if get_backend(state["backend"]).trained and times > RETRAIN:
        return True
    # free memory comes and goes: only a collection that has grown changes its mind for that
    other = bool(state["backend"] != choice.backend and times > 2)
    return other or bool(alive < (1 - DEAD) * state["count"])


def _there(writer: Writer, state: dict[str, Any], snapshot: Snapshot) -> bool:
    """Whether what a server keeps is still what was saved."""
    try:
        open_index(writer.path, state, snapshot)
    except UserError:
        return False
    return True


def _due(state: dict[str, Any], count: int) -> bool:
    return bool(count > RECHECK * state["recall"]["count"])


def _forget(writer: Writer, state: dict[str, Any] | None, choice: IndexChoice) -> None:
    with writer.transaction():
        writer.set("index", None)
        writer.set("index_choice", {"backend": "exact", "reason": choice.reason})
    if state:
        discard_index(writer.path / INDEXES / state["folder"])


def _build(
    writer: Writer,
    snapshot: Snapshot,
    choice: IndexChoice,
    wishes: Wishes,
    old: dict[str, Any] | None,
) -> None:
    kind = get_backend(choice.backend)
    _log.info("%s: building index %s (%s)", writer.path, choice.backend, choice.reason)
    index = kind(snapshot.dims, choice.parameters, snapshot.vectors)
    index.begin(f"{_identity(writer)}_{_next_folder(old)}")
    generator = np.random.default_rng(0)
    alive = snapshot.alive
    most = 100_000  # codes that FAISS trains on, at the very most
    sample = np.sort(generator.choice(alive, min(len(alive), most), replace=False))
    index.train(snapshot.vectors(sample))
    recall = _add_and_measure(index, snapshot, alive, wishes.recall)
    _keep(writer, snapshot, index, recall, wishes, choice.reason, old, built_with=len(alive))


def _grow(
    writer: Writer,
    snapshot: Snapshot,
    index: IndexBackend,
    wishes: Wishes,
    state: dict[str, Any],
) -> None:
    """Add what the index lacks, and measure recall again where that is due."""
    tail = np.setdiff1d(snapshot.alive, index.ids())
    if _due(state, len(snapshot.alive)):
        recall = _add_and_measure(index, snapshot, tail, wishes.recall)
    else:
        _drop_gone(index, snapshot)
        _add(index, snapshot, tail)
        recall = Recall.from_json(state["recall"])
    reason = writer.setting("index_choice")["reason"]
    _keep(writer, snapshot, index, recall, wishes, reason, state, built_with=state["built_with"])


def _add(index: IndexBackend, snapshot: Snapshot, ids: Ids) -> None:
    with progress(len(ids), "building the index", "code") as bar:
        for start in range(0, len(ids), ADD):
            part = ids[start : start + ADD]
            index.add(snapshot.vectors(part), part)
            bar.update(len(part))


def _add_and_measure(index: IndexBackend, snapshot: Snapshot, new: Ids, target: float) -> Recall:
    """Add codes to the index, some of them only after they have been queries."""
    held = min(HELD_OUT, max(2, len(new) // 5))
    queries = np.sort(np.random.default_rng(1).choice(new, held, replace=False))
    _drop_gone(index, snapshot)
    _add(index, snapshot, np.setdiff1d(new, queries, assume_unique=True))
    vectors = snapshot.vectors(queries)
    truth = exact_index(snapshot).search(vectors, K, allowed=snapshot.mask(index.ids()))
    recall = tune(index, vectors, truth, target)
    index.add(vectors, queries)
    return recall


def _drop_gone(index: IndexBackend, snapshot: Snapshot) -> None:
    """Let the index forget codes that are not in use, or that a compaction has dropped since."""
    index.remove(np.setdiff1d(index.ids(), snapshot.alive))


def exact_index(snapshot: Snapshot, ids: Ids | None = None) -> ScanIndex:
    """Exact search over the stored codes as they lie; over some of them only, copied (decoded)."""
    index = ScanIndex(snapshot.dims)
    if ids is not None:
        index.add(snapshot.vectors(ids), ids)
        return index
    for segment, codes in zip(snapshot.segments, snapshot.readable, strict=True):
        index.add(codes, segment.ids)
    return index


def _keep(
    writer: Writer,
    snapshot: Snapshot,
    index: IndexBackend,
    recall: Recall,
    wishes: Wishes,
    reason: str,
    old: dict[str, Any] | None,
    built_with: int,
) -> None:
    """Save the index, then name it in the database, then remove the old one."""
    folder = writer.path / INDEXES / _next_folder(old)
    found = f"{recall.mean:.3f} ({recall.low:.3f} to {recall.high:.3f})"
    _log.info("%s: index of %d codes, recall@%d %s", writer.path, len(index), recall.k, found)
    index.save(folder)
    with writer.transaction():
        writer.set(
            "index",
            {
                "folder": folder.name,
                "backend": index.name,
                "parameters": index.parameters.to_json(),
                "watermark": int(snapshot.ids[-1]),
                "count": len(index),
                "built_with": built_with,
                "memory_bytes": index.memory_bytes(),
                "recall": recall.to_json(),
                "wishes": vars(wishes).copy(),
                "checksum": folder_sum(folder),
            },
        )
        writer.set("index_choice", {"backend": index.name, "reason": reason})
    if old:
        discard_index(writer.path / INDEXES / old["folder"])


def _next_folder(old: dict[str, Any] | None) -> str:
    return f"{int(old['folder']) + 1 if old else 1:06}"


def _identity(writer: Writer) -> str:
    """Tells this collection from all others where several keep indexes in one place."""
    known = writer.setting("identity")
    if known is None:
        known = secrets.token_hex(6)
        with writer.transaction():
            writer.set("identity", known)
    return str(known)


def folder_sum(folder: Path) -> str:
    """sha256 over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(f"{path.name}\0{file_sum(path)}\n".encode())
    return digest.hexdigest()
