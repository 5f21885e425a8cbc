"""The sweep: every candidate's average precision, each step of the way made once.

One pass of a network gives the codes of all its layers; one principal component analysis of a
layer's codes serves all sizes of all transforms that begin with it, and a projection to the largest
size is cut to the smaller ones; every score is kept in the sweep's folder as soon as it is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.choosing.grid import Base, Candidate, Chain
from neuralcodes.choosing.kept import Kept
from neuralcodes.choosing.layers import BaseCodes
from neuralcodes.choosing.task import Part, Task
from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.transforms.base import Floats, Linear, Quantiser, Transform, unit_length
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.codes.transforms.rows import StoredRows
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import progress
from neuralcodes.evaluation.measures import AVERAGE_PRECISION
from neuralcodes.evaluation.ranks import relevant_ranks
from neuralcodes.evaluation.score import Score

DIGITS = 6  # after the point, of kept values

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scored:
    """What a candidate reached.

    Attributes:
        candidate: the code.
        dims: length when it is searched.
        bytes: of a stored code.
        choose, judge: average precision of each row of the task in that role, by rotation: float64
            rotations×rows, NaN where a row is no query in that role and rotation.
    """

    candidate: Candidate
    dims: int
    bytes: int
    choose: Values = field(repr=False)
    judge: Values = field(repr=False)

    @property
    def code(self) -> str:
        """The short form."""
        return self.candidate.code

    def score(self, role: str, rotation: int | None = None) -> Score:
        """Average precision in a role, in one rotation or in all."""
        values: Values = getattr(self, role)
        if rotation is not None:
            return Score(AVERAGE_PRECISION.name, values[rotation])
        # each row is a query in a role at most once
        return Score(AVERAGE_PRECISION.name, _only(values))


@dataclass(frozen=True)
class Swept:
    """All candidates that could be scored, in the order of the sweep, and why others could not."""

    scored: tuple[Scored, ...]
    dropped: dict[str, str]


def sweep(
    task: Task,
    codes: Mapping[Base, BaseCodes],
    candidates: Sequence[Candidate],
    kept: Kept,
    content: Mapping[str, str],
    seed: int,
) -> Swept:
    """Score every candidate in every rotation.

    Args:
        task: rows and parts.
        codes: of all rows, by base.
        candidates: of these bases.
        kept: where results lie and go.
        content: fingerprint of the images and views, by network.
        seed: of the transforms.

    Raises:
        UserError: no candidate could be scored.
    """
    by_base: dict[Base, list[Chain]] = {}
    for candidate in candidates:
        by_base.setdefault(candidate.base, []).append(candidate.chain)
    turns = range(len(task.rotations))
    results: dict[Candidate, list[dict[str, Any]]] = {c: [] for c in candidates}
    with progress(len(candidates) * len(turns), "codes judged", "code") as bar:
        for base, chains in by_base.items():
            for turn in turns:
                branch = Branch(codes[base], task, turn, seed)
                for chain in chains:
                    images = content[base.network]
                    facts = facts_of(task, turn, codes[base].spec, chain, images, seed)
                    found = kept.get(facts, partial(branch.judged, chain))
                    results[Candidate(base, chain)].append(found)
                    bar.update(1)
    return _collect(task, results)


def facts_of(
    task: Task, rotation: int, spec: CodeSpec, chain: Chain, content: str, seed: int
) -> dict[str, Any]:
    """All that a score depends on."""
    return {
        "what": "average precision",
        "code": spec.fingerprint(),
        "chain": list(chain),
        "images": content,
        "task": task.fingerprint(rotation),
        "seed": seed,
    }


def _collect(task: Task, results: dict[Candidate, list[dict[str, Any]]]) -> Swept:
    scored, dropped = [], {}
    for candidate, found in results.items():
        failed = next((one["dropped"] for one in found if "dropped" in one), None)
        if failed is not None:
            dropped[candidate.code] = str(failed)
            continue
        arrays = {
            role: np.full((len(found), len(task.groups)), np.nan) for role in ("choose", "judge")
        }
        for turn, one in enumerate(found):
            for role, array in arrays.items():
                part = task.part(turn, role)  # type: ignore[arg-type]
                values = [np.nan if value is None else value for value in one[role]]
                array[turn, part.rows[part.queries]] = values
        scored.append(Scored(candidate, found[0]["dims"], found[0]["bytes"], **arrays))
    if not scored:
        reason = next(iter(dropped.values()), "none was asked for")
        raise UserError(f"no code could be made: {reason}")
    return Swept(tuple(scored), dropped)


@dataclass
class _Step:
    """A fitted transform and what comes out of it, by role; made when first needed."""

    transform: Transform
    made: dict[str, Floats] = field(default_factory=dict)


class Branch:
    """All chains of transforms behind one base in one rotation.

    Args:
        codes: of the base.
        task: rows and parts.
        rotation: which.
        seed: of the transforms.
    """

    def __init__(self, codes: BaseCodes, task: Task, rotation: int, seed: int) -> None:
        self._codes = codes
        self._task = task
        self._rotation = rotation
        self._seed = seed
        self._base: dict[str, Floats] = {}
        self._trainings: dict[Chain, Training] = {}
        self._steps: dict[Chain, _Step] = {}
        # the largest projection of each kind, of which smaller ones are the beginning
        self._largest: dict[tuple[Chain, str], tuple[Linear, dict[str, Floats]]] = {}
        self._parts: dict[str, Part] = {}

    def judged(self, chain: Chain) -> dict[str, Any]:
        """Average precision of the queries of both roles, JSON-ready; or why it cannot be had."""
        try:
            last = self._step(chain).transform if chain else None
            dims = last.dims(self._dims(chain[:-1])) if last else self._codes.spec.dims
            result: dict[str, Any] = {"dims": dims, "bytes": stored_bytes(chain, dims)}
            for role in ("choose", "judge"):
                result[role] = [
                    None if np.isnan(value) else round(float(value), DIGITS)
                    for value in self._precisions(chain, role)
                ]
            return result
        except UserError as error:
            return {"dropped": str(error)}

    def transformed(self, chain: Chain, rows: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Codes of any rows as they are searched, and as queries that are not rounded."""
        values = self._codes.take(rows)
        query = values
        for place in range(len(chain)):
            transform = self._step(chain[: place + 1]).transform
            query = (
                transform.query(values)
                if isinstance(transform, Quantiser)
                else transform.apply(values)
            )
            values = transform.apply(values) if isinstance(transform, Quantiser) else query
        return values, query

    def stored(self, chain: Chain, rows: npt.NDArray[np.int64]) -> StoredRows | None:
        """Codes of any rows in the last transform's bytes; None where it is no quantiser."""
        last = self._step(chain).transform if chain else None
        if not isinstance(last, Quantiser):
            return None
        values, _ = self.transformed(chain[:-1], rows)
        return StoredRows(last.encode(values), last, last.dims(values.shape[1]))

    def part(self, role: str) -> Part:
        """The rows of a role."""
        if role not in self._parts:
            self._parts[role] = self._task.part(self._rotation, role)  # type: ignore[arg-type]
        return self._parts[role]

    def _precisions(self, chain: Chain, role: str) -> Values:
        part = self.part(role)
        values = self._values(chain, role)
        queries = values
        last = self._step(chain).transform if chain else None
        if isinstance(last, Quantiser):
            queries = last.query(self._values(chain[:-1], role))
        if len(part.queries) < len(part.rows):
            queries = queries[part.queries]
        return AVERAGE_PRECISION.of(relevant_ranks(queries, values, part.relevance))

    def _values(self, chain: Chain, role: str) -> Floats:
        """Codes of the rows of a role ("fit", "choose" or "judge"), as they are searched."""
        if not chain:
            if role not in self._base:
                rows = (
                    self._task.fit_rows(self._rotation) if role == "fit" else self.part(role).rows
                )
                self._base[role] = self._codes.take(rows)
            return self._base[role]
        step = self._step(chain)
        if role in step.made:
            return step.made[role]
        made = self._applied(chain, step.transform, role)
        if not isinstance(step.transform, Quantiser):  # nothing follows one
            step.made[role] = made
        return made

    def _applied(self, chain: Chain, transform: Transform, role: str) -> Floats:
        before = self._values(chain[:-1], role)
        if not isinstance(transform, Linear):
            return transform.apply(before)
        key = (chain[:-1], transform.kind)
        largest, projections = self._largest.setdefault(key, (transform, {}))
        if not _begins(largest, transform):
            return transform.apply(before)
        if role not in projections:
            tensors = largest.tensors
            projections[role] = (before - tensors["mean"]) @ tensors["matrix"].T
        size = len(transform.tensors["matrix"])
        return unit_length(np.ascontiguousarray(projections[role][:, :size]))

    def _step(self, chain: Chain) -> _Step:
        if chain not in self._steps:
            kind, number = get_transform(chain[-1])
            if kind.is_fitted:
                made = kind.fit(self._training(chain[:-1]), number)
            else:
                made = kind(number, {})
            self._steps[chain] = _Step(made)
        return self._steps[chain]

    def _training(self, chain: Chain) -> Training:
        if chain not in self._trainings:
            labels = self._task.labels
            if labels is not None:
                labels = labels[self._task.fit_rows(self._rotation)]
            self._trainings[chain] = Training(self._values(chain, "fit"), labels, self._seed)
        return self._trainings[chain]

    def _dims(self, chain: Chain) -> int:
        dims = self._codes.spec.dims
        for place in range(len(chain)):
            dims = self._step(chain[: place + 1]).transform.dims(dims)
        return dims


def stored_bytes(chain: Chain, dims: int) -> int:
    """Bytes of a stored code of this chain and length."""
    if not chain:
        return 4 * dims
    kind, number = get_transform(chain[-1])
    return kind.stored_bytes(number, dims)


def estimate_seconds(
    task: Task,
    candidates: Sequence[Candidate],
    dims: Callable[[Base], int],
    has: Callable[[Candidate, int], bool],
) -> float:
    """About how long the sweep will take on this machine, from a product's measured speed.

    Args:
        has: whether the score of a candidate in a rotation is there already.
    """
    side = 1000
    probe = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
    start = time.perf_counter()
    for _ in range(3):
        probe @ probe.T
    speed = 3 * side**3 / max(1e-6, time.perf_counter() - start)  # products and sums a second
    seconds = 0.0
    for turn in range(len(task.rotations)):
        fit = len(task.fit_rows(turn))
        parts = [task.part(turn, role) for role in ("choose", "judge")]
        pairs = sum(len(part.queries) * len(part.rows) for part in parts)
        fitted: set[Base] = set()
        for candidate in candidates:
            if has(candidate, turn):
                continue
            whole = dims(candidate.base)
            width = whole
            for kind, number in map(get_transform, candidate.chain):
                width = min(width, number) if number and not kind.is_quantiser else width
            seconds += pairs * (width / speed + 25e-9) + 0.05
            if candidate.chain and candidate.base not in fitted:
                fitted.add(candidate.base)
                least = min(whole, fit)
                seconds += (2 * fit * whole * least + 4 * least**3) / (speed / 2)
            if any(get_transform(name)[0].needs_pairs for name in candidate.chain):
                seconds += 6.0
            if any(get_transform(name)[0].is_quantiser for name in candidate.chain):
                seconds += 0.5
    return seconds


def _begins(largest: Linear, smaller: Linear) -> bool:
    """Whether the smaller projection is the beginning of the larger one, to the bit."""
    whole, part = largest.tensors["matrix"], smaller.tensors["matrix"]
    return (
        len(part) <= len(whole)
        and np.array_equal(whole[: len(part)], part)
        and np.array_equal(largest.tensors["mean"], smaller.tensors["mean"])
    )


def _only(values: Values) -> Values:
    """The one value of each column that is not NaN, or NaN."""
    rows = np.argmax(~np.isnan(values), axis=0)
    chosen: Values = values[rows, np.arange(values.shape[1])]
    return chosen
