"""Bringing a collection up to date with the pictures on disk.

Unchanged files (by size and times) are passed over, changed ones are read and hashed, and only
contents that the collection has never seen go through the network. Each batch is committed by
itself; files that are gone leave at the end, and only where their place could be read.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from neuralcodes.collection.archives import ARCHIVES
from neuralcodes.collection.coding import BATCH, Coder
from neuralcodes.collection.engine import Engine, LocalEngine
from neuralcodes.collection.pictures import Pictures, name_of, printable
from neuralcodes.collection.places import below, is_gone
from neuralcodes.collection.reading import Job, Reader, Ready
from neuralcodes.collection.segments import Array
from neuralcodes.collection.syncreport import BadFile, SyncOptions, SyncReport
from neuralcodes.collection.walk import Found, Root, naming, open_root, walk
from neuralcodes.collection.writer import Writer, Written
from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import progress

COMMIT_IMAGES = 2000
LOOK_UP = 400  # images a query; SQLite takes at least 999 values

Gone = tuple[int, int | None, bytes]  # an image's id, code and place


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
        plans = [(root, *self._plan(root)) for root in roots]
        plans += self._plan_archives(roots)
        # a place may lie in another one
        once = {(j.found.place, j.found.member): j for *_, jobs in plans[::-1] for j in jobs[::-1]}
        self._read(list(once.values())[::-1])
        for root, count, _ in plans:
            self._finish(root, count)
        self._writer.merge_small()
        self.report.seconds = time.monotonic() - start
        return self.report

    # What there is to do

    def _plan(self, root: Root) -> tuple[int, list[Job]]:
        """How many images there are, and those that must be read."""
        if self._unchanged_archive(root):
            sql = "INSERT OR IGNORE INTO temp.seen SELECT id FROM images WHERE place = ?"
            count = self._writer.db.execute(sql, (root.place,)).rowcount
            self.report.unchanged += count
            return count, []
        jobs, count = [], 0
        found = walk(root)
        while chunk := list(islice(found, LOOK_UP)):
            count += len(chunk)
            jobs += self._compare(root, chunk)
        for folder, reason in root.unreadable:
            name = printable(os.fsdecode(folder))
            self.report.notes.append(f"{name}: cannot be listed ({reason}); what it held is kept")
        return count, jobs

    def _plan_archives(self, roots: Sequence[Root]) -> list[tuple[Root, int, list[Job]]]:
        """As `_plan`, for archives met in folders; says which ones stay closed."""
        plans, done = [], {root.place for root in roots}
        for root in roots:
            known = {place for (place,) in self._writer.query("SELECT place FROM roots")}
            out = set(self._writer.query("SELECT place FROM ignored WHERE member = x''"))
            met = [place for place in root.archives if place not in done and (place,) not in out]
            closed = [place for place in met if not self._options.archives and place not in known]
            if closed:
                names = ", ".join(printable(os.fsdecode(os.path.basename(p))) for p in closed[:3])
                self.report.notes.append(
                    f"{printable(root.path)}: {len(closed)} archive(s) in it were not opened "
                    f"({names}{', …' if len(closed) > 3 else ''}); name them, or --archives"
                )
            for place in met:
                if place in closed or place in done:
                    continue
                done.add(place)
                try:
                    inner = open_root(os.fsdecode(place))
                    count, jobs = self._plan(inner)
                except UserError as error:
                    self.report.notes.append(f"{error} (passed over)")
                    continue
                if count or place in known:
                    plans.append((inner, count, jobs))
        return plans

    def _unchanged_archive(self, root: Root) -> bool:
        if root.kind not in ARCHIVES or self._options.retry_bad:
            return False
        rows = self._writer.query("SELECT stamp FROM roots WHERE place = ?", (root.place,))
        return bool(rows) and rows[0][0] == root.stamp

    def _compare(self, root: Root, chunk: Sequence[Found]) -> list[Job]:
        """Those of the images that are new or changed."""
        known = {(place, member): facts for place, member, *facts in self._rows(
            "place, member, id, stamp, bad IS NOT NULL", "images", chunk)}  # fmt: skip
        ignored = set()
        if root.kind not in ("file", "own"):  # a file that was named is wanted
            ignored = set(self._rows("place, member", "ignored", chunk))
        jobs, seen = [], []
        for found in chunk:
            key = (found.place, found.member)
            if key in ignored:
                continue
            image, stamp, bad = known.get(key, (None, "", False))
            if image is not None:
                seen.append((image,))
                if stamp == found.stamp and not (bad and self._options.retry_bad):
                    self.report.unchanged += 1
                    continue
            jobs.append(Job(found, image))
        self._writer.db.executemany("INSERT OR IGNORE INTO temp.seen VALUES (?)", seen)
        return jobs

    def _rows(self, columns: str, table: str, chunk: Sequence[Found]) -> list[tuple[Any, ...]]:
        marks = ",".join(["(?,?)"] * len(chunk))
        values = [value for found in chunk for value in (found.place, found.member)]
        sql = f"SELECT {columns} FROM {table} WHERE (place, member) IN (VALUES {marks})"
        return self._writer.query(sql, values)

    # Doing it

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

    # What is no longer there

    def _finish(self, root: Root, count: int) -> None:
        gone = self._gone(root) if self._options.remove_gone else []
        if gone and not self._options.prune:
            if not count:
                gone = self._spare(root.place, gone)
            if root.kind == "folder":
                for place in self._inner_roots(root, "folder"):
                    if os.path.isdir(place) and not self._met_below(place):
                        gone = self._spare(place, gone)
        with self._writer.transaction():
            self._let_go([(image, code) for image, code, _ in gone])
            if root.kind == "own":
                return
            if root.kind == "folder" and gone:
                self._forget_lost(self._inner_roots(root, "file", *ARCHIVES))
            self._writer.change(
                "INSERT OR REPLACE INTO roots (place, kind, stamp, scanned) VALUES (?,?,?,?)",
                (root.place, root.kind, root.stamp, time.time()),
            )

    def _spare(self, place: bytes, gone: Sequence[Gone]) -> list[Gone]:
        """Keep the images of a place that holds none at all any more."""
        first, last = below(place)
        kept = {row for row in gone if row[2] == place or first < row[2] < last}
        if kept:
            self.report.notes.append(
                f"{printable(os.fsdecode(place))}: holds no image now and held {len(kept)}; they "
                "are kept in case it is a disk that is not mounted (--prune lets them go)"
            )
        return [row for row in gone if row not in kept]

    def _inner_roots(self, root: Root, *kinds: str) -> list[bytes]:
        sql = "SELECT place, kind FROM roots WHERE place > ? AND place < ?"
        rows = self._writer.query(sql, below(root.place))
        return [place for place, kind in rows if kind in kinds]

    def _met_below(self, place: bytes) -> bool:
        sql = "SELECT 1 FROM images JOIN temp.seen ON image = id WHERE place > ? AND place < ?"
        return bool(self._writer.query(f"{sql} LIMIT 1", below(place)))

    def _forget_lost(self, places: Sequence[bytes]) -> None:
        for place in places:
            left = self._writer.query("SELECT 1 FROM images WHERE place = ? LIMIT 1", (place,))
            if not left and is_gone(place):
                self._writer.change("DELETE FROM roots WHERE place = ?", (place,))

    def _gone(self, root: Root) -> list[Gone]:
        """Images of a root that were not met and are not there any more."""
        unseen = "id NOT IN (SELECT image FROM temp.seen)"
        if root.kind in ARCHIVES:
            sql = f"SELECT id, code, place FROM images WHERE place = ? AND {unseen}"
            return self._writer.query(sql, (root.place,))
        if root.kind in ("file", "own"):
            return []
        rows = self._writer.query(
            f"SELECT id, code, place FROM images WHERE place > ? AND place < ? AND {unseen}",
            below(root.place),
        )
        lost = {place for place in {place for *_, place in rows} if is_gone(place)}
        return [row for row in rows if row[2] in lost]

    def _let_go(self, gone: Sequence[tuple[int, int | None]]) -> None:
        """Remove images; one whose content is new elsewhere has moved and keeps its id."""
        touched = {code for _, code in gone if code is not None}
        for image, code in gone:
            elsewhere = [] if code is None else self._writer.query(
                "SELECT id FROM images JOIN temp.fresh ON image = id WHERE code = ? LIMIT 1",
                (code,),
            )  # fmt: skip
            if not elsewhere:
                self._writer.change("DELETE FROM images WHERE id = ?", (image,))
                self.report.removed += 1
                continue
            self._move(image, elsewhere[0][0])
        self._writer.mark_dead(touched)

    def _move(self, image: int, new: int) -> None:
        columns = "place, member, stamp, date, path, name, folder, label"
        (facts,) = self._writer.query(f"SELECT {columns} FROM images WHERE id = ?", (new,))
        self._writer.change("DELETE FROM images WHERE id = ?", (new,))
        self._writer.change("DELETE FROM temp.fresh WHERE image = ?", (new,))
        assign = ", ".join(f"{column} = ?" for column in columns.split(", "))
        self._writer.change(f"UPDATE images SET {assign} WHERE id = ?", (*facts, image))
        self._writer.change("INSERT OR IGNORE INTO temp.seen VALUES (?)", (image,))
        self.report.moved += 1
        self.report.added -= 1
