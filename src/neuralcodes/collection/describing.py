"""What there is to know of a collection."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuralcodes.codes.probability import load_probability, probability_file
from neuralcodes.collection.indexing import read_wishes
from neuralcodes.collection.pictures import Pictures, printable
from neuralcodes.collection.records import among, every_image, own_columns, select
from neuralcodes.collection.results import ImageRecord, tile_of
from neuralcodes.collection.rowformat import QUANTISER
from neuralcodes.collection.schema import DATABASE
from neuralcodes.collection.segments import FOLDER
from neuralcodes.collection.sheet import render_sheet
from neuralcodes.collection.snapshot import Floats
from neuralcodes.collection.store import INDEXES, PICTURES, Store
from neuralcodes.common.errors import UserError

SHOWN = 24


@dataclass(frozen=True)
class Info:
    """A collection in figures.

    Attributes:
        path: its folder.
        code: short form of its code; `fingerprint` says exactly which.
        dims: of a code.
        dtype: how a code is stored: float32, float16, or the name of the quantiser that does it.
        code_bytes: of a stored code.
        images: with a code.
        contents: distinct ones among them.
        bad: image files without a code.
        removed_codes: codes that no image has any more and that `compact` would drop.
        segments: files of codes.
        bytes: on disk, by part: codes, database, index, pictures, and what decodes stored codes.
        roots: what was indexed: place and kind.
        columns: the user's own.
        index: backend, why it, parameters, memory and measured recall.
        calibration: of near-duplicates, if there was one.
        probability: of matches by distance, if that was calibrated: what matches, how it was
            measured, how good it is, and whether it is stale.
    """

    path: str
    code: str
    fingerprint: str
    dims: int
    dtype: str
    code_bytes: int
    images: int
    contents: int
    bad: int
    removed_codes: int
    segments: int
    bytes: dict[str, int]
    roots: list[dict[str, str]]
    columns: list[str]
    index: dict[str, Any]
    calibration: dict[str, Any] | None
    probability: dict[str, Any] | None = None

    @property
    def bytes_per_image(self) -> float:
        """All of the collection's files over its images."""
        return sum(self.bytes.values()) / max(1, self.images)

    @property
    def parts_per_image(self) -> dict[str, float]:
        """The same by part."""
        return {name: amount / max(1, self.images) for name, amount in self.bytes.items()}

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        parts = {name: round(amount, 1) for name, amount in self.parts_per_image.items()}
        return {
            **asdict(self),
            "bytes_per_image": round(self.bytes_per_image, 1),
            "parts_per_image": parts,
        }


def info(store: Store) -> Info:
    """See `Info`."""
    ((images, bad),) = store.query(
        "SELECT count(*) FILTER (WHERE code IS NOT NULL), "
        "count(*) FILTER (WHERE bad IS NOT NULL) FROM images"
    )
    ((contents, dead),) = store.query(
        "SELECT count(*) FILTER (WHERE NOT dead), count(*) FILTER (WHERE dead) FROM codes"
    )
    ((segments,),) = store.query("SELECT count(*) FROM segments")
    roots = store.query("SELECT place, kind FROM roots ORDER BY place")
    return Info(
        path=str(store.path),
        code=store.spec.name,
        fingerprint=store.spec.fingerprint(),
        dims=store.spec.dims,
        dtype=store.form.name,
        code_bytes=store.form.row_bytes,
        images=images,
        contents=contents,
        bad=bad,
        removed_codes=dead,
        segments=segments,
        bytes=_sizes(store.path),
        roots=[{"path": printable(os.fsdecode(place)), "kind": kind} for place, kind in roots],
        columns=own_columns(store),
        index=_index(store),
        calibration=store.setting("calibration"),
        probability=_probability(store, contents),
    )


def _probability(store: Store, contents: int) -> dict[str, Any] | None:
    path = probability_file(store.path, store.spec)
    if not path.is_file():
        return None
    known = load_probability(path)
    facts = known.facts["reliability"]
    return {
        "match": known.match,
        "method": known.curve.method,
        "count": known.count,
        "depth": known.depth,
        "date": known.facts["date"],
        **{name: facts[name] for name in ("ece", "brier", "base_rate", "held_out")},
        "stale": known.stale(contents),
    }


def _index(store: Store) -> dict[str, Any]:
    state = store.setting("index")
    choice = store.setting("index_choice") or {"backend": "exact", "reason": "nothing indexed yet"}
    wishes = read_wishes(store)
    about: dict[str, Any] = {**choice, "promised_recall": wishes.recall}
    if state:
        about |= {key: state[key] for key in ("parameters", "count", "memory_bytes", "recall")}
    else:
        about["recall"] = None  # exact: all of the true nearest are found
    return about


def _sizes(path: Path) -> dict[str, int]:
    parts = {"codes": FOLDER, "index": INDEXES, "pictures": PICTURES}
    sizes = {name: _bytes_below(path / folder) for name, folder in parts.items()}
    sizes["database"] = 0
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            sizes["database"] += (path / f"{DATABASE}{ending}").stat().st_size
    with suppress(FileNotFoundError):
        sizes["quantiser"] = (path / QUANTISER).stat().st_size
    return sizes


def _bytes_below(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


def image(store: Store, number: int) -> ImageRecord:
    """An image by its id.

    Raises:
        UserError: there is none.
    """
    found = select(store, "images.id = ?", (number,))
    if not found:
        raise UserError(f"id:{number}: no image of that number in {store.path}")
    return found[0]


def codes(store: Store, ids: Sequence[int]) -> Floats:
    """Codes of images by id, float32 n×d.

    Raises:
        UserError: one of them is not there or has no code.
    """
    known: dict[int, int] = {}
    for some, part in among("id", map(int, ids)):
        sql = f"SELECT id, code FROM images WHERE code IS NOT NULL AND {some}"
        known.update(store.query(sql, part))
    for number in ids:
        if int(number) not in known:
            raise UserError(f"id:{number}: no image of that number with a code in {store.path}")
    wanted = np.array([known[int(number)] for number in ids], dtype=np.int64)
    return store.snapshot().vectors(wanted)


def bad(store: Store) -> list[tuple[str, str]]:
    """Images without a code: path and reason, in order of paths."""
    return store.query("SELECT path, bad FROM images WHERE bad IS NOT NULL ORDER BY path")


def page(store: Store, pictures: Pictures) -> str:
    """A few words and pictures, for a notebook."""
    about = info(store)
    tiles = []
    for record in every_image(store, step=SHOWN):
        tiles.append(tile_of(record, pictures, f"id:{record.id}"))
        if len(tiles) == SHOWN:
            break
    note = f"{about.images:,} images, {about.code}, {about.dims} dimensions, {about.bad} bad"
    return render_sheet(f"Collection {store.path}", note, [("first images", tiles)], whole=False)
