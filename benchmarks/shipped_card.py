"""The model card of the shipped weights, written from the recorded figures."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from neuralcodes.common.files import read_json
from neuralcodes.networks.registry import get_network

TEMPLATE = Path(__file__).with_suffix(".md")


def model_card(figures: dict[str, Any], record: Path) -> str:
    """The card's text.

    Args:
        figures: what `shipped.json` holds.
        record: folder with `stage-N/config.json` and `history.csv`, and `mean.json`, which names
            the runs whose mean ships.
    """
    lines = []
    for stage in sorted(record.glob("stage-*")):
        config = read_json(stage / "config.json")
        recipe = config["recipe"]
        with open(stage / "history.csv", encoding="utf-8", newline="") as file:
            epochs = list(csv.DictReader(file))
        views = recipe["augmentation"]["size"] or get_network(config["network"]).input_size[0]
        falls = (
            f"falls to zero over {recipe['decay_epochs']} epochs"
            if recipe.get("decay_epochs")
            else "stays up"
        )
        if recipe.get("decay_epochs") and len(epochs) < recipe["max_epochs"]:
            falls += f", stopped after {len(epochs)}"
        if recipe.get("freeze"):
            falls += f", layers up to {recipe['freeze']} frozen"
        accuracy = float(epochs[-1]["val_accuracy"])
        lines.append(
            f"- {stage.name}: {len(epochs)} epochs on views of {views}×{views}, the rate of "
            f"{recipe['learning_rate']:g} {falls}; validation accuracy {accuracy:.4f}"
        )
    runs = read_json(record / "mean.json")["of"]
    if len(runs) > 1:
        lines.append(f"\nWhat ships is the mean of the weights of {', '.join(runs)}.")
    return TEMPLATE.read_text(encoding="utf-8").format(stages="\n".join(lines), **figures)
