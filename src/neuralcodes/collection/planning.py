"""What an update has to do: what lies below its places, against what the database knows.

Unchanged files (by size and times) are passed over; what is new or changed becomes a `Job`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from neuralcodes.collection.archives import ARCHIVES
from neuralcodes.collection.pictures import printable
from neuralcodes.collection.reading import Job
from neuralcodes.collection.syncreport import SyncOptions, SyncReport
from neuralcodes.collection.walk import Found, Root, open_root, walk
from neuralcodes.collection.writer import Writer
from neuralcodes.common.errors import UserError

LOOK_UP = 400  # images a query; SQLite takes at least 999 values


@dataclass
class Plan:
    """A place that was walked.

    Attributes:
        root: the place.
        count: images in it.
        jobs: those of them that must be read.
    """

    root: Root
    count: int = 0
    jobs: list[Job] = field(default_factory=list)


class Planner:
    """Finds out what there is to do. Images met that are known go into the table `temp.seen`."""

    def __init__(self, writer: Writer, options: SyncOptions, report: SyncReport) -> None:
        self._writer = writer
        self._options = options
        self._report = report

    def look(self, root: Root) -> Plan:
        """A place and which of its images must be read.

        Raises:
            UserError: an archive cannot be opened.
        """
        if self._unchanged_archive(root):
            sql = "INSERT OR IGNORE INTO temp.seen SELECT id FROM images WHERE place = ?"
            count = self._writer.db.execute(sql, (root.place,)).rowcount
            self._report.unchanged += count
            return Plan(root, count)
        plan = Plan(root)
        found = walk(root)
        while chunk := list(islice(found, LOOK_UP)):
            plan.count += len(chunk)
            plan.jobs += self._compare(root, chunk)
        for folder, reason in root.unreadable:
            name = printable(os.fsdecode(folder))
            self._report.notes.append(f"{name}: cannot be listed ({reason}); what it held is kept")
        return plan

    def look_into_archives(self, roots: Sequence[Root]) -> list[Plan]:
        """As `look`, for archives met in these folders; the report says which ones stay closed."""
        plans: list[Plan] = []
        done = {root.place for root in roots}
        for root in roots:
            known = {place for (place,) in self._writer.query("SELECT place FROM roots")}
            out = set(self._writer.query("SELECT place FROM ignored WHERE member = x''"))
            met = [place for place in root.archives if place not in done and (place,) not in out]
            closed = [place for place in met if not self._options.archives and place not in known]
            if closed:
                names = ", ".join(printable(os.fsdecode(os.path.basename(p))) for p in closed[:3])
                self._report.notes.append(
                    f"{printable(root.path)}: {len(closed)} archive(s) in it were not opened "
                    f"({names}{', …' if len(closed) > 3 else ''}); name them, or --archives"
                )
            for place in met:
                if place in closed or place in done:
                    continue
                done.add(place)
                try:
                    inner = self.look(open_root(os.fsdecode(place)))
                except UserError as error:
                    self._report.notes.append(f"{error} (passed over)")
                    continue
                if inner.count or place in known:
                    plans.append(inner)
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
                    self._report.unchanged += 1
                    continue
            jobs.append(Job(found, image))
        self._writer.db.executemany("INSERT OR IGNORE INTO temp.seen VALUES (?)", seen)
        return jobs

    def _rows(self, columns: str, table: str, chunk: Sequence[Found]) -> list[tuple[Any, ...]]:
        marks = ",".join(["(?,?)"] * len(chunk))
        values = [value for found in chunk for value in (found.place, found.member)]
        sql = f"SELECT {columns} FROM {table} WHERE (place, member) IN (VALUES {marks})"
        return self._writer.query(sql, values)
