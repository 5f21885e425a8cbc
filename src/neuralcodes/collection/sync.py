"""Bringing a collection up to date with the pictures on disk.

Unchanged files (by size and times) are passed over, changed ones are read and hashed, and only
contents that the collection has never seen go through the network. Each batch is committed by
itself; files that are gone leave at the end, and only where their place could be read.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from neuralcodes.collection.coding import BATCH, Coder
from neuralcodes.collection.pictures import Pictures, name_of, printable
from neuralcodes.collection.reading import Job, Reader, Ready
from neuralcodes.collection.segments import Array
from neuralcodes.collection.walk import Found, Root, walk
from neuralcodes.collection.writer import Writer, Written
from neuralcodes.common.progress import progress
from neuralcodes.images.imageset import Pixels

COMMIT_IMAGES = 2000
COMMIT_SECONDS = 5.0
LOOK_UP = 400  # images a query; SQLite takes at least 999 values


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
    """

    remove_gone: bool = True
    prune: bool = False
    retry_bad: bool = False


class Sync:
    """One update; see `run`."""

    def __init__(
        self, writer: Writer, coder: Coder, pictures: Pictures, options: SyncOptions
    ) -> None:
        self._writer = writer
        self._coder = coder
        self._pictures = pictures
        self._reader = Reader(writer.path, pictures, writer.spec.preprocessing)
        self._options = options
        self._batch: list[Pixels] = []  # new contents that wait for the network
        self._codes: list[Array] = []  # of those that went through it
        self._fresh: dict[bytes, int] = {}  # both, by hash: their row in the next segment
        self._pending: list[Ready] = []  # all images since the last commit
        self._last = time.monotonic()
        self.report = SyncReport()

    def run(self, roots: Sequence[Root]) -> SyncReport:
        """Update from these places; see `SyncReport`."""
        start = time.monotonic()
        for table in ("seen", "fresh"):  # images met, images that are new, in this run
            self._writer.db.execute(f"DROP TABLE IF EXISTS temp.{table}")
            self._writer.db.execute(f"CREATE TEMP TABLE {table} (image INTEGER PRIMARY KEY)")
        plans = [self._plan(root) for root in roots]
        self._read([job for _, jobs in plans for job in jobs])
        for root, (count, _) in zip(roots, plans, strict=True):
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

    def _unchanged_archive(self, root: Root) -> bool:
        if root.kind not in ("zip", "tar") or self._options.retry_bad:
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
                for ready in self._reader.read(jobs):
                    self._take(ready)
                    bar.update()
            self._commit()
        except KeyboardInterrupt:
            # what went through the network is kept, unless it was the very batch that stopped
            if len(self._batch) + sum(map(len, self._codes)) == len(self._fresh):
                self._commit()
            raise

    def _take(self, ready: Ready) -> None:
        pixels = ready.pixels
        if pixels is not None and ready.hash not in self._fresh:
            # read ahead of the last commit, it may be known by now
            known = self._writer.query("SELECT id FROM codes WHERE hash = ?", (ready.hash,))
            if known:
                ready = replace(ready, code=known[0][0])
            else:
                self._fresh[ready.hash] = len(self._fresh)
                self._batch.append(pixels)
        self._pending.append(replace(ready, pixels=None))
        if len(self._batch) == BATCH:
            self._encode()
        late = time.monotonic() - self._last > COMMIT_SECONDS
        if len(self._pending) >= COMMIT_IMAGES or late:
            self._commit()

    def _encode(self) -> None:
        if self._batch:
            codes = self._coder.encode(np.stack(self._batch))
            self._codes.append(codes)
            self._batch = []
            self.report.computed += len(codes)

    def _commit(self) -> None:
        """Write what is pending: codes first, then one transaction that names them."""
        self._encode()
        pending, codes, fresh = self._pending, self._codes, self._fresh
        self._pending, self._codes, self._fresh = [], [], {}
        if pending:
            written = self._writer.write_codes(len(fresh), codes) if fresh else None
            with self._writer.transaction():
                ids = self._add_codes(written, pending, fresh) if written else {}
                self._add_images(pending, ids)
        self._last = time.monotonic()

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
        if gone and not count and not self._options.prune:
            self.report.notes.append(
                f"{printable(root.path)}: holds no image now and held {len(gone)}; they are kept "
                "in case it is a disk that is not mounted (--prune lets them go)"
            )
            gone = []
        with self._writer.transaction():
            self._let_go(gone)
            if root.kind == "own":
                return
            self._writer.change(
                "INSERT OR REPLACE INTO roots (place, kind, stamp, scanned) VALUES (?,?,?,?)",
                (root.place, root.kind, root.stamp, time.time()),
            )

    def _gone(self, root: Root) -> list[tuple[int, int | None]]:
        """Images of a root that were not met and are not there any more: id and code."""
        unseen = "id NOT IN (SELECT image FROM temp.seen)"
        if root.kind in ("zip", "tar"):
            sql = f"SELECT id, code FROM images WHERE place = ? AND {unseen}"
            return self._writer.query(sql, (root.place,))
        if root.kind in ("file", "own"):
            return []
        prefix = root.place.rstrip(b"/")
        rows = self._writer.query(
            "SELECT id, code, place FROM images WHERE place > ? AND place < ? "
            f"AND member = x'' AND {unseen}",
            (prefix + b"/", prefix + b"0"),  # 0 is what comes after /
        )
        return [(image, code) for image, code, place in rows if _is_gone(place)]

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


def naming(found: Found) -> tuple[str, str, str]:
    """Name, folder and label of an image, as text for people and filters."""
    folder, _, name = printable(found.below).rpartition("/")
    if not os.path.isabs(found.place):
        return name, folder, ""
    if not folder and not found.member:
        label = os.fsdecode(os.path.basename(os.path.dirname(found.place)))
        return name, "", printable(label)
    return name, folder, folder.rpartition("/")[2]


def _is_gone(place: bytes) -> bool:
    """Whether there is surely no such file; not so if it only cannot be seen."""
    try:
        os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
