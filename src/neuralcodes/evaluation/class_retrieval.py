"""The founding experiment's protocol: each image queries all others; relevant is its class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.store import Codes
from neuralcodes.evaluation.measures import (
    AVERAGE_PRECISION,
    precision_at,
    precision_recall_curve,
    recall_at,
)
from neuralcodes.evaluation.ranks import RelevantRanks
from neuralcodes.evaluation.relevance import ClassRelevance
from neuralcodes.evaluation.score import Score, ScoreSummary
from neuralcodes.evaluation.sharing import team_ranks
from neuralcodes.index.exact import Database, search_exact
from neuralcodes.index.ranking import Ranking

SHOWN_QUERIES = 10  # whose nearest images are kept, to look at
SHOWN_NEIGHBOURS = 5  # so many of each
CUT_OFFS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class ClassRetrieval:
    """What one code reached.

    Attributes:
        spec: the code.
        average_precision: per query; its mean is mAP.
        precision: mean interpolated precision at recall 0, 0.01 … 1, float64 101.
        precision_at, recall_at: by cut-off.
        neighbours: the nearest images of the first queries.
    """

    spec: CodeSpec
    average_precision: Score
    precision: npt.NDArray[np.float64]
    precision_at: dict[int, ScoreSummary]
    recall_at: dict[int, ScoreSummary]
    neighbours: Ranking


def evaluate_class_retrieval(
    codes: Codes,
    labels: npt.NDArray[np.int64],
    shown_queries: int = SHOWN_QUERIES,
    shown: int = SHOWN_NEIGHBOURS,
) -> ClassRetrieval:
    """Judge codes by class.

    Args:
        codes: of n images.
        labels: int64 n, their classes.
        shown_queries: of how many first queries to keep the nearest images.
        shown: how many nearest images to keep of each.
    """
    database = Database.of(codes.values)
    ranks = class_ranks(database, labels)
    first = np.arange(min(shown_queries, len(codes)))
    near = search_exact(database.values[first], database, shown, exclude=first)
    return class_retrieval(codes.spec, ranks, near)


def class_ranks(
    codes: npt.NDArray[np.float32] | Database, labels: npt.NDArray[np.int64]
) -> RelevantRanks:
    """Ranks of the images of its class, each image being the query for all others.

    Args:
        codes: float32 n×d, rows of length 1 or zero.
        labels: int64 n, the images' classes.
    """
    database = Database.of(codes)
    # queries in the database's own memory take half of the products
    return team_ranks(database.values, database, ClassRelevance.among(labels))


def class_retrieval(spec: CodeSpec, ranks: RelevantRanks, neighbours: Ranking) -> ClassRetrieval:
    """The measures of ranks at hand.

    Args:
        spec: the code.
        ranks: of the relevant rows.
        neighbours: the nearest images of the first queries.
    """
    candidates = int(ranks.candidates.max(initial=0))
    cut_offs = [k for k in CUT_OFFS if k <= candidates]
    return ClassRetrieval(
        spec=spec,
        average_precision=AVERAGE_PRECISION.score(ranks),
        precision=precision_recall_curve(ranks),
        precision_at={k: ScoreSummary.of(precision_at(ranks, k)) for k in cut_offs},
        recall_at={k: ScoreSummary.of(recall_at(ranks, k)) for k in cut_offs},
        neighbours=neighbours,
    )
