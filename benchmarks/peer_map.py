"""Ways to work out mean average precision: contestants for `worker.py`.

Each takes .npy files of float32 n×d codes of length 1 and of int64 n labels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


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
