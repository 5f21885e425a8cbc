"""From a code to the images nearest to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neuralcodes.collection.filters import Filter
from neuralcodes.collection.records import allowed_codes, records_of
from neuralcodes.collection.results import Match
from neuralcodes.collection.searching import Searcher
from neuralcodes.collection.snapshot import Floats
from neuralcodes.collection.store import Store


@dataclass(frozen=True)
class Wanted:
    """What is to be found.

    Attributes:
        k: how many images.
        hidden: ids of images that are not to be found (those that are searched by).
        against: float32 m×d, codes of what is not wanted: contents nearer to one of them than to
            the query are left out.
        condition: a filter.
        exact: do without the index.
        pictured: pictures are searched by; words have distances of their own, for which a
            probability measured with pictures does not hold.
    """

    k: int
    hidden: frozenset[int] = field(default=frozenset())
    against: Floats | None = None
    condition: Filter | None = None
    exact: bool = False
    pictured: bool = True


def find_matches(store: Store, searcher: Searcher, code: Floats, wanted: Wanted) -> list[Match]:
    """The images of the nearest contents; more contents are asked for until there are k images."""
    condition = wanted.condition
    allowed = allowed_codes(store, condition) if condition else None
    count = wanted.k + len(wanted.hidden)
    while True:
        found = searcher.search(code[None], count, allowed, wanted.exact)
        real = found.rows[0] >= 0
        ids, distances = found.rows[0][real], found.distances[0][real]
        if wanted.against is not None and len(ids):
            apart = np.linalg.norm(searcher.vectors(ids)[:, None] - wanted.against, axis=2)
            nearer = apart.min(axis=1) >= distances
            ids, distances = ids[nearer], distances[nearer]
        near = dict(zip(ids.tolist(), distances.tolist(), strict=True))
        images = [i for i in records_of(store, near, condition) if i.id not in wanted.hidden]
        if len(images) >= wanted.k or int(real.sum()) < count:
            images.sort(key=lambda image: (near[image.code or 0], image.id))
            known = searcher.probability() if wanted.pictured else None
            return [
                Match(rank, apart, image, None if known is None else float(known.of(apart)))
                for rank, image in enumerate(images[: wanted.k], start=1)
                for apart in (near[image.code or 0],)
            ]
        count *= 2
