"""Bringing images into a collection and taking them out again."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neuralcodes.collection.archives import archive_kind
from neuralcodes.collection.coding import Coder
from neuralcodes.collection.engine import Engine
from neuralcodes.collection.metadata import set_metadata
from neuralcodes.collection.pictures import Pictures, printable
from neuralcodes.collection.places import below, is_below, is_own
from neuralcodes.collection.query import find_place
from neuralcodes.collection.store import PICTURES
from neuralcodes.collection.sync import Sync
from neuralcodes.collection.syncreport import SyncOptions, SyncReport
from neuralcodes.collection.walk import Root, file_stamp, open_root
from neuralcodes.collection.writer import LARGE, Writer
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_write
from neuralcodes.images.inmemory import picture_bytes

_log = logging.getLogger(__name__)

Paths = Sequence[str | os.PathLike[str]]
_SAFE = re.compile(r"[^\w.-]+")


def sync(
    writer: Writer,
    coder: Coder,
    pictures: Pictures,
    paths: Paths,
    options: SyncOptions,
    engine: Engine | None = None,
) -> SyncReport:
    """Update from these places, or from all known ones; see `Collection.sync`."""
    notes: list[str] = []
    if options.archives is None:
        options = replace(options, archives=bool(writer.setting("archives")))
    else:
        with writer.transaction():
            writer.set("archives", options.archives)
    roots = [open_root(path) for path in paths] if paths else _known_roots(writer, notes)
    if not roots and not notes:
        raise UserError(f"{writer.path}: nothing was indexed yet; name folders or files")
    report = Sync(writer, coder, pictures, options, engine).run(roots)
    report.notes[:0] = notes
    _log.info("%s: %s", writer.path, report.summary())
    return report


def _known_roots(writer: Writer, notes: list[str]) -> list[Root]:
    roots: list[Root] = []
    for (place,) in writer.query("SELECT place FROM roots WHERE kind <> 'own' ORDER BY place"):
        path = os.fsdecode(place)
        try:
            roots.append(open_root(path))
        except UserError:
            above = [r for r in roots if r.kind == "folder" and is_below(place, r.place)]
            if not above:  # else the folder that held it looks after its images
                notes.append(
                    f"{printable(path)}: not there now; its images are kept (neuralcodes remove "
                    "takes them out)"
                )
    return roots


def add(
    writer: Writer,
    coder: Coder,
    pictures: Pictures,
    images: Any,
    names: Sequence[str] | None,
    metadata: Any,
) -> SyncReport:
    """Add images, letting none go; see `Collection.add`."""
    many = images if isinstance(images, (list, tuple)) else [images]
    if names is not None and len(names) != len(many):
        raise UserError(f"{len(names)} names for {len(many)} images; give one each")
    roots = []
    for number, image in enumerate(many):
        if isinstance(image, (str, os.PathLike)):
            root = open_root(image)
        else:
            root = _keep(writer, image, names[number] if names is not None else None)
        roots.append(root)
    report = Sync(writer, coder, pictures, SyncOptions(remove_gone=False)).run(roots)
    if metadata is not None:
        _give_metadata(writer, roots, metadata)
    _log.info("%s: %s", writer.path, report.summary())
    return report


def _keep(writer: Writer, image: Any, name: str | None) -> Root:
    """Write a picture from memory into the collection's own folder."""
    data = picture_bytes(image)
    digest = hashlib.sha256(data).hexdigest()
    stem = _SAFE.sub("_", Path(name).name)[:100] if name else digest[:24]
    folder = writer.path / PICTURES
    path = folder / f"{stem.removesuffix('.png')}.png"
    if path.exists() and path.read_bytes() != data:
        if name:
            raise UserError(f"{name}: another picture of that name is in the collection")
        path = folder / f"{digest}.png"
    if not path.exists():
        with atomic_write(path) as file:
            file.write(data)
    # relative, so that a collection may be moved with what it keeps
    return Root(os.fsencode(f"{PICTURES}/{path.name}"), "own", file_stamp(os.stat(path)))


def _give_metadata(writer: Writer, roots: Sequence[Root], metadata: Any) -> None:
    each = metadata if isinstance(metadata, (list, tuple)) else [metadata] * len(roots)
    if len(each) != len(roots):
        raise UserError(f"metadata for {len(each)} of {len(roots)} images; give one each")
    rows: list[Mapping[str, Any]] = []
    for root, values in zip(roots, each, strict=True):
        for image in _images_at(writer, root):
            rows.append({"id": image, **values})
    set_metadata(writer, rows, "metadata")


def _images_at(writer: Writer, root: Root) -> list[int]:
    return [row[0] for row in writer.query(*_at_or_below("id", root.place))]


def _at_or_below(columns: str, place: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Images that are this file, in this archive or below this folder."""
    sql = f"SELECT {columns} FROM images WHERE place = ? OR (place > ? AND place < ?)"
    return sql, (place, *below(place))


def remove(writer: Writer, pictures: Pictures, images: Any) -> int:
    """Take images out; see `Collection.remove`."""
    many = list(images) if isinstance(images, (list, tuple, set, range)) else [images]
    chosen: dict[int, tuple[bytes, bytes, int | None]] = {}
    roots: list[bytes] = []
    for one in many:
        rows, place = _find(writer, one)
        if not rows:
            name = one if isinstance(one, (str, os.PathLike)) else f"id:{one}"
            raise UserError(f"{name}: no image of the collection {writer.path}")
        roots += [place] if place else []
        chosen |= {number: (where, member, code) for number, where, member, code in rows}
    with writer.transaction():
        writer.change_many("DELETE FROM images WHERE id = ?", [(number,) for number in chosen])
        known = writer.query("SELECT place FROM roots")
        gone = {root for (root,) in known if root in roots}
        # what was named as a whole is forgotten; a part of something larger is remembered as out
        out = [
            (where, member)
            for where, member, _ in chosen.values()
            if not any(where == root or is_below(where, root) for root in gone)
            and not is_own(where)
        ]
        # an archive in a folder would be found there again
        folders = writer.query("SELECT place FROM roots WHERE kind = 'folder'")
        out += [
            (root, b"")
            for root in gone
            if archive_kind(Path(os.fsdecode(root)))
            and any(is_below(root, above) for (above,) in folders)
        ]
        writer.change_many("INSERT OR IGNORE INTO ignored VALUES (?, ?)", out)
        writer.change_many("DELETE FROM roots WHERE place = ?", [(root,) for root in gone])
        writer.mark_dead({code for *_, code in chosen.values() if code is not None})
    for where, _, _ in chosen.values():
        if is_own(where):
            with suppress(FileNotFoundError):
                os.unlink(pictures.path(where))
    return len(chosen)


def _find(writer: Writer, one: Any) -> tuple[list[Any], bytes | None]:
    columns = "id, place, member, code"
    if isinstance(one, (int, np.integer)) or (isinstance(one, str) and one.startswith("id:")):
        number = int(one[3:]) if isinstance(one, str) and one[3:].isdigit() else one
        return writer.query(f"SELECT {columns} FROM images WHERE id = ?", (number,)), None
    place, member = find_place(writer, os.fsdecode(os.fspath(one)))
    if member:
        sql = f"SELECT {columns} FROM images WHERE place = ? AND member = ?"
        rows = writer.query(sql, (place, member))
        if not rows:  # a folder in an archive
            sql = f"SELECT {columns} FROM images WHERE place = ? AND member > ? AND member < ?"
            rows = writer.query(sql, (place, *below(member)))
        return rows, None
    own = os.path.relpath(place, os.path.realpath(os.fsencode(writer.path)))
    if not own.startswith(b".."):
        rows = writer.query(f"SELECT {columns} FROM images WHERE place = ?", (own,))
        if rows:
            return rows, None
    return writer.query(*_at_or_below(columns, place)), place


def compact(writer: Writer) -> None:
    """Drop codes without an image, put the rest into few files, shrink the database."""
    snapshot = writer.snapshot()
    small: list[Any] = []
    room = 0
    for segment in snapshot.segments:
        size = len(segment.ids) * writer.form.row_bytes
        if size >= LARGE and not np.isin(segment.ids, snapshot.dead).any():
            continue
        if small and room + size > 2 * LARGE:
            writer.merge(small, snapshot.dead)
            small, room = [], 0
        small.append(segment)
        room += size
    if len(small) > 1 or (small and np.isin(small[0].ids, snapshot.dead).any()):
        writer.merge(small, snapshot.dead)
    writer.shrink()
