"""Calibrate the distances of codes in files, by the labels of their images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.probability import (
    MatchProbability,
    Method,
    load_probability,
    probability_file,
    save_probability,
)
from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.store import Codes, load_codes
from neuralcodes.evaluation.calibration import Returned, calibrate, known_facts
from neuralcodes.evaluation.protocols.class_retrieval import read
from neuralcodes.evaluation.protocols.groundtruth import Classes
from neuralcodes.experiments.runfolder import codes_path
from neuralcodes.index.exact import search_exact


@dataclass(frozen=True)
class Calibrating:
    """What is calibrated, and how.

    Attributes:
        target: codes, or RUN@LAYER.
        labels: a CSV file with the columns name and class; None where folders are the classes.
        method: "isotonic" or "logistic".
        depth: results a query.
        queries: so many images are searched by, at most.
        seed: draws them, and deals the folds.
        out: where the calibration goes; None for beside the codes.
    """

    target: Path
    labels: Path | None = None
    method: Method = "isotonic"
    depth: int = 10
    queries: int = 2000
    seed: int = 0
    out: Path | None = None


def calibrate_codes(what: Calibrating) -> tuple[MatchProbability, Path]:
    """Fit and write; gives the calibration and its file.

    Each sampled image searches all others; a result matches where it has the query's class.

    Raises:
        UserError: no such codes, no classes, or nothing to learn from.
    """
    path = codes_path(what.target)
    codes = load_codes(path)
    returned = _search(codes, _classes(codes, what.labels), what)
    curve, reliability = calibrate(returned, what.method, what.seed)
    known = MatchProbability(
        codes.spec,
        curve,
        "has the query's class",
        len(codes),
        min(what.depth, len(codes) - 1),
        known_facts(returned, reliability, what.seed, images=codes.images),
    )
    file = what.out or probability_file(path.parent, codes.spec)
    save_probability(file, known)
    return known, file


def probability_of_run(network: Path, spec: CodeSpec) -> MatchProbability | None:
    """The calibration of this code beside a run's codes; None where there is none."""
    file = probability_file(network / "codes", spec)
    return load_probability(file) if file.is_file() else None


def _classes(codes: Codes, labels: Path | None) -> npt.NDArray[np.int64]:
    task = read(labels, codes.keys).tasks[""]
    assert isinstance(task, Classes)
    return np.unique(task.queries, return_inverse=True)[1].astype(np.int64)


def _search(codes: Codes, classes: npt.NDArray[np.int64], what: Calibrating) -> Returned:
    generator = np.random.default_rng(what.seed)
    queries = np.sort(generator.permutation(len(codes))[: what.queries])
    depth = min(what.depth, len(codes) - 1)
    found = search_exact(np.asarray(codes.values[queries]), codes.values, depth, exclude=queries)
    return Returned(
        distances=found.distances.ravel().astype(np.float64),
        matches=(classes[found.rows] == classes[queries, None]).ravel(),
        queries=np.repeat(queries, depth),
        ranks=np.tile(np.arange(1, depth + 1), len(queries)),
        classes=np.repeat(classes[queries], depth),
    )
