"""Checking everything that a collection holds, and mending what can be mended.

A damaged code is computed again from its picture, if that is still what it was. Where it is not,
the image is set back to unread, so that the next update brings it in anew or says why it cannot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from neuralcodes.codes.passes import passes
from neuralcodes.collection.coding import Coder
from neuralcodes.collection.indexing import folder_sum, open_index, update_index
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.rowformat import RowFormat
from neuralcodes.collection.schema import explain_database_errors
from neuralcodes.collection.segments import Segment, file_sum, row_sums
from neuralcodes.collection.snapshot import read_segments
from neuralcodes.collection.store import INDEXES, Connection, Store
from neuralcodes.collection.writer import Writer
from neuralcodes.common.errors import UserError
from neuralcodes.index.backend import get_backend

UNREAD = "?"  # a stamp that no file has


@dataclass
class VerifyReport:
    """What was found.

    Attributes:
        problems: in words, one each.
        damaged: ids of codes whose numbers are not what was stored.
        checked_codes, checked_images: how many.
        repaired: codes computed again.
        to_read: images that the next update must read again.
    """

    problems: list[str] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    checked_codes: int = 0
    checked_images: int = 0
    repaired: int = 0
    to_read: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "whole": self.whole}

    def summary(self) -> str:
        """One line for people."""
        text = f"{self.checked_codes:,} codes checked"
        if self.checked_images:
            text += f", {self.checked_images:,} pictures read"
        text += ": all is well" if self.whole else f": {len(self.problems)} problem(s)"
        if self.repaired or self.to_read:
            text += f"; {self.repaired:,} codes computed again, {self.to_read:,} images to index"
        return text


def verify(store: Store, pictures: Pictures | None = None) -> VerifyReport:
    """Check the database, every file of codes, every row, and the index.

    Args:
        store: the collection.
        pictures: also read every picture and check that it is what was indexed (slow).
    """
    report = VerifyReport()
    _check_database(store, report)
    _check_quantiser(store, report)
    for segment in read_segments(store.db):
        _check_segment(store, segment, report)
    _check_places(store, report)
    _check_index(store, report)
    # a writer at work has files that it has not yet named; they are no damage either way
    if pictures is not None:
        _check_pictures(store, pictures, report)
    return report


def repair(writer: Writer, coder: Coder, pictures: Pictures, report: VerifyReport) -> None:
    """Mend what `verify` found; changes `report`'s figures.

    Raises:
        UserError: the database itself is damaged, or the network is not to be had.
    """
    if any(problem.startswith("database") for problem in report.problems):
        raise UserError(
            f"{writer.path}: its database is damaged and cannot be mended; restore it from a copy "
            "or index the pictures into a new collection"
        )
    if not _has_quantiser(writer.form):
        writer.form.keep_quantiser(coder.encoder.chains[0].steps[-1])
    damaged = set(report.damaged)
    segments = [s for s in read_segments(writer.db) if damaged & set(s.ids.tolist())]
    if segments:
        _replace(writer, coder, pictures, segments, damaged, report)
    with writer.transaction():
        writer.change(
            "UPDATE codes SET dead = NOT EXISTS (SELECT 1 FROM images WHERE code = codes.id)"
        )
    writer.clean()
    update_index(writer, force=writer.setting("index") is not None)


def _check_database(store: Store, report: VerifyReport) -> None:
    try:
        with explain_database_errors(store.path):
            rows = store.query("PRAGMA integrity_check(20)")
            links = store.query("PRAGMA foreign_key_check")
    except UserError as error:
        report.problems.append(f"database: {error}")
        return
    report.problems += [f"database: {text}" for (text,) in rows if text != "ok"]
    report.problems += [f"database: {table} row {row} leads nowhere" for table, row, *_ in links]


def _check_quantiser(store: Store, report: VerifyReport) -> None:
    if not _has_quantiser(store.form):
        report.problems.append(f"{store.form.quantiser_file}: lost or damaged; no code can be read")


def _has_quantiser(form: RowFormat) -> bool:
    """Whether rows can be decoded, looking at the file as it is now."""
    with suppress(UserError):
        return not form.stored or form.read_quantiser() is not None
    return False


def _check_segment(store: Store, segment: Segment, report: VerifyReport) -> None:
    path = store.codes_folder / segment.file
    shape, dtype = (len(segment.ids), store.form.width), store.form.dtype
    try:
        if file_sum(path) == segment.checksum:
            report.checked_codes += len(segment.ids)
            return
        codes = np.load(path, mmap_mode="r", allow_pickle=False)
        if codes.shape != shape or codes.dtype != dtype:
            raise ValueError(f"{codes.shape} of {codes.dtype}, not {shape} of {dtype}")
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        report.problems.append(f"{path}: {reason}; its {shape[0]} codes are lost")
        report.damaged += segment.ids.tolist()
        return
    bad = segment.ids[row_sums(codes) != segment.crcs]
    report.checked_codes += len(segment.ids)
    report.damaged += bad.tolist()
    what = f"{len(bad)} of its {shape[0]} codes are" if len(bad) else "no code, but its header is"
    report.problems.append(f"{path}: {what} not what was stored{_who(store, bad)}")
    if not len(bad):
        report.damaged += segment.ids.tolist()  # written anew with its codes


def _who(store: Store, codes: np.ndarray[Any, Any]) -> str:
    names = []
    for code in codes[:3].tolist():
        names += [row[0] for row in store.query("SELECT path FROM images WHERE code = ?", (code,))]
    return f" ({', '.join(names)}{', …' if len(codes) > 3 else ''})" if names else ""


def _check_places(store: Store, report: VerifyReport) -> None:
    """Each code has exactly one row, and the database says the same in both places."""
    told = {code: (segment, row) for code, segment, row in store.query(
        "SELECT id, segment, row FROM codes")}  # fmt: skip
    there = {}
    for segment in read_segments(store.db):
        for row, code in enumerate(segment.ids.tolist()):
            there[code] = (segment.id, row)
    wrong = {code for code in told.keys() | there.keys() if told.get(code) != there.get(code)}
    if wrong:
        report.problems.append(f"database: the places of {len(wrong)} codes do not agree")
    ((dead,),) = store.query(
        "SELECT count(*) FROM codes WHERE dead <> "
        "(NOT EXISTS (SELECT 1 FROM images WHERE code = codes.id))"
    )
    if dead:
        report.problems.append(f"database: {dead} codes are wrongly marked as in use or not")


def _check_index(store: Store, report: VerifyReport) -> None:
    state = store.setting("index")
    if not state:
        return
    folder = store.path / INDEXES / state["folder"]
    try:
        if folder_sum(folder) != state["checksum"]:
            report.problems.append(f"{folder}: the index is damaged; it can be built anew")
        elif get_backend(state["backend"]).elsewhere:
            open_index(store.path, state, store.snapshot())
    except UserError as error:
        report.problems.append(str(error))
    except OSError as error:
        report.problems.append(f"{folder}: the index is lost ({error.strerror})")


def _check_pictures(store: Store, pictures: Pictures, report: VerifyReport) -> None:
    for image, place, member, path, digest in _images(store):
        report.checked_images += 1
        try:
            data = pictures.read(place, member)
        except OSError as error:
            report.problems.append(f"{path}: {error.strerror or error} (id:{image})")
            continue
        if hashlib.sha256(data).digest() != digest:
            report.problems.append(f"{path}: changed since it was indexed (id:{image})")


def _images(connection: Connection) -> Iterator[tuple[int, bytes, bytes, str, bytes]]:
    last = 0
    while rows := connection.query(
        "SELECT images.id, place, member, path, hash FROM images JOIN codes ON codes.id = code "
        "WHERE images.id > ? ORDER BY images.id LIMIT 1000",
        (last,),
    ):
        yield from rows
        last = rows[-1][0]


def _replace(
    writer: Writer,
    coder: Coder,
    pictures: Pictures,
    segments: list[Segment],
    damaged: set[int],
    report: VerifyReport,
) -> None:
    """Write damaged segments anew: good rows as they are, damaged ones computed again."""
    for segment in segments:
        rows = _good_rows(writer, segment, damaged)
        good = [row for row, code in enumerate(segment.ids.tolist()) if row in rows]
        keep = segment.ids[good].tolist()
        parts = [rows[row] for row in good]
        bad = [code for row, code in enumerate(segment.ids.tolist()) if row not in rows]
        for some in passes(len(bad)):
            again, codes = _compute(writer, coder, pictures, bad[some])
            keep += again
            parts += list(codes)
        report.repaired += len(keep) - len(good)
        lost = sorted(set(bad) - set(keep))
        order = np.argsort(keep, kind="stable")
        ids = np.array(keep, dtype=np.int64)[order]
        blocks = [np.stack(parts)[order]] if parts else []
        written = writer.write_codes(len(ids), blocks) if parts else None
        with writer.transaction():
            report.to_read += _forget(writer, lost)
            writer.replace_segments([segment], written, ids)
        writer.remove_files([segment])


def _good_rows(writer: Writer, segment: Segment, damaged: set[int]) -> dict[int, Any]:
    try:
        codes = np.load(writer.codes_folder / segment.file, mmap_mode="r", allow_pickle=False)
        form = writer.form
        if codes.shape != (len(segment.ids), form.width) or codes.dtype != form.dtype:
            return {}
        good = row_sums(codes) == segment.crcs
    except (OSError, ValueError, EOFError):
        return {}
    return {row: np.array(codes[row]) for row in np.flatnonzero(good).tolist()}


def _compute(
    writer: Writer, coder: Coder, pictures: Pictures, codes: list[int]
) -> tuple[list[int], Any]:
    """Codes of contents whose picture can still be read and is what it was."""
    found, pixels = [], []
    for code in codes:
        for place, member, digest in writer.query(
            "SELECT place, member, hash FROM images JOIN codes ON codes.id = code WHERE code = ?",
            (code,),
        ):
            with suppress(OSError, ValueError):
                data = pictures.read(place, member)
                if hashlib.sha256(data).digest() == digest:
                    pixels.append(pictures.decoding.pixels(data, writer.spec.preprocessing)[0])
                    found.append(code)
                    break
    return found, coder.encode_rows(np.stack(pixels)) if pixels else []


def _forget(writer: Writer, codes: list[int]) -> int:
    """Give up contents whose code is lost; their images are to be read again."""
    count = 0
    for code in codes:
        sql = "UPDATE images SET code = NULL, stamp = ?, bad = ? WHERE code = ?"
        reason = "its code was damaged and its picture has changed or gone; index it again"
        count += writer.change(sql, (UNREAD, reason, code))
        writer.change("DELETE FROM codes WHERE id = ?", (code,))
    return count
