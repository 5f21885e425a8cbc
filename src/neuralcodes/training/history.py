"""Loss, accuracy and top-5 per epoch on train and validation, kept as `history.csv`."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from neuralcodes.common.errors import UserError
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

COLUMNS = [field.name for field in fields(Epoch)]


def write_history(path: Path, history: History) -> None:
    """Write as CSV with a header, atomically. No digit of a number is lost.

    Raises:
        UserError: full disk or no right to write.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for epoch in history:
        writer.writerow(asdict(epoch))
    write_text(path, text.getvalue())


def read_history(path: Path) -> History:
    """Read what `write_history` wrote.

    Raises:
        UserError: it is absent, or not such a file.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames != COLUMNS:
                raise ValueError("other columns")
            return [
                Epoch(epoch=int(row.pop("epoch")), **{key: float(v) for key, v in row.items()})
                for row in rows
            ]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (TypeError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: not a training history ({error})") from None


def best_epoch(history: History) -> int:
    """Number of the epoch with the lowest validation loss, the first of equals."""
    return min(history, key=lambda entry: entry.val_loss).epoch


def epochs_since_best(history: History) -> int:
    """Epochs in a row, up to the last, that brought no lower validation loss."""
    return history[-1].epoch - best_epoch(history)
