"""A protocol's names bound to the rows of codes at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.protocols.groundtruth import Classes, GroundTruth, Lists
from neuralcodes.evaluation.protocols.names import Names
from neuralcodes.evaluation.relevance import ClassRelevance, ListedRelevance, Relevance

OF_NO_CLASS, UNKNOWN = -1, -2  # labels of rows and of queries that match nothing

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Binding:
    """Which rows of codes are searched, with what, and what is right.

    Attributes:
        database: int64 m, rows of the codes that are searched.
        queries: int64 q, the queries' rows in the query codes, or in the codes where there are
            no query codes of their own.
        exclude: int64 q, the place in `database` of a query's own image where it does not count;
            -1 for none.
        relevance: by task, of q queries and m database rows plus the distractors.
    """

    database: Rows
    queries: Rows
    exclude: Rows
    relevance: Mapping[str, Relevance]


def bind(
    truth: GroundTruth,
    keys: Sequence[str],
    query_keys: Sequence[str] | None = None,
    distractors: int = 0,
) -> Binding:
    """Find the rows that a protocol speaks of.

    Args:
        truth: the protocol's files.
        keys: the images' names, one a code.
        query_keys: those of codes made of the queries alone (as with boxes cut out), named like
            the queries or their images; None when the images' own codes are searched with.
        distractors: database rows to follow that are relevant to nothing.

    Raises:
        UserError: an image that the protocol needs has no code, or a name fits several.
    """
    names = Names(keys, truth.protocol)
    if truth.database is None:
        database = np.arange(len(keys))
    else:
        database = names.find_all(truth.database, "database images")
    places = np.full(len(keys), -1, dtype=np.int64)
    places[database] = np.arange(len(database))
    images = [query.image for query in truth.queries]
    if query_keys is None:
        queries = own = names.find_all(images, "queries")
    else:
        queries = _query_rows(truth, query_keys)
        own = np.array([names.find(image) for image in images], dtype=np.int64)
    itself = np.where(own >= 0, places[own], -1)
    if truth.own_image_counts:
        itself = np.full_like(itself, -1)
    relevance: dict[str, Relevance] = {}
    listed = np.zeros(len(itself), dtype=bool)  # own images that some task lists as relevant
    for name, task in truth.tasks.items():
        if isinstance(task, Classes):
            relevance[name] = _by_class(task, truth, names, database, itself, distractors)
        else:
            relevance[name], mine = _by_list(task, truth, names, places, itself, distractors)
            listed |= mine
    return Binding(database, queries, np.where(listed, -1, itself), relevance)


def _query_rows(truth: GroundTruth, query_keys: Sequence[str]) -> Rows:
    """Rows of queries in their own codes: by the query's name, else by its image's."""
    names = Names(query_keys, f"{truth.protocol}: query codes")
    wanted = (q.name if names.find(q.name) >= 0 else q.image for q in truth.queries)
    return names.find_all(wanted, "queries")


def _by_class(
    task: Classes,
    truth: GroundTruth,
    names: Names,
    database: Rows,
    itself: Rows,
    distractors: int,
) -> ClassRelevance:
    numbers = {name: number for number, name in enumerate(sorted(set(task.database.values())))}
    labels = np.full(len(database), OF_NO_CLASS, dtype=np.int64)
    if truth.database is None:  # all codes are the database, in their own order
        rows = names.find_all(task.database, "labelled images")
        labels[rows] = [numbers[name] for name in task.database.values()]
    else:
        labels[:] = [numbers[task.database[image]] for image in truth.database]
    return ClassRelevance(
        np.array([numbers.get(name, UNKNOWN) for name in task.queries], dtype=np.int64),
        np.concatenate([labels, np.full(distractors, OF_NO_CLASS, dtype=np.int64)]),
        itself,
    )


def _by_list(
    task: Lists,
    truth: GroundTruth,
    names: Names,
    places: Rows,
    itself: Rows,
    distractors: int,
) -> tuple[ListedRelevance, npt.NDArray[np.bool_]]:
    flat = places[names.find_all((n for some in task.relevant for n in some), "relevant images")]
    if (flat < 0).any():
        raise UserError(f"{truth.protocol}: a relevant image is not in the listed database")
    relevant = np.split(flat, np.cumsum([len(some) for some in task.relevant])[:-1])
    own_is_relevant = np.array(
        [mine in rows for mine, rows in zip(itself, relevant, strict=True)], dtype=bool
    )
    junk = []
    for listed, mine, counts in zip(task.junk, itself, own_is_relevant, strict=True):
        rows = [names.find(name) for name in listed]  # junk that is not there does no harm
        found = [int(places[row]) for row in rows if row >= 0 and places[row] >= 0]
        junk.append(found if mine < 0 or counts else [*found, int(mine)])
    size = int((places >= 0).sum()) + distractors
    try:
        return ListedRelevance.of(relevant, junk, size), own_is_relevant
    except ValueError as error:
        raise UserError(f"{truth.protocol}: {error}") from None
