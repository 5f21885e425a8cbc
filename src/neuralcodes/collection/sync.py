"""Bringing a collection up to date with the pictures on disk.

`planning` says what must be read. That is read and hashed here, and only contents that the
collection has never seen go through the network. Each batch is committed by itself. At the end
`leaving` lets go what is no longer there.
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neuralcodes.codes.passes import BATCH
from neuralcodes.collection.coding import Coder
from neuralcodes.collection.engine import Engine, LocalEngine
from neuralcodes.collection.leaving import Leaving
from neuralcodes.collection.pictures import Pictures, name_of, printable
from neuralcodes.collection.planning import Planner
from neuralcodes.collection.reading import Job, Reader, Ready
from neuralcodes.collection.segments import Array
from neuralcodes.collection.syncreport import BadFile, SyncOptions, SyncReport
from neuralcodes.collection.walk import Found, Root, naming
from neuralcodes.collection.writer import Writer, Written
from neuralcodes.common.progress import progress

COMMIT_IMAGES = 2000


@dataclass
class _Group:
    """Images that are written together.

    Attributes:
        pending: the images.
        fresh: new contents among them by hash: their row in the segment to be written.
        codes: of those that are in the network, or went through it.
        sent: how many those are.
    """

    pending: list[Ready] = field(default_factory=list)
    fresh: dict[bytes, int] = field(default_factory=dict)
    codes: list[Callable[[], Array]] = field(default_factory=list)
    sent: int = 0


class Sync:
    """One update; see `run`."""

    def __init__(
        self,
        writer: Writer,
        coder: Coder,
        pictures: Pictures,
        options: SyncOptions,
        engine: Engine | None = None,
    ) -> None:
        self._writer = writer
        self._pictures = pictures
        self._engine = engine or LocalEngine(
            Reader(writer.path, pictures, writer.spec.preprocessing), coder
        )
        self._options = options
        self._batch: list[Any] = []  # pixels of new contents that wait for the network
        self._group = _Group()  # all since the last commit
        self._closed: deque[_Group] = deque()  # whose codes are still being made
        self._taken = 0  # images
        self._last = time.monotonic()
        self.report = SyncReport()

    def run(self, roots: Sequence[Root]) -> SyncReport:
        """Update from these places; see `SyncReport`."""
        start = time.monotonic()
        for table in ("seen", "fresh"):  # images met, images that are new, in this run
            self._writer.db.execute(f"DROP TABLE IF EXISTS temp.{table}")
            self._writer.db.execute(f"CREATE TEMP TABLE {table} (image INTEGER PRIMARY KEY)")
        planner = Planner(self._writer, self._options, self.report)
        plans = [planner.look(root) for root in roots]
        plans += planner.look_into_archives(roots)
        # a place may lie in another one
        once = {(j.found.place, j.found.member): j for p in plans[::-1] for j in p.jobs[::-1]}
        self._read(list(once.values())[::-1])
        leaving = Leaving(self._writer, self._options, self.report)
        for plan in plans:
            leaving.finish(plan.root, plan.count)
        self._writer.merge_small()
        self.report.seconds = time.monotonic() - start
        return self.report

    def _read(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        try:
            # not within the threads that decode: the filters belong to them all
            with warnings.catch_warnings(), progress(len(jobs), "indexing") as bar:
                warnings.simplefilter("ignore")  # Pillow's, of odd files; what matters is an error
                for ready in self._engine.read(jobs):
                    self._take(ready)
                    bar.update()
            self._commit()
        except KeyboardInterrupt:
            # what went through the network is kept, unless it was the very batch that stopped
            if len(self._batch) + self._group.sent == len(self._group.fresh):
                self._commit()
            raise

    def _take(self, ready: Ready) -> None:
        pixels = ready.pixels
        fresh = self._group.fresh
        if pixels is not None and ready.hash not in fresh:
            if any(ready.hash in group.fresh for group in self._closed):
                self._write_closed(0)
            # read ahead of the last commit, it may be known by now
            known = self._writer.query("SELECT id FROM codes WHERE hash = ?", (ready.hash,))
            if known:
                ready = replace(ready, code=known[0][0])
            else:
                fresh[ready.hash] = len(fresh)
                self._batch.append(pixels)
        self._group.pending.append(replace(ready, pixels=None))
        self._taken += 1
        if len(self._batch) == BATCH:
            self._encode()
        late = time.monotonic() - self._last > self._engine.commit_seconds
        # What shares a pass of the network must not hang on the clock: in a pass of a few images
        # the last bits of codes come out otherwise.
        if self._taken % COMMIT_IMAGES == 0:
            self._close()
            self._write_closed(self._engine.groups_ahead)
        elif late and not self._batch:
            self._commit()

    def _encode(self) -> None:
        if self._batch:
            self._group.codes.append(self._engine.encode(self._batch))
            self._group.sent += len(self._batch)
            self.report.computed += len(self._batch)
            self._batch = []

    def _commit(self) -> None:
        """Write all that is pending."""
        self._close()
        self._write_closed(0)

    def _close(self) -> None:
        self._encode()
        if self._group.pending:
            self._closed.append(self._group)
        self._group = _Group()

    def _write_closed(self, but: int) -> None:
        """Write what is closed, but for so many groups whose codes may go on being made."""
        while len(self._closed) > but:
            self._write(self._closed[0])
            self._closed.popleft()
        self._last = time.monotonic()

    def _write(self, group: _Group) -> None:
        """Codes first, then one transaction that names them."""
        codes = [made() for made in group.codes]
        written = self._writer.write_codes(len(group.fresh), codes) if group.fresh else None
        with self._writer.transaction():
            ids = self._add_codes(written, group.pending, group.fresh) if written else {}
            self._add_images(group.pending, ids)

    def _add_codes(
        self, written: Written, pending: Sequence[Ready], fresh: dict[bytes, int]
    ) -> dict[bytes, int]:
        """Name new codes in the database; gives their ids by hash."""
        rows = self._writer.query("SELECT seq FROM sqlite_sequence WHERE name = 'codes'")
        first = int(rows[0][0]) + 1 if rows else 1
        segment = self._writer.add_segment(written, np.arange(first, first + len(fresh)))
        described = {r.hash: r for r in reversed(pending) if r.facts is not None}
        values = []
        for digest, row in fresh.items():
            ready = described[digest]
            assert ready.facts is not None
            facts = (ready.facts.width, ready.facts.height, ready.facts.kind)
            values.append((first + row, digest, segment, row, ready.size, *facts))
        self._writer.change_many(
            "INSERT INTO codes (id, hash, segment, row, size, width, height, kind) "
            "VALUES (?,?,?,?,?,?,?,?)",
            values,
        )
        return {digest: first + row for digest, row in fresh.items()}

    def _add_images(self, pending: Sequence[Ready], ids: dict[bytes, int]) -> None:
        now = time.time()
        touched: set[int] = set()
        for ready in pending:
            found = ready.job.found
            code = ready.code if ready.code is not None else ids.get(ready.hash)
            code = None if ready.bad else code
            if code is not None:
                touched.add(code)
            path = self._path(found)
            if ready.bad:
                self.report.bad.append(BadFile(path, ready.bad))
            values = (found.stamp, code, ready.bad, found.date)
            if ready.job.image is not None:
                ((was,),) = self._writer.query(
                    "SELECT code FROM images WHERE id = ?", (ready.job.image,)
                )
                if was is not None:
                    touched.add(was)
                self.report.changed += was != code
                self.report.unchanged += was == code
                sql = "UPDATE images SET stamp = ?, code = ?, bad = ?, date = ? WHERE id = ?"
                self._writer.change(sql, (*values, ready.job.image))
                continue
            self.report.added += 1
            image = self._writer.insert(
                "INSERT INTO images (place, member, stamp, code, bad, date, added, path, name, "
                "folder, label) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                (found.place, found.member, *values, now, path, *naming(found)),
            )
            for table in ("seen", "fresh"):
                self._writer.change(f"INSERT OR IGNORE INTO temp.{table} VALUES (?)", (image,))
        self._writer.mark_dead(touched)

    def _path(self, found: Found) -> str:
        return printable(name_of(self._pictures.path(found.place), found.member))
