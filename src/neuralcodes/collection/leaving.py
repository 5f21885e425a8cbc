"""What an update lets go: images whose files are gone, and only where their place could be read.

An image whose content is new elsewhere has moved, and keeps its id.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from neuralcodes.collection.archives import ARCHIVES
from neuralcodes.collection.pictures import printable
from neuralcodes.collection.places import below, is_below, is_gone
from neuralcodes.collection.syncreport import SyncOptions, SyncReport
from neuralcodes.collection.walk import Root
from neuralcodes.collection.writer import Writer

Gone = tuple[int, int | None, bytes]  # an image's id, code and place


class Leaving:
    """Lets images go, by the tables `temp.seen` and `temp.fresh` (see `sync`)."""

    def __init__(self, writer: Writer, options: SyncOptions, report: SyncReport) -> None:
        self._writer = writer
        self._options = options
        self._report = report

    def finish(self, root: Root, count: int) -> None:
        """Let go what a place no longer holds, and remember the place.

        Args:
            root: the place, after all that is new has been written.
            count: images met in it.
        """
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
        kept = {row for row in gone if row[2] == place or is_below(row[2], place)}
        if kept:
            self._report.notes.append(
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
                self._report.removed += 1
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
        self._report.moved += 1
        self._report.added -= 1
