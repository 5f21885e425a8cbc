"""What a code reached, as a JSON file: enough to make the report again or to compare two runs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.common.files import read_json, write_json
from neuralcodes.evaluation.class_retrieval import ClassRetrieval
from neuralcodes.evaluation.score import Score
from neuralcodes.index.ranking import Ranking

DIGITS = 6  # after the point, of single values; means are kept in full


def save_retrieval(path: Path, retrieval: ClassRetrieval, images: str) -> None:
    """Write atomically.

    Args:
        images: fingerprint of the image set, which a comparison must share.
    """
    values = retrieval.average_precision.values
    write_json(
        path,
        {
            "code": retrieval.spec.to_json(),
            "images": images,
            "average_precision": retrieval.average_precision.to_json(),
            "precision_at": retrieval.precision_at,
            "recall_at": retrieval.recall_at,
            "precision": [round(float(p), DIGITS) for p in retrieval.precision],
            "neighbours": retrieval.neighbours.rows.tolist(),
            "distances": [
                [round(float(d), DIGITS) for d in row] for row in retrieval.neighbours.distances
            ],
            "average_precision_of_queries": [
                None if math.isnan(v) else round(float(v), DIGITS) for v in values
            ],
        },
    )


def load_retrieval(path: Path) -> ClassRetrieval:
    """Read what `save_retrieval` wrote.

    Raises:
        UserError: absent or not such a file.
    """
    facts = read_json(path)
    values = [math.nan if v is None else v for v in facts["average_precision_of_queries"]]
    return ClassRetrieval(
        spec=CodeSpec.from_json(facts["code"]),
        average_precision=Score("average precision", np.array(values)),
        precision=np.array(facts["precision"]),
        precision_at={int(k): v for k, v in facts["precision_at"].items()},
        recall_at={int(k): v for k, v in facts["recall_at"].items()},
        neighbours=Ranking(
            np.array(facts["neighbours"], dtype=np.int64),
            np.array(facts["distances"], dtype=np.float32),
        ),
    )
