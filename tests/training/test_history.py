"""`history.csv`, exact and checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcodes.common.errors import UserError
from neuralcodes.training.history import Epoch, read_history, write_history

HEADER = (
    "epoch,train_loss,train_accuracy,train_top5,val_loss,val_accuracy,val_top5,seconds,"
    "images_per_second\n"
)
numbers = st.floats(allow_nan=False)
epochs = st.builds(Epoch, st.integers(1, 10**6), *[numbers] * 8)


@given(st.lists(epochs, max_size=4))
def test_a_round_trip_loses_no_digit(
    tmp_path_factory: pytest.TempPathFactory, history: list[Epoch]
) -> None:
    path = tmp_path_factory.mktemp("history") / "history.csv"
    write_history(path, history)
    assert read_history(path) == history


def test_the_file_is_plain_csv(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    write_history(path, [Epoch(1, 2.5, 0.25, 0.5, 2.25, 0.5, 0.75, 10.0, 140.5)])
    assert path.read_text() == HEADER + "1,2.5,0.25,0.5,2.25,0.5,0.75,10.0,140.5\n"


@pytest.mark.parametrize(
    "text",
    ["", "epoch,loss\n1,2\n", "\x00\x01\n\n", HEADER + "1,2\n", HEADER + "1" + ",much" * 8],
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"history\.csv: not a training history") as caught:
        read_history(path)
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_history(tmp_path / "history.csv")
