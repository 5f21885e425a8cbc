"""Our training loop against Lightning's Trainer: the same steps of the reference network.

    pip install lightning==2.6.6
    python benchmarks/trainer.py [IMAGES] [ROUNDS]

Both train the reference network for one pass over the same images at batch 100, in the precision
that this machine gains by, with fused amsgrad Adam and channels-last layout. Lightning runs
without logger, checkpoints, bar and sanity check, on a DataLoader in the same process.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from harness import race, record
from torch.utils.data import DataLoader, TensorDataset

from neuralcodes.images.imageset import ClassName, ImageSet
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import choose_runtime
from neuralcodes.training.batches import Batches
from neuralcodes.training.loop import train_once
from neuralcodes.training.objective import Classes
from neuralcodes.training.optimizer import make_optimizer
from neuralcodes.training.recipe import Recipe
from neuralcodes.training.trainee import begin_training

CLASSES = 190


class Classifier(lightning.LightningModule):
    """The same network, loss and optimiser as ours."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        """One step."""
        raw, labels = batch
        pixels = raw.permute(0, 3, 1, 2).float().div_(255)
        return F.cross_entropy(self.network(pixels).float(), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """As ours."""
        return make_optimizer(self.network, Recipe())


def main(count: int, rounds: int) -> None:
    """Race and record."""
    warnings.filterwarnings("ignore")
    runtime = choose_runtime()
    kind = get_network("reference")
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 255, size=(count, 64, 64, 3), dtype=np.uint8)
    labels = generator.integers(CLASSES, size=count)
    images = ImageSet(
        pixels, np.arange(count), tuple(map(str, range(count))), labels,
        tuple(ClassName(str(c), str(c)) for c in range(CLASSES)), "noise", "noise",
    )  # fmt: skip

    def ours() -> None:
        recipe = Recipe()
        trainee = begin_training(kind, CLASSES, images, recipe, runtime, None)
        objective = Classes(trainee.network, kind, recipe, runtime)
        train_once(trainee, objective, Batches(images, kind, runtime), recipe, 1)

    data = TensorDataset(torch.from_numpy(pixels), torch.from_numpy(labels))
    loader = DataLoader(data, batch_size=100, shuffle=True)

    def theirs() -> None:
        module = Classifier(kind.build(CLASSES).to(memory_format=torch.channels_last))
        lightning.Trainer(
            max_epochs=1, accelerator=runtime.device.type, devices=1, logger=False,
            precision="bf16-mixed" if runtime.precision == "bf16" else "32-true",
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        ).fit(module, loader)  # fmt: skip

    seconds, ratios = race(ours, {"Lightning": theirs}, rounds)
    record(
        "trainer", {"images": count, "batch": 100, "precision": runtime.precision}, ratios,
        "ours no slower than a well-kept trainer: median ratio at least 0.98",
        met=ratios["Lightning"].median >= 0.98,
        notes={"ours_images_per_second": count / seconds},
    )  # fmt: skip


if __name__ == "__main__":
    main(*(int(argument) for argument in (sys.argv[1:] + ["3000", "5"][len(sys.argv) - 1 :])))
