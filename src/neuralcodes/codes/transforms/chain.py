"""`Chain`: a code's transforms in order; opening, extending and applying it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.store import Codes
from neuralcodes.codes.transforms.base import Floats, Quantiser, Stored
from neuralcodes.codes.transforms.fitted import Fitted, FittedOn, load_fitted, transform_file
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError

Form = Literal["searched", "stored", "query"]
"""`searched`: float32 n×d of unit length. `stored`: uint8 n×bytes. `query`: float32 n×d, as
`searched` but not rounded by a quantiser; see `neuralcodes.codes.transforms.base.Quantiser`."""

BLOCK_BYTES = 64 * 2**20  # of float32 codes transformed at a time


@dataclass(frozen=True)
class Chain:
    """From a network's code to another code.

    Attributes:
        base: the code that it begins with, as a rule one without transforms.
        steps: in order; a quantiser is the last.
    """

    base: CodeSpec
    steps: tuple[Fitted, ...] = ()

    @property
    def spec(self) -> CodeSpec:
        """The code that comes out."""
        return self.steps[-1].spec if self.steps else self.base

    def then(self, fitted: Fitted) -> Chain:
        """One step more.

        Raises:
            UserError: it was fitted on another code, or stands behind a quantiser.
        """
        self.require_open(fitted.transform.name)
        if fitted.before.fingerprint() != self.spec.fingerprint():
            name = f"{self.spec.name}/{fitted.transform.name}"
            try:
                fitted.before.require_same(self.spec)
            except UserError as error:
                raise UserError(f"{name}: fitted on another code; fit it again: {error}") from None
        # the code may have another name by now (a folder renamed), which is no part of what it is
        return Chain(self.base, (*self.steps, replace(fitted, before=self.spec)))

    def require_open(self, name: str) -> None:
        """Refuse a step behind a quantiser.

        Raises:
            UserError: this chain ends with one.
        """
        if self.steps and self.steps[-1].transform.is_quantiser:
            last = self.steps[-1].transform.name
            raise UserError(f"{self.spec.name}/{name}: {last} must be the last transform")

    def make(self, values: Floats, form: Form = "searched") -> Any:
        """Transform codes.

        Args:
            values: float32 n×d of the code `base`, rows of length 1 or zero.
            form: what is wanted; see `Form`.
        """
        last = self.steps[-1].transform if self.steps else None
        for step in self.steps:
            if step.transform is not last or not isinstance(last, Quantiser):
                values = step.transform.apply(values)
        if isinstance(last, Quantiser):
            if form == "stored":
                return last.encode(values)
            return last.query(values) if form == "query" else last.apply(values)
        if form == "stored":
            return np.ascontiguousarray(values, dtype="<f4").view(np.uint8)
        return values

    def decode(self, stored: Stored) -> Floats:
        """The searched form, float32 n×d, of stored codes, uint8 n×bytes."""
        last = self.steps[-1].transform if self.steps else None
        if isinstance(last, Quantiser):
            return last.decode(stored)
        return np.ascontiguousarray(stored).view("<f4").astype(np.float32, copy=False)


def open_chain(base: CodeSpec, names: Sequence[str]) -> Chain:
    """The chain of these transforms behind a network's code, from the files beside the network.

    Raises:
        UserError: an unknown transform; one that is not fitted, or was on another code.
    """
    chain = Chain(base)
    for place, name in enumerate(names):
        kind, _ = get_transform(name)
        chain.require_open(name)
        if not kind.is_fitted:
            chain = chain.then(unfitted(chain.spec, name))
            continue
        path = transform_file(base, names[: place + 1])
        if not path.is_file():
            raise UserError(
                f"{chain.spec.name}/{name}: not fitted yet; run: "
                f"neuralcodes fit --code {chain.spec.name} {name} --on IMAGES"
            )
        chain = chain.then(load_fitted(path))
    return chain


def unfitted(before: CodeSpec, name: str) -> Fitted:
    """A transform that has nothing to learn, behind the code `before`."""
    kind, number = get_transform(name)
    return Fitted(kind(number, {}), before, None)


def fit_transform(code: CodeSpec, name: str, training: Training, on: FittedOn) -> Fitted:
    """Fit one transform, without writing it.

    Args:
        code: what the transform continues.
        name: for instance `pca128`.
        training: codes of this kind; shared by all transforms that are fitted on them.
        on: the images that they are of.

    Raises:
        UserError: unknown transform, or these codes do not allow it.
    """
    kind, number = get_transform(name)
    labels = on.labels and kind.needs_pairs
    return Fitted(kind.fit(training, number), code, replace(on, labels=labels))


def apply_transforms(
    codes: Codes, chain: Chain, form: Literal["searched", "query"] = "searched"
) -> Codes:
    """Codes of the chain's end from codes of its beginning, without the network; in memory.

    Raises:
        UserError: the codes are not those that the chain begins with.
    """
    codes.spec.require_same(chain.base)
    spec = chain.spec
    made: npt.NDArray[np.float32] = np.empty((len(codes), spec.dims), dtype=np.float32)
    step = max(1, BLOCK_BYTES // (4 * codes.spec.dims))
    for start in range(0, len(codes), step):
        block = slice(start, start + step)
        made[block] = chain.make(np.asarray(codes.values[block]), form)
    return Codes(spec, made, codes.keys, codes.images)
