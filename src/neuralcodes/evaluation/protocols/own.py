"""A user's own protocol: a CSV or JSON file that says what is relevant to which query.

CSV, with a header: `query,relevant,junk`, where `relevant` and `junk` are names with `;` between
them; a query may have several lines. A column `box` (left top right bottom, blanks between) is for
queries that are a part of their image. JSON: a list of `{"query": NAME, "relevant": [...], "junk":
[...], "box": [...]}`, or `{"queries": that list, "database": [...]}` where not all images are
searched. Junk, box and database may be left out.

A query's own image does not count unless it is listed as relevant.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json
from neuralcodes.evaluation.measures import (
    AVERAGE_PRECISION,
    R_PRECISION,
    hit,
    precision,
    recall,
)
from neuralcodes.evaluation.protocols.groundtruth import Box, GroundTruth, Lists, Query
from neuralcodes.evaluation.protocols.registry import register
from neuralcodes.evaluation.protocols.textfiles import read_lines, require_different

NAME = "own"
FORM = "a list of {query, relevant, junk, box}, or {queries: that list, database: names}"


@dataclass
class _Entry:
    relevant: list[str] = field(default_factory=list)
    junk: list[str] = field(default_factory=list)
    box: Box | None = None


@register(
    NAME,
    "your own: queries with their relevant and junk images",
    files="a CSV file (columns query, relevant, junk) or a JSON file",
)
def read(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """A file of either form."""
    assert path is not None  # the registry asks for it
    database: tuple[str, ...] | None = None
    if path.suffix.lower() == ".json":
        entries, database = _read_json(path)
    else:
        entries = _read_csv(path)
    if not entries:
        raise UserError(f"{path}: holds no queries")
    for name, entry in entries.items():
        both = set(entry.relevant) & set(entry.junk)
        if both:
            raise UserError(f"{path}: {min(both)} is both relevant and junk to {name}")
    return GroundTruth(
        protocol=NAME,
        queries=tuple(Query(name, name, entry.box) for name, entry in entries.items()),
        database=database,
        tasks={
            "": Lists(
                tuple(tuple(dict.fromkeys(entry.relevant)) for entry in entries.values()),
                tuple(tuple(dict.fromkeys(entry.junk)) for entry in entries.values()),
            )
        },
        own_image_counts=False,
        measures=(AVERAGE_PRECISION, precision(1), precision(10), recall(10), hit(1), R_PRECISION),
    )


def _read_csv(path: Path) -> dict[str, _Entry]:
    rows = list(csv.DictReader(read_lines(path)))
    if not rows or not {"query", "relevant"} <= rows[0].keys():
        raise UserError(f"{path}: needs a header line with the columns query, relevant and junk")
    entries: dict[str, _Entry] = {}
    for row in rows:
        name = (row["query"] or "").strip()
        if not name:
            raise UserError(f"{path}: a line has no query")
        entry = entries.setdefault(name, _Entry())
        entry.relevant += _split(row["relevant"])
        entry.junk += _split(row.get("junk"))
        if row.get("box"):
            entry.box = _box(row["box"].split(), path, name)
    return entries


def _split(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(";") if name.strip()]


def _read_json(path: Path) -> tuple[dict[str, _Entry], tuple[str, ...] | None]:
    facts = read_json(path)
    database = facts.get("database") if isinstance(facts, dict) else None
    items = facts.get("queries") if isinstance(facts, dict) else facts
    if not isinstance(items, list) or not (database is None or _is_texts(database)):
        raise UserError(f"{path}: should be {FORM}")
    entries: dict[str, _Entry] = {}
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("query"), str):
            raise UserError(f"{path}: should be {FORM}")
        name, relevant, junk = item["query"], item.get("relevant", []), item.get("junk", [])
        if name in entries:
            raise UserError(f"{path}: the query {name} stands twice; make it one")
        if not _is_texts(relevant) or not _is_texts(junk):
            raise UserError(f"{path}: relevant and junk of {name} should be lists of names")
        box = item.get("box")
        entries[name] = _Entry(relevant, junk, None if box is None else _box(box, path, name))
    if database is not None:
        require_different(database, f"{path}: database")
    return entries, None if database is None else tuple(database)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _box(words: Any, path: Path, name: str) -> Box:
    try:
        left, top, right, bottom = (float(word) for word in words)
    except (TypeError, ValueError):
        raise UserError(
            f"{path}: the box of {name} should be four numbers: left top right bottom"
        ) from None
    return left, top, right, bottom
