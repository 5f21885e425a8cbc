"""Re-ranking steps: parameters chosen on classes of the training, then one judgement each."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.store import Codes
from neuralcodes.common.files import read_json, write_json
from neuralcodes.evaluation.measures import AVERAGE_PRECISION
from neuralcodes.evaluation.paired import compare_scores
from neuralcodes.evaluation.ranks import ranks_in, relevant_ranks
from neuralcodes.evaluation.relevance import ClassRelevance
from neuralcodes.evaluation.score import Score
from neuralcodes.index.exact import Database
from neuralcodes.ranking.search import Search
from neuralcodes.ranking.steps import Cost, parse_steps, run_steps

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

IMAGES = 5000  # to choose parameters on, of as many classes as that takes
QUERIES = 500  # of them, to choose by
GRID = {
    "average query expansion": [f"aqe{n}" for n in (2, 5, 10, 20, 50, 100)],
    "alpha query expansion": [
        f"alphaqe{n}:alpha={alpha}" for n in (20, 50, 100, 200) for alpha in (1, 3)
    ],
    "database augmentation": [f"dba{n}" for n in (2, 5, 10, 20, 50)],
    "augmentation and expansion": [f"dba{n}+aqe{m}" for n in (5, 10, 20) for m in (5, 20)],
    "k-reciprocal": [
        f"kreciprocal{k}:k2={k2},weight={weight}"
        for k, k2 in ((20, 6), (50, 10), (100, 20)) for weight in (0.1, 0.3)
    ],
    "diffusion": [f"diffusion{k}:kq={kq}" for k in (20, 50, 100) for kq in (10, 50)],
}  # fmt: skip


def measure_steps(
    learn: Codes, learn_labels: Labels, judged: Codes, labels: Labels, kept: Path
) -> list[dict[str, Any]]:
    """A row a step: the parameters chosen, what they gained where they were chosen and where they
    are judged, and the cost. Rows in the file `kept`, measured before, are taken from there."""
    belongs = [judged.spec.fingerprint(), judged.images, learn.images]
    found: dict[str, dict[str, Any]] = {}
    if kept.is_file() and read_json(kept)["of"] == belongs:
        found = read_json(kept)["rows"]
    rows, of = _sample(learn_labels)
    values = np.ascontiguousarray(learn.values[rows])
    asking = np.random.default_rng(1).choice(len(rows), min(QUERIES, len(rows)), replace=False)
    asking = np.sort(asking)
    before = _average_precision(values, of, asking, "")[0].mean
    everyone = np.arange(len(labels))
    plain = _average_precision(judged.values, labels, everyone, "")[0]
    for name, grid in GRID.items():
        if name in found and list(found[name]["tried"]) == grid:
            continue
        tried = {one: _average_precision(values, of, asking, one)[0].mean for one in grid}
        chosen = max(tried, key=lambda one: tried[one])
        started = time.process_time()
        score, costs = _average_precision(judged.values, labels, everyone, chosen)
        seconds = time.process_time() - started
        low, high = score.interval()
        apart = compare_scores(plain, score)
        found[name] = {
            "step": name, "chosen": chosen, "tried": {one: tried[one] for one in grid},
            "gain_where_chosen": tried[chosen] - before,
            "map": score.mean, "map_low": low, "map_high": high, "gain": apart.difference,
            "gain_low": apart.low, "gain_high": apart.high, "p": apart.p,
            "offline_seconds": sum(cost.offline_seconds for cost in costs),
            "ms_a_query": 1000 * sum(cost.seconds for cost in costs) / len(labels),
            "cpu_seconds_of_all": seconds, "bytes": sum(cost.bytes for cost in costs),
        }  # fmt: skip
        write_json(kept, {"of": belongs, "rows": found})
        print(f"{name}: {chosen}, {tried[chosen] - before:+.4f} where chosen, "
              f"{apart.difference:+.4f} where judged, "
              f"{found[name]['ms_a_query']:.2f} ms a query", flush=True)  # fmt: skip
    return [found[name] for name in GRID]


def _sample(labels: Labels) -> tuple[Labels, Labels]:
    """Rows of whole classes, drawn, together about `IMAGES`; and their labels."""
    order = np.random.default_rng(0).permutation(np.unique(labels))
    sizes = np.bincount(labels)[order]
    classes = order[: max(2, int(np.searchsorted(np.cumsum(sizes), IMAGES, side="right")))]
    rows = np.flatnonzero(np.isin(labels, classes))
    return rows, labels[rows]


def _average_precision(
    values: Floats, labels: Labels, asking: Labels, steps: str
) -> tuple[Score, list[Cost]]:
    """These images query all others, with these steps behind."""
    database = Database.of(values)
    relevance = ClassRelevance(labels[asking], labels, asking)
    queries = database.values if len(asking) == len(labels) else database.values[asking]
    if not steps:
        return AVERAGE_PRECISION.score(relevant_ranks(queries, database, relevance)), []
    taken = list(parse_steps(steps).values())
    reorders = any(one.reorders for one in taken)
    depth = len(database) if reorders else max(one.reads for one in taken)
    search, costs = run_steps(Search.start(queries, database, depth, asking), taken)
    if search.by_codes:
        ranks = relevant_ranks(search.queries, search.database, relevance)
    else:
        ranks = ranks_in(search.ranking, relevance)
    return AVERAGE_PRECISION.score(ranks), costs
