"""What a code reached, as a JSON file: enough to make the report again or to compare two codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json, write_json
from neuralcodes.evaluation.class_retrieval import ClassRetrieval
from neuralcodes.evaluation.judging import Evaluation
from neuralcodes.evaluation.measures import AVERAGE_PRECISION
from neuralcodes.evaluation.score import Score, ScoreSummary, or_null
from neuralcodes.index.ranking import Ranking

DIGITS = 6  # after the point, of single values; means are kept in full


def save_retrieval(path: Path, retrieval: ClassRetrieval, images: str) -> None:
    """Write atomically.

    Args:
        images: fingerprint of the image set, which a comparison must share.
    """
    write_json(
        path,
        {
            "code": retrieval.spec.to_json(),
            "images": images,
            "average_precision": retrieval.average_precision.to_json(),
            "precision_at": {k: _summary(v) for k, v in retrieval.precision_at.items()},
            "recall_at": {k: _summary(v) for k, v in retrieval.recall_at.items()},
            "precision": [round(float(p), DIGITS) for p in retrieval.precision],
            "neighbours": retrieval.neighbours.rows.tolist(),
            "distances": [
                [round(float(d), DIGITS) if math.isfinite(d) else None for d in row]
                for row in retrieval.neighbours.distances
            ],
            "average_precision_of_queries": _listed(retrieval.average_precision.values),
        },
    )


def load_retrieval(path: Path) -> ClassRetrieval:
    """Read what `save_retrieval` wrote.

    Raises:
        UserError: absent or not such a file.
    """
    facts = read_json(path)
    return ClassRetrieval(
        spec=CodeSpec.from_json(facts["code"]),
        average_precision=Score(
            AVERAGE_PRECISION.name, _values(facts["average_precision_of_queries"])
        ),
        precision=np.array(facts["precision"]),
        precision_at={int(k): _read_summary(v) for k, v in facts["precision_at"].items()},
        recall_at={int(k): _read_summary(v) for k, v in facts["recall_at"].items()},
        neighbours=Ranking(
            np.array(facts["neighbours"], dtype=np.int64),
            np.array(
                [[math.inf if d is None else d for d in row] for row in facts["distances"]],
                dtype=np.float32,
            ),
        ),
    )


def save_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write what codes reached in a protocol, each query's values included, atomically."""
    facts = evaluation.to_json()
    for name, scores in evaluation.tasks.items():
        for entry, score in zip(facts["tasks"][name], scores, strict=True):
            entry["values"] = _listed(score.values)
    write_json(path, {**facts, "query_names": list(evaluation.queries)})


@dataclass(frozen=True)
class Measured:
    """The values that a stored file holds, for a comparison.

    Attributes:
        code: the code's name.
        judged: what must be the same for values to be comparable: images, queries, judgements.
        scores: by name, as "average precision" or "hard: mP@10".
    """

    code: str
    judged: tuple[str, ...]
    scores: Mapping[str, Score]

    def require_same_queries(self, other: Measured) -> None:
        """Refuse to compare what was judged on other images or queries.

        Raises:
            UserError: it names both codes.
        """
        if self.judged != other.judged:
            raise UserError(
                f"{self.code} and {other.code} were not judged on the same images and queries; "
                "evaluate both on the same ones"
            )


def load_measured(path: Path) -> Measured:
    """Read the values in a file of `save_retrieval` or `save_evaluation`.

    Raises:
        UserError: absent or not such a file.
    """
    facts = read_json(path)
    try:
        code = CodeSpec.from_json(facts["code"]).name
        if "average_precision_of_queries" in facts:
            values = _values(facts["average_precision_of_queries"])
            score = Score(AVERAGE_PRECISION.name, values)
            return Measured(code, (facts["images"],), {score.measure: score})
        scores = {
            f"{task}: {entry['measure']}" if task else entry["measure"]: Score(
                entry["measure"], _values(entry["values"])
            )
            for task, entries in facts["tasks"].items()
            for entry in entries
        }
        steps = "+".join(cost["step"] for cost in facts["steps"])
        name = f"{code} with {steps}" if steps else code
        judged = (facts["protocol"], facts["images"], facts["ground_truth"])
        return Measured(name, judged, scores)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UserError(
            f"{path}: not a stored evaluation; give RUN@LAYER, RUN/retrieval/LAYER.json or a file "
            "of `neuralcodes evaluate --out`"
        ) from None


def _listed(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [or_null(round(float(value), DIGITS)) for value in values]


def _values(listed: list[Any]) -> npt.NDArray[np.float64]:
    return np.array([_or_nan(value) for value in listed], dtype=np.float64)


def _summary(summary: ScoreSummary) -> dict[str, float | None]:
    return {name: or_null(value) for name, value in vars(summary).items()}


def _read_summary(stored: dict[str, float | None] | float | None) -> ScoreSummary:
    """Files of earlier versions hold the mean alone."""
    if isinstance(stored, dict):
        return ScoreSummary(*(_or_nan(stored[name]) for name in ("mean", "low", "high")))
    return ScoreSummary(_or_nan(stored), math.nan, math.nan)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
