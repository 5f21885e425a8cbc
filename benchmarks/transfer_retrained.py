"""Retraining on half of the classes of a set of photographs, judged on the other half.

By the command that users have, `neuralcodes train --from`, with the recipe `retraining` as it is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json
from neuralcodes.images.classfolders import class_folders


def retrained(network: str, photographs: Path, seed: int) -> dict[str, Any]:
    """mAP before and after on the classes left out, with the paired difference.

    Args:
        network: whose weights are retrained.
        photographs: folder or zip file of class folders; the first half of the classes in the order
            of their folders is trained on.
        seed: of the training.

    Returns:
        `classes` (trained on and left out), `command`, `precision`, and a row a layer in `layers`
        with `before`, `after` and the `difference` (`map`, `map_low`, `map_high` each).

    Raises:
        UserError: the command failed.
    """
    classes = len(class_folders(photographs, (64, 64)).classes)
    half = (classes + 1) // 2
    arguments = [
        "train", "--from", network, "--data", str(photographs), "--train-classes", str(half),
        "--seed", str(seed), "--out",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "retrained"
        done = subprocess.run(
            [sys.executable, "-m", "neuralcodes", *arguments, str(out)], check=False
        )
        if done.returncode:
            raise UserError(f"neuralcodes train --from {network}: failed; its message is above")
        metrics, config = read_json(out / "metrics.json"), read_json(out / "config.json")
    named = [photographs.name if word == str(photographs) else word for word in arguments]
    return {
        "command": f"neuralcodes {' '.join(named)} RUN",
        "seed": seed,
        "precision": config["runtime"]["precision"],
        "classes": {"trained": half, "judged": classes - half},
        "layers": {layer: row_of(metrics, layer) for layer in metrics["change"]},
    }


def row_of(metrics: dict[str, Any], layer: str) -> dict[str, Any]:
    """A layer's figures out of a run's `metrics.json`."""
    change = metrics["change"][layer]

    def part(facts: dict[str, Any]) -> dict[str, float]:
        return {name: facts[name][layer] for name in ("map", "map_low", "map_high")}

    return {
        "before": part(metrics["before"]),
        "after": part(metrics),
        "difference": {
            "map": change["difference"], "map_low": change["low"], "map_high": change["high"],
            "p": change["p"], "real": change["real"], "queries": change["queries"],
        },
    }  # fmt: skip
