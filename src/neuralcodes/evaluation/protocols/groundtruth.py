"""`GroundTruth`: what a protocol's files say, in the images' names, before any code is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from neuralcodes.evaluation.measures import Measure

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Query:
    """A picture to search with.

    Attributes:
        name: the query's own name; no two queries share it.
        image: the image's name as the protocol writes it, with or without folder and ending.
        box: left, top, right, bottom in pixels of the image: the part that is the query, to be
            cut out before it is encoded; None for the whole image.
    """

    name: str
    image: str
    box: Box | None = None


@dataclass(frozen=True)
class Lists:
    """Relevant and junk images by name, one tuple a query; all others are wrong answers."""

    relevant: tuple[tuple[str, ...], ...]
    junk: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Classes:
    """Relevant is what has the query's class.

    Attributes:
        queries: the class of each query.
        database: image name → class, for each image of the database.
    """

    queries: tuple[str, ...]
    database: Mapping[str, str]


@dataclass(frozen=True)
class GroundTruth:
    """Queries and what is right for them.

    Attributes:
        protocol: its name.
        queries: in the protocol's order.
        database: the images that are searched, in order; None for all that have a code.
        tasks: by name ("" where the protocol has one only): the same queries judged in several
            ways, as easy, medium and hard.
        own_image_counts: whether the query's own image, found in the database, is judged like
            any other. If not it is taken out of the ranking, unless it is listed as relevant.
        measures: in the order they are reported.
    """

    protocol: str
    queries: tuple[Query, ...]
    database: tuple[str, ...] | None
    tasks: Mapping[str, Lists | Classes]
    own_image_counts: bool
    measures: tuple[Measure, ...]

    @property
    def has_boxes(self) -> bool:
        """Whether any query is a part of its image."""
        return any(query.box is not None for query in self.queries)

    def fingerprint(self) -> str:
        """16 hex digits, equal for the same queries, database and judgements."""
        facts = {
            "queries": [asdict(query) for query in self.queries],
            "database": self.database,
            "tasks": {name: asdict(task) for name, task in self.tasks.items()},
            "own_image_counts": self.own_image_counts,
        }
        text = json.dumps(facts, sort_keys=True, default=dict)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
