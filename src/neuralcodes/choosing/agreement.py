"""How well an estimate orders codes: Kendall's rank correlation with the order by labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.choosing.decide import recommend
from neuralcodes.choosing.grid import Base
from neuralcodes.choosing.sweep import Scored
from neuralcodes.codes.transforms.registry import get_transform

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
        layers: tau of the codes without transforms, that is of the layers; None for fewer than 2.
        sizes: tau within a layer, by kind of first transform, mean over layers: of the layer's own
            code and those behind that kind.
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
    layers: float | None
    sizes: Mapping[str, float]
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
        layers=_among_layers(truth, estimate),
        sizes=_within_layers(truth, estimate),
        by_labels=wanted.code,
        by_views=estimated.code,
        loss=wanted.score("choose").mean - reached.score("choose").mean,
    )


def _among_layers(truth: Sequence[Scored], estimate: Sequence[Scored]) -> float | None:
    plain = [n for n, one in enumerate(truth) if not one.candidate.chain]
    return _tau_of(truth, estimate, plain)


def _within_layers(truth: Sequence[Scored], estimate: Sequence[Scored]) -> dict[str, float]:
    groups: dict[str, dict[Base, list[int]]] = {}
    for number, one in enumerate(truth):
        if one.candidate.chain:
            kind = get_transform(one.candidate.chain[0])[0].kind
            groups.setdefault(kind, {}).setdefault(one.candidate.base, []).append(number)
    plain = {one.candidate.base: n for n, one in enumerate(truth) if not one.candidate.chain}
    found = {}
    for kind, bases in groups.items():
        taus = [
            tau
            for base, members in bases.items()
            if (tau := _tau_of(truth, estimate, [*members, *_known(plain, base)])) is not None
        ]
        if taus:
            found[kind] = float(np.mean(taus))
    return found


def _known(plain: Mapping[Base, int], base: Base) -> list[int]:
    return [plain[base]] if base in plain else []


def _tau_of(
    truth: Sequence[Scored], estimate: Sequence[Scored], which: Sequence[int]
) -> float | None:
    """Tau of some of the codes; None where they are too few or have no order."""
    if len(which) < 2:
        return None
    a, b = (np.array([codes[n].score("choose").mean for n in which]) for codes in (truth, estimate))
    tau = kendall_tau(a, b)
    return None if np.isnan(tau) else tau


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
