"""`Recipe`: everything that decides how a network is trained, in one JSON-ready value."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from neuralcodes.common.errors import UserError
from neuralcodes.training.augmentation import Augmentation


@dataclass(frozen=True)
class Recipe:
    """Defaults are the founding experiment's; `modern` gives those of our own network.

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
        seed: of weights, order of images, views and dropout.
        optimizer: "adam", or "sgd" with Nesterov's momentum.
        momentum: of "sgd".
        weight_decay: pull of convolutions and dense layers towards zero; of "sgd".
        warmup_epochs: the rate climbs from zero for so long.
        decay_epochs: the rate falls to zero in a straight line over the last so many epochs.
        label_smoothing: share of each label that is spread over all classes.
        average: decay a step of a running average of the weights, which is what is validated and
            kept; 0 keeps the weights themselves.
        augmentation: random views of the training images; None shows them as they are.
        freeze: everything up to and including this layer keeps its weights; "" for none.
        layer_decay: the rate falls by this factor a block, from the classifier to the input; see
            `neuralcodes.training.layers.prepare_layers`.
        class_means: a new classifier behind given weights begins as the mean codes of the classes
            instead of random.
        keep_statistics: batch normalisation keeps the statistics of the weights that training
            starts with.
        blend: what is kept lies so far on the straight way from the weights of the start (0) to
            the learnt ones (1) (Wortsman et al., CVPR 2022).
        objective: learn the "classes" of images, or which "views" are of one image; see
            `neuralcodes.training.objective`.
        temperature: that the cosines between codes are divided by; of "views" and `contrast`.
        contrast: weight of the supervised contrastive loss of the codes beside the classes' own;
            see `neuralcodes.training.contrast`. 0 for none.
        memory: earlier codes that it compares with.
        fit_code: the parts of the code that are not learnt are fitted at the end; see
            `neuralcodes.experiments.fitted_code`.
    """

    learning_rate: float = 1e-4
    amsgrad: bool = True
    epsilon: float = 1e-7
    batch_size: int = 100
    max_epochs: int = 100
    patience: int = 0
    keep: Literal["last", "best"] = "last"
    seed: int = 0
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.0
    weight_decay: float = 0.0
    warmup_epochs: float = 0.0
    decay_epochs: int = 0
    label_smoothing: float = 0.0
    average: float = 0.0
    augmentation: Augmentation | None = None
    freeze: str = ""
    layer_decay: float = 1.0
    class_means: bool = False
    keep_statistics: bool = False
    blend: float = 1.0
    objective: Literal["classes", "views"] = "classes"
    temperature: float = 0.0
    contrast: float = 0.0
    memory: int = 0
    fit_code: bool = False

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
        if self.optimizer not in ("adam", "sgd"):
            raise UserError(f"optimizer {self.optimizer}: choose adam or sgd")
        for name in ("momentum", "label_smoothing", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} {getattr(self, name)}: must be at least 0 and below 1")
        for name in ("weight_decay", "warmup_epochs", "decay_epochs", "contrast", "memory"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} {getattr(self, name)}: must be 0 or above")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"--layer-decay {self.layer_decay}: must be above 0 and at most 1")
        if not 0 < self.blend <= 1:
            raise UserError(f"blend {self.blend}: must be above 0 and at most 1")
        self._check_objective()

    def _check_objective(self) -> None:
        if self.objective not in ("classes", "views"):
            raise UserError(f"objective {self.objective}: choose classes or views")
        if self.objective == "classes" and not self.contrast:
            return
        what = "contrast" if self.objective == "classes" else "objective views"
        if self.augmentation is None or self.augmentation.cutmix:
            raise UserError(f"{what}: give an augmentation, and one without cutmix")
        if not 0 < self.temperature < math.inf:
            raise UserError(f"temperature {self.temperature}: must be above 0")
        if self.batch_size < 2:
            raise UserError(f"--batch-size {self.batch_size}: {what} needs others; give at least 2")

    def rate_at(self, epochs: float) -> float:
        """The learning rate after so many epochs (a fraction within one)."""
        share = 1.0
        if self.warmup_epochs:
            share = min(share, epochs / self.warmup_epochs)
        if self.decay_epochs:
            share = min(share, max(0.0, (self.max_epochs - epochs) / self.decay_epochs))
        return self.learning_rate * share

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready form: the founding experiment's fields, and of the others those in use."""
        return {
            field.name: value
            for field, value in zip(fields(self), asdict(self).values(), strict=True)
            if field.name in FOUNDING or getattr(self, field.name) != field.default
        }


FOUNDING = (
    "learning_rate", "amsgrad", "epsilon", "batch_size", "max_epochs", "patience", "keep", "seed",
)  # fmt: skip
