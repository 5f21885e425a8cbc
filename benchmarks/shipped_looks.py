"""Every look at the ten classes with our own networks, and the compute that came before it.

`results/shipped/looks.json` has a row a look: the date, the weights, mAP with its interval, and the
stages of the training. Operations are counted by running the network, not typed in.
"""

from __future__ import annotations

import csv
import datetime
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from neuralcodes.common.files import read_json, write_json
from neuralcodes.networks.registry import get_network
from neuralcodes.training.layers import prepare_layers

COUNTED = 4  # images in the pass whose operations are counted
PETA = 1e15


@functools.cache
def operations(network: str, classes: int, view: int, freeze: str = "") -> float:
    """Floating-point operations of a training step an image, forward and backward.

    Two a multiply-add, of convolutions and matrix products only; on the "meta" device, so nothing
    is computed. The optimiser, the views and validation are left out: some 5 % of a step.

    Args:
        network: by name.
        classes: that it tells apart.
        view: height and width of the images that it is shown.
        freeze: the layer up to which nothing was learnt; "" for none.
    """
    kind = get_network(network)
    with torch.device("meta"):
        module = kind.build(classes).train()
        prepare_layers(module, kind, freeze)
        images = torch.zeros(COUNTED, 3, view, view)
    with FlopCounterMode(display=False) as counter:
        module(images).float().sum().backward()
    return counter.get_total_flops() / COUNTED


@dataclass(frozen=True)
class Stage:
    """A run of a training, as `results/shipped/stage-N/` records it.

    Attributes:
        run: the run folder's name; "" where it was not recorded.
        start: name of the weights that it began with, "" for random ones.
        network, classes, view, images, freeze: what was trained on how many images an epoch, and
            up to which layer it was not.
        accuracy: of validation, after each epoch.
        seconds: of all epochs.
    """

    run: str
    start: str
    network: str
    classes: int
    view: int
    images: int
    freeze: str
    accuracy: tuple[float, ...]
    seconds: float

    @property
    def epoch(self) -> float:
        """Operations of an epoch."""
        return operations_of_epoch(self.brief())

    def brief(self) -> dict[str, Any]:
        """What a look's row keeps of it."""
        return {
            "network": self.network, "classes": self.classes, "view": self.view,
            "images": self.images, "epochs": len(self.accuracy),
            **({"freeze": self.freeze} if self.freeze else {}),
        }  # fmt: skip


def read_stage(folder: Path, run: str) -> Stage:
    """A stage from the folder with its `config.json` and `history.csv`."""
    facts = read_json(folder / "config.json")
    with open(folder / "history.csv", encoding="utf-8", newline="") as file:
        epochs = list(csv.DictReader(file))
    network, views = facts["network"], facts["recipe"].get("augmentation") or {}
    return Stage(
        run=run,
        start=facts.get("start", {}).get("name", ""),
        network=network,
        classes=facts["train_classes"],
        view=views.get("size") or get_network(network).input_size[0],
        images=facts["split"]["train"],
        freeze=facts["recipe"].get("freeze", ""),
        accuracy=tuple(float(epoch["val_accuracy"]) for epoch in epochs),
        seconds=sum(float(epoch["seconds"]) for epoch in epochs),
    )


def read_stages(record: Path) -> list[Stage]:
    """The stages of what ships now, in their order; `mean.json` names their runs."""
    runs = read_json(record / "mean.json").get("stages", [])
    folders = sorted(record.glob("stage-*"), key=lambda folder: int(folder.name.split("-")[1]))
    names = [*runs, *[""] * len(folders)]
    return [read_stage(folder, run) for folder, run in zip(folders, names, strict=False)]


def begins(stage: Stage, stages: list[Stage]) -> float:
    """Operations that went into the weights that a stage began with.

    Weights are named RUN or RUN and a number of epochs ("modern-a19" is run modern-a after 19).
    Where they are of none of the stages, all stages before this one count.
    """
    if not stage.start:
        return 0.0
    name = stage.start.removesuffix(".safetensors")
    for other in stages:
        found = re.fullmatch(re.escape(other.run) + r"-?(\d*)", name) if other.run else None
        if found is not None and other is not stage:
            epochs = int(found[1]) if found[1] else len(other.accuracy)
            return begins(other, stages) + epochs * other.epoch
    return compute([other.brief() for other in stages[: stages.index(stage)]])


def operations_of_epoch(stage: dict[str, Any]) -> float:
    """Of a stage as a look's row keeps it (`Stage.brief`)."""
    freeze = stage.get("freeze", "")
    return stage["images"] * operations(stage["network"], stage["classes"], stage["view"], freeze)


def compute(stages: list[dict[str, Any]]) -> float:
    """Operations of the training of a look's row."""
    return sum(stage["epochs"] * operations_of_epoch(stage) for stage in stages)


def add_look(record: Path, figures: dict[str, Any]) -> None:
    """Write a look into `looks.json`; one at the same weights takes the earlier one's place.

    Args:
        record: the folder `results/shipped`.
        figures: what `shipped.json` holds.
    """
    path = record / "looks.json"
    looks = read_json(path) if path.is_file() else []
    stages = read_stages(record)
    runs = read_json(record / "mean.json")["of"]
    before = next((look for look in looks if look["weights"] == figures["weights"]), None)
    look = {
        "date": before["date"] if before else datetime.date.today().isoformat(),
        "what": f"the mean of {', '.join(runs)}" if len(runs) > 1 else runs[0],
        "weights": figures["weights"],
        "ships": True,
        "stages": [stage.brief() for stage in stages],
        "test_accuracy": figures["test_accuracy"],
        **{name: figures[name] for name in ("map", "map_low", "map_high")},
    }
    write_json(path, [*(one for one in looks if one is not before), look])
