"""What `test_full_disk.py` runs on its small disk: PLACE TASK → JSON on standard output."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import training_worker
from training_worker import result, train_digits

from neuralcodes.common.errors import UserError


def main(place: Path, task: str) -> None:
    torch.set_num_threads(1)
    answer: dict[str, Any] = {}
    filler = place / "filler"
    write_history = training_worker.write_history

    def then_fill(path: Path, history: training_worker.History) -> None:
        write_history(path, history)
        free = shutil.disk_usage(place).free
        filler.write_bytes(bytes(max(0, free - 2**20)))  # less room than a checkpoint takes

    if task == "fill":
        training_worker.write_history = then_fill
    try:
        train_digits(place, max_epochs=3)
    except UserError as error:
        answer["error"] = str(error)
    answer["left"] = sorted(path.name for path in (place / "checkpoints").iterdir())
    if task == "fill":
        filler.unlink()
        training_worker.write_history = write_history
        answer["resumed"] = result(train_digits(place, max_epochs=3))
    print(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
