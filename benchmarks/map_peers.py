"""mAP beside the packages that work it out, and at 100,000 × 128 beside one matrix product.

    make .venv-bench/ready
    python benchmarks/map_peers.py [ROUNDS] [RUN]

`map.py` races the reference's way; this adds:

- torchmetrics' RetrievalMAP and pytorch-metric-learning's AccuracyCalculator (mean average
  precision over all ranks), on the 5,000 codes of layer L7. torchmetrics takes scores, so the
  product that makes them is timed with it; it sorts query by query.
- the published Oxford evaluation (`compute_ap`, Philbin et al. 2007): ranked lists by one argsort
  of the products, then its loop over ranks with the trapezoid rule, in Python as its many ports
  have it. Another measure than average precision: what is compared is time.
- 100,000 real codes of `shipped` (128 dimensions, 200 classes): ours, its share of one matrix
  product of all codes with all. Nobody else is asked: their way would take hours.

Operations at 100,000: 100,000² · 128 = 1.28 TMAC, half of it by symmetry; bytes: 40 GB of scores,
written and read once in blocks that stay in the cache.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import OURS, SCRATCH, Ratio, Worker, peer_versions, record, start_workers, take_turns

from codes import real_codes

LARGE = 100_000


def ours(codes: str, labels: str) -> Callable[[], float]:
    """mAP as `evaluate` works it out."""
    from neuralcodes.evaluation.class_retrieval import class_ranks
    from neuralcodes.evaluation.measures import average_precision

    values, wanted = np.ascontiguousarray(np.load(codes)), np.load(labels)
    return lambda: float(average_precision(class_ranks(values, wanted)).mean())


def torchmetrics(codes: str, labels: str) -> Callable[[], float]:
    """RetrievalMAP over all pairs but those of a query with itself."""
    import torch
    from torchmetrics.retrieval import RetrievalMAP

    values, wanted = torch.from_numpy(np.load(codes)), torch.from_numpy(np.load(labels))
    count = len(values)

    def work() -> float:
        scores = values @ values.T
        others = ~torch.eye(count, dtype=torch.bool)
        relevant = (wanted[:, None] == wanted)[others]
        which = torch.arange(count)[:, None].expand(count, count)[others]
        return float(RetrievalMAP()(scores[others], relevant, indexes=which))

    return work


def metric_learning(codes: str, labels: str) -> Callable[[], float]:
    """AccuracyCalculator's mean average precision; it finds neighbours with FAISS."""
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    values, wanted = np.load(codes), np.load(labels)
    calculator = AccuracyCalculator(include=("mean_average_precision",), k=len(values) - 1)

    def work() -> float:
        return float(calculator.get_accuracy(values, wanted)["mean_average_precision"])

    return work


def oxford(codes: str, labels: str) -> Callable[[], float]:
    """The published evaluation's `compute_ap` for every query, the query itself as junk."""
    values, wanted = np.load(codes), np.load(labels)

    def compute_ap(good: set[int], junk: set[int], ranked: list[int]) -> float:
        old_recall, old_precision, ap = 0.0, 1.0, 0.0
        hits = seen = 0
        for one in ranked:
            if one in junk:
                continue
            if one in good:
                hits += 1
            recall, precision = hits / len(good), hits / (seen + 1.0)
            ap += (recall - old_recall) * ((old_precision + precision) / 2.0)
            old_recall, old_precision = recall, precision
            seen += 1
        return ap

    def work() -> float:
        order = np.argsort(-(values @ values.T), axis=1, kind="stable")
        classes = {c: set(np.flatnonzero(wanted == c).tolist()) for c in np.unique(wanted)}
        total = 0.0
        for query, ranked in enumerate(order):
            total += compute_ap(classes[wanted[query]] - {query}, {query}, ranked.tolist())
        return total / len(values)

    return work


def product(codes: str) -> Callable[[], float]:
    """The limit: half of all products of codes with each other, at the machine's rate.

    Square blocks of the upper triangle, as a product of oneDNN's makes them.
    """
    import torch

    values = torch.from_numpy(np.ascontiguousarray(np.load(codes)))
    block = 4096

    def work() -> float:
        out = torch.empty(block, block)
        for start in range(0, len(values), block):
            for other in range(start, len(values), block):
                one, two = values[start : start + block], values[other : other + block]
                torch.mm(one, two.T, out=out[: len(one), : len(two)])
        return float(out[0, 0])

    return work


def main(rounds: int, run: Path) -> None:
    """Race and record."""
    from neuralcodes.codes.store import load_codes

    SCRATCH.mkdir(parents=True, exist_ok=True)
    stored = load_codes(run / "codes" / "L7")
    names = [key.rsplit("/", 3)[1] for key in stored.keys]  # train/CLASS/images/NAME
    small = {"codes": str(SCRATCH / "L7.npy"), "labels": str(SCRATCH / "L7-labels.npy")}
    np.save(small["codes"], np.ascontiguousarray(stored.values))
    np.save(small["labels"], np.unique(names, return_inverse=True)[1].astype(np.int64))
    large = {"codes": str(SCRATCH / "code.npy"), "labels": str(SCRATCH / "code-labels.npy")}
    np.save(large["labels"], np.arange(len(real_codes())) // 500)  # 200 classes in order
    running, absent = start_workers({
        "ours": lambda: Worker("map_peers:ours", OURS, **small),
        "torchmetrics RetrievalMAP": lambda: Worker("map_peers:torchmetrics", **small),
        "pytorch-metric-learning": lambda: Worker("map_peers:metric_learning", **small),
        "Oxford's compute_ap": lambda: Worker("map_peers:oxford", **small),
    })  # fmt: skip
    found: dict[str, Any] = {name: worker.ask()["result"] for name, worker in running.items()}
    seconds = take_turns({n: w.timed() for n, w in running.items()}, rounds, settle=0.3)
    for worker in running.values():
        worker.close()
    with (
        Worker("map_peers:ours", OURS, **large) as whole,
        Worker("map_peers:product", OURS, codes=large["codes"]) as limit,
    ):
        start = time.perf_counter()
        found["ours, 100,000"] = whole.ask()["result"]
        again = 1 if time.perf_counter() - start > 40 else 2
        big = take_turns({"ours": whole.timed(), "product": limit.timed()}, again - 1 or 1)
    share = Ratio.of(big["ours"], big["product"])
    ratios = {n: Ratio.of(seconds["ours"], seconds[n]) for n in running if n != "ours"}
    record(
        "map_peers", {"images": len(names), "dims": stored.spec.dims, "large": [LARGE, 128]},
        ratios, "at least 8 times as fast; at 100,000 × 128 at least 50 % of the matrix product",
        met=min(r.median for r in ratios.values()) >= 8 and share.median >= 0.5,
        share_of_limit=share.median,
        notes={
            "found": found, "absent": absent,
            "seconds": {n: statistics.median(v) for n, v in seconds.items()},
            "seconds_at_100,000": {n: statistics.median(v) for n, v in big.items()},
            "peer_versions": peer_versions(["torchmetrics", "pytorch-metric-learning"]),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 3,
        Path(sys.argv[2] if len(sys.argv) > 2 else "runs/reference"),
    )
