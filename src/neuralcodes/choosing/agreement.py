"""How well an estimate orders codes: Kendall's rank correlation with the order by labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.choosing.decide import recommend
from neuralcodes.choosing.sweep import Scored

RESAMPLES = 500
RECORD = "agreement.json"


@dataclass(frozen=True)
class Agreement:
    """Estimate and truth, on the same codes.

    Attributes:
        source: of the images.
        images: how many.
        networks: that made the codes.
        codes: how many were ordered.
        tau: Kendall's tau-b of the codes' mAP by views and by labels.
        low, high: 95 % interval, bootstrap over the queries of both.
        by_labels, by_views: the codes recommended.
        loss: mAP by labels of the first less that of the second; what the estimate costs.
    """

    source: str
    images: int
    networks: tuple[str, ...]
    codes: int
    tau: float
    low: float
    high: float
    by_labels: str
    by_views: str
    loss: float

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def kendall_tau(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Kendall's tau-b of two orders of the same things; NaN where one of them has no order."""
    from scipy.stats import kendalltau

    return float(kendalltau(a, b).statistic)


def agree(
    by_labels: Sequence[Scored],
    by_views: Sequence[Scored],
    source: str,
    images: int,
    budget: int | None = None,
    seed: int = 0,
) -> Agreement:
    """Compare two sweeps over the same images; codes that only one of them has are left out.

    Args:
        by_labels, by_views: of the same candidates, on the rows that choose.
        source, images: for the record.
        budget: as for the choice.
        seed: of the bootstrap.
    """
    views = {one.candidate: one for one in by_views}
    truth = [one for one in by_labels if one.candidate in views]
    estimate = [views[one.candidate] for one in truth]
    left = _values(truth)
    right = _values(estimate)
    generator = np.random.default_rng(seed)
    taus = np.array([
        kendall_tau(
            left[:, generator.integers(left.shape[1], size=left.shape[1])].mean(axis=1),
            right[:, generator.integers(right.shape[1], size=right.shape[1])].mean(axis=1),
        )
        for _ in range(RESAMPLES)
    ])  # fmt: skip
    low, high = np.nanquantile(taus, [0.025, 0.975])
    wanted, estimated = recommend(truth, budget), recommend(estimate, budget)
    reached = next(one for one in truth if one.candidate == estimated.candidate)
    return Agreement(
        source=source,
        images=images,
        networks=tuple(sorted({one.candidate.base.network for one in truth})),
        codes=len(truth),
        tau=kendall_tau(left.mean(axis=1), right.mean(axis=1)),
        low=float(low),
        high=float(high),
        by_labels=wanted.code,
        by_views=estimated.code,
        loss=wanted.score("choose").mean - reached.score("choose").mean,
    )


def recorded() -> list[Agreement]:
    """What was measured where labels were known; `docs/choosing.md` says how."""
    text = resources.files("neuralcodes.choosing").joinpath(RECORD).read_text(encoding="utf-8")
    return [
        Agreement(**{**entry, "networks": tuple(entry["networks"])}) for entry in json.loads(text)
    ]


def _values(scored: Sequence[Scored]) -> npt.NDArray[np.float64]:
    """float64 codes×queries."""
    values = np.stack([one.score("choose").values for one in scored])
    return values[:, ~np.isnan(values[0])]
