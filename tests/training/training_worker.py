"""A training of the small network in a process of its own, that can be killed."""

from __future__ import annotations

import os
import re
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from digit_images import digit_images

from neuralcodes.common.files import read_json, write_json
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.weights import weights_hash
from neuralcodes.training.history import History, write_history
from neuralcodes.training.loop import Trained, train
from neuralcodes.training.recipe import Recipe

CPU = torch.device("cpu")
TIMES = ("seconds", "images_per_second")


def train_digits(folder: Path, resume: bool = True, **options: Any) -> Trained:
    """Train in `folder` on digits; `options` are the recipe's, and six more.

    `count` is how many; `precision` is the runtime's; `network` is trained at the digits' size;
    `astray` takes wrong labels for validation, so that the best epoch is an early one; `start`
    begins with weights of a network for so many classes; `unlabelled` takes the labels away.
    """
    images = digit_images(460)
    count = options.pop("count", 200)
    precision = options.pop("precision", "fp32")
    kind = replace(get_network(options.pop("network", "small")), input_size=(16, 16))
    val = images.select(range(400, 460))
    if options.pop("astray", False):
        val = replace(val, labels=(images.label_array() + 1) % 10)
    if options.pop("unlabelled", False):
        images, val = (replace(part, labels=None, classes=()) for part in (images, val))
    given = None
    if classes := options.pop("start", 0):
        torch.manual_seed(9)
        given = OpenNetwork.of("given", kind, kind.build(classes), classes)
    recipe = Recipe(**{"learning_rate": 2e-3, "batch_size": 20, "patience": 99, **options})
    return train(
        kind,
        10,
        images.select(range(count)),
        val,
        recipe,
        Runtime(CPU, precision),
        folder / "checkpoints",
        resume=resume,
        start=given,
        after_epoch=lambda history: write_history(folder / "history.csv", history),
    )


def run(folder: Path, options: dict[str, Any], die_at: str = "") -> None:
    """Train to the end and write what came out to `folder`/result.json.

    The process kills itself at the first file operation whose name and arguments match the
    regular expression `die_at`.
    """
    torch.set_num_threads(1)
    if die_at:
        moment = re.compile(die_at)

        def watch(event: str, args: tuple[Any, ...]) -> None:
            watched = event in ("open", "os.rename", "os.remove")
            if watched and moment.search(" ".join(map(str, (event, *args)))):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
    (folder / "started").touch()
    trained = train_digits(folder, **options)
    write_json(folder / "result.json", result(trained))


def result(trained: Trained) -> dict[str, Any]:
    """All that a resumed run must have in common with an unbroken one."""
    return {
        "weights": weights_hash(trained.network.state_dict()),
        "kept": trained.kept_epoch,
        "stopped": trained.stopped_because,
        "history": without_times(trained.history),
    }


def without_times(history: History) -> list[dict[str, float]]:
    return [{k: v for k, v in asdict(epoch).items() if k not in TIMES} for epoch in history]


def read_result(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = read_json(folder / "result.json")
    return value
