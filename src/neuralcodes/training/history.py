"""Loss, accuracy and top-5 per epoch on train and validation, kept as `history.csv`."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from neuralcodes.common.files import write_text


@dataclass(frozen=True)
class Epoch:
    """One epoch. Train figures are means over its batches, with dropout, as Keras reports them.

    `seconds` is training and validation together; `images_per_second` is training alone.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    train_top5: float
    val_loss: float
    val_accuracy: float
    val_top5: float
    seconds: float
    images_per_second: float


History = list[Epoch]


def write_history(path: Path, history: History) -> None:
    """Write as CSV with a header, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    for epoch in history:
        writer.writerow(asdict(epoch))
    write_text(path, text.getvalue())


def read_history(path: Path) -> History:
    """Read what `write_history` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        return [
            Epoch(**{key: int(v) if key == "epoch" else float(v) for key, v in row.items()})
            for row in csv.DictReader(file)
        ]


def epochs_since_best(history: History) -> int:
    """Epochs in a row, up to the last, that brought no lower validation loss."""
    best = min(range(len(history)), key=lambda i: history[i].val_loss)
    return len(history) - 1 - best
