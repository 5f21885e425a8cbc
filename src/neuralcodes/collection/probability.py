"""Calibrating a collection's distances on what its own searches return.

With labels a result matches that has a label of the query. Without, views of the collection's
pictures are searched by, and the picture that a view was made from is the match. As a user's
picture may or may not be in the collection, half of the views do not find theirs: it is hidden.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from neuralcodes.choosing.views import KINDS, views_of
from neuralcodes.codes.probability import MatchProbability, Method
from neuralcodes.collection.calibration import file_of, picture_of
from neuralcodes.collection.coding import Coder
from neuralcodes.collection.filters import sql_columns
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.records import TABLES, own_columns
from neuralcodes.collection.searching import Searcher
from neuralcodes.collection.segments import Ids
from neuralcodes.collection.snapshot import Floats
from neuralcodes.collection.store import Connection, Store
from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import progress
from neuralcodes.evaluation.calibration import LEAST, Returned, calibrate, known_facts
from neuralcodes.images.decode import decode
from neuralcodes.images.imageset import Pixels

BLOCK = 250  # queries searched at a time
TOGETHER = 40  # pictures whose views are encoded at a time
VIEW = "shows the same picture, altered"
PRESENT = 0.5  # share of the views whose picture can be found


@dataclass(frozen=True)
class Sampling:
    """How many searches are looked at.

    Attributes:
        queries: at most.
        depth: results of each.
        seed: of all that is drawn.
    """

    queries: int = 2000
    depth: int = 10
    seed: int = 0


def labels_of(connection: Connection, column: str) -> dict[int, frozenset[str]]:
    """The labels of each content that has any; a content in several images may have several.

    Args:
        column: "label" (the folder an image lies in) or any other that filters know.

    Raises:
        UserError: there is no such column.
    """
    columns = sql_columns(own_columns(connection))
    if column not in columns:
        raise UserError(f"--labels {column}: no such column; there are: {', '.join(columns)}")
    place = columns[column]
    rows = connection.query(
        f"SELECT images.code, {place} FROM {TABLES} "
        f"WHERE images.code IS NOT NULL AND {place} IS NOT NULL AND {place} <> ''"
    )
    labels: defaultdict[int, set[str]] = defaultdict(set)
    for code, label in rows:
        labels[code].add(str(label))
    return {code: frozenset(found) for code, found in labels.items()}


def choose_labels(connection: Connection, labels: str | None, views: bool) -> str | None:
    """The column to go by: as asked, else "label" if two labels have two images; None for views.

    Raises:
        UserError: both were asked for.
    """
    if views and labels is not None:
        raise UserError("--labels and --views: choose one")
    if views or labels is not None:
        return labels
    counts = Counter(label for found in labels_of(connection, "label").values() for label in found)
    return "label" if sum(count > 1 for count in counts.values()) > 1 else None


def search_by_labels(
    store: Store, searcher: Searcher, labels: dict[int, frozenset[str]], sampling: Sampling
) -> Returned:
    """Search by labelled contents of the collection, each left out of its own results.

    Results without a label are passed over. A content's class is its first label.
    """
    generator = np.random.default_rng(sampling.seed)
    snapshot = store.snapshot()
    known = np.intersect1d(snapshot.alive, np.fromiter(labels, np.int64, len(labels)))
    queries = np.sort(generator.permutation(known)[: sampling.queries])
    numbers = {name: n for n, name in enumerate(sorted({min(labels[q]) for q in queries.tolist()}))}

    def match(query: int, found: int) -> bool | None:
        return None if found not in labels else bool(labels[query] & labels[found])

    classes = np.array([numbers[min(labels[q])] for q in queries.tolist()], dtype=np.int64)
    codes = (snapshot.vectors(queries[at : at + BLOCK]) for at in range(0, len(queries), BLOCK))
    with progress(len(queries), "searching") as bar:
        gathered = _Gathered(searcher, sampling.depth, match)
        for at, block in zip(range(0, len(queries), BLOCK), codes, strict=True):
            own = queries[at : at + BLOCK]
            gathered.add(block, own, hidden=own, classes=classes[at : at + BLOCK])
            bar.update(len(own))
    return gathered.returned("classes")


def search_by_views(
    store: Store, searcher: Searcher, coder: Coder, pictures: Pictures, sampling: Sampling
) -> Returned:
    """Search by views of the collection's pictures; half of the views have theirs hidden.

    Raises:
        UserError: no network at hand.
    """
    generator = np.random.default_rng(sampling.seed)
    few = max(LEAST, sampling.queries // len(KINDS))
    order = generator.permutation(store.snapshot().alive)[:few]
    pre = coder.spec.preprocessing
    gathered = _Gathered(searcher, sampling.depth, lambda query, found: query == found)
    with progress(len(order), "views") as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd files
        for start in range(0, len(order), TOGETHER):
            ids: list[int] = []
            pixels: list[Pixels] = []
            for code in order[start : start + TOGETHER].tolist():
                picture = picture_of(store, pictures, code)
                if picture is not None:
                    picture.thumbnail((4 * max(pre.size), 4 * max(pre.size)))
                    for view in views_of(np.asarray(picture), generator):
                        file = file_of(Image.fromarray(view))
                        pixels.append(decode(file, pre.size, pre.resize))
                        ids.append(code)
                bar.update()
            if ids:
                own = np.array(ids, dtype=np.int64)
                absent = generator.random(len(own)) >= PRESENT
                codes = coder.encode(np.stack(pixels))
                gathered.add(codes, own, hidden=np.where(absent, own, -1), classes=own)
    return gathered.returned("pictures")


class _Gathered:
    """Collects what searches return."""

    def __init__(
        self, searcher: Searcher, depth: int, match: Callable[[int, int], bool | None]
    ) -> None:
        self._searcher, self._depth, self._match = searcher, depth, match
        self._rows: list[tuple[float, bool, int, int, int]] = []
        self._count = 0

    def add(self, codes: Floats, queries: Ids, hidden: Ids, classes: Ids) -> None:
        """Search by some contents; `hidden`: what each must not find, -1 for nothing."""
        found = self._searcher.search(codes, self._depth + 1)
        for number, query in enumerate(queries.tolist()):
            row = found.rows[number]
            keep = (row >= 0) & (row != hidden[number])
            near = zip(
                row[keep][: self._depth].tolist(),
                found.distances[number][keep].tolist(),
                strict=False,
            )
            for rank, (other, distance) in enumerate(near, start=1):
                matches = self._match(query, other)
                if matches is not None:
                    own = int(classes[number])
                    self._rows.append((distance, matches, self._count, rank, own))
            self._count += 1

    def returned(self, kind: str) -> Returned:
        """All of it."""
        columns = list(zip(*self._rows, strict=True)) or [()] * 5
        return Returned(
            np.array(columns[0], dtype=np.float64),
            np.array(columns[1], dtype=np.bool_),
            np.array(columns[2], dtype=np.int64),
            np.array(columns[3], dtype=np.int64),
            np.array(columns[4], dtype=np.int64),
            kind,
        )


def calibrate_collection(
    store: Store,
    searcher: Searcher,
    coder: Coder,
    pictures: Pictures,
    labels: str | None,
    method: Method,
    sampling: Sampling,
) -> MatchProbability:
    """Fit the probability on searches of the collection, without storing it.

    Args:
        labels: the column that says what matches; None for views.
        method: of the curve.
        sampling: how many searches.

    Raises:
        UserError: no such column, too few pictures, or nothing to learn from.
    """
    if labels is None:
        match = VIEW
        returned = search_by_views(store, searcher, coder, pictures, sampling)
    else:
        match = f"has the query's {labels}"
        returned = search_by_labels(store, searcher, labels_of(store, labels), sampling)
    curve, reliability = calibrate(returned, method, sampling.seed)
    return MatchProbability(
        store.spec,
        curve,
        match,
        len(store.snapshot().alive),
        sampling.depth,
        known_facts(returned, reliability, sampling.seed, labels=labels),
    )
