"""The model card of the shipped weights, written from the recorded figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shipped_looks import read_stage

from neuralcodes.common.files import read_json

TEMPLATE = Path(__file__).with_suffix(".md")


def model_card(figures: dict[str, Any], record: Path) -> str:
    """The card's text.

    Args:
        figures: what `shipped.json` holds.
        record: folder with `stage-N/config.json` and `history.csv`, and `mean.json`, which names
            the runs whose mean ships.
    """
    lines = []
    for folder in sorted(record.glob("stage-*")):
        stage, recipe = read_stage(folder, ""), read_json(folder / "config.json")["recipe"]
        epochs = len(stage.accuracy)
        falls = (
            f"falls to zero over {recipe['decay_epochs']} epochs"
            if recipe.get("decay_epochs")
            else "stays up"
        )
        if recipe.get("decay_epochs") and epochs < recipe["max_epochs"]:
            falls += f", stopped after {epochs}"
        if stage.freeze:
            falls += f", layers up to {stage.freeze} frozen"
        lines.append(
            f"- {folder.name}: {epochs} epochs on views of {stage.view}×{stage.view}, the rate of "
            f"{recipe['learning_rate']:g} {falls}; validation accuracy {stage.accuracy[-1]:.4f}"
        )
    runs = read_json(record / "mean.json")["of"]
    if len(runs) > 1:
        lines.append(f"\nWhat ships is the mean of the weights of {', '.join(runs)}.")
    return TEMPLATE.read_text(encoding="utf-8").format(stages="\n".join(lines), **figures)
