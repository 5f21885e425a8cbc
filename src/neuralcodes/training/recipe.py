"""`Recipe`: everything that decides how a network is trained, in one JSON-ready value."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from neuralcodes.common.errors import UserError


@dataclass(frozen=True)
class Recipe:
    """Defaults are the founding experiment's.

    Attributes:
        learning_rate, amsgrad, epsilon: of Adam. (PyTorch adds epsilon to the root of the
            corrected second moment, Keras to that of the uncorrected one: theirs counts as
            epsilon / √(1 − 0.999ᵗ) here, 32 times as much at step 1, the same from about 5,000
            on. It is felt only where gradients are not far above it.)
        batch_size: images a step; the last batch of an epoch may be smaller, as in Keras.
        max_epochs: training ends here at the latest.
        patience: stop after this many epochs in a row without a lower validation loss, where 0
            means at the first (as Keras's EarlyStopping).
        keep: evaluate the weights of the "last" epoch (Keras's default) or of the "best".
        seed: of weights, order of images and dropout.
    """

    learning_rate: float = 1e-4
    amsgrad: bool = True
    epsilon: float = 1e-7
    batch_size: int = 100
    max_epochs: int = 100
    patience: int = 0
    keep: Literal["last", "best"] = "last"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_epochs < 1:
            raise UserError(f"--epochs {self.max_epochs}: train for at least 1 epoch")
        if self.batch_size < 1:
            raise UserError(f"--batch-size {self.batch_size}: give at least 1 image")
        if not 0 < self.learning_rate < math.inf:
            raise UserError(f"--learning-rate {self.learning_rate}: must be above 0")
        if not 0 <= self.epsilon < math.inf:
            raise UserError(f"--epsilon {self.epsilon}: must be 0 or above")
        if self.patience < 0:
            raise UserError(f"--patience {self.patience}: give 0 or more epochs")
        if self.keep not in ("last", "best"):
            raise UserError(f"--keep {self.keep}: choose last or best")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed {self.seed}: choose 0 to {2**32 - 1}")

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)
