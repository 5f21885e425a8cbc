"""Training by several processes gives what one process gives, but for rounding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from neuralcodes.common.files import read_json, write_json
from neuralcodes.common.team import ALONE, Team
from neuralcodes.training.sharing import Share, _drop

WORKER = Path(__file__).with_name("team_worker.py")
# float32 sums in another order, carried on through a few steps
LOSS, WEIGHT = 1e-4, 1e-3

# SGD, since Adam turns the rounding of a small gradient into a whole step; dropout
FOUNDING = {
    "max_epochs": 2, "count": 60, "optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9,
}  # fmt: skip
# batch normalisation, views, averaged weights, parts of unequal size
MODERN = {
    "max_epochs": 2, "count": 90, "network": "compact", "optimizer": "sgd",
    "learning_rate": 1e-3, "momentum": 0.9, "label_smoothing": 0.1, "average": 0.9,
    "batch_size": 33, "augmentation": {"size": 12, "erase": 0.3},
}  # fmt: skip
CUTMIX = {**MODERN, "augmentation": {"size": 12, "cutmix": 0.7}}
CONTRAST = {**MODERN, "contrast": 0.5, "temperature": 0.2, "memory": 64}
VIEWS = {
    "max_epochs": 2, "count": 60, "network": "compact", "optimizer": "sgd",
    "learning_rate": 1e-3, "momentum": 0.9, "objective": "views", "temperature": 0.2,
    "unlabelled": True,
    "augmentation": {"size": 12},
}  # fmt: skip


def run(folder: Path, options: dict[str, Any], processes: int) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    write_json(folder / "options.json", options)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), str(WORKER), str(folder)]
    tests = os.pathsep.join([str(WORKER.parent), str(WORKER.parent.parent)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": tests}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=280, check=False
    )


def outcome(folder: Path, options: dict[str, Any], processes: int) -> dict[str, Any]:
    done = run(folder, options, processes)
    assert done.returncode == 0, done.stderr[-3000:]
    value: dict[str, Any] = read_json(folder / "result.json")
    return value


def require_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert len(one["history"]) == len(other["history"])
    for mine, theirs in zip(one["history"], other["history"], strict=True):
        for name in ("train_loss", "val_loss"):
            assert mine[name] == pytest.approx(theirs[name], abs=LOSS), name
    for name, values in one["tensors"].items():
        np.testing.assert_allclose(values, other["tensors"][name], atol=WEIGHT, err_msg=name)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(FOUNDING, id="founding"),
        pytest.param(MODERN, id="modern", marks=pytest.mark.lengthy),
        pytest.param(CUTMIX, id="cutmix", marks=pytest.mark.lengthy),
        pytest.param(CONTRAST, id="contrast", marks=pytest.mark.lengthy),
        pytest.param(VIEWS, id="views", marks=pytest.mark.lengthy),
    ],
)
def test_two_processes_learn_what_one_does(options: dict[str, Any], tmp_path: Path) -> None:
    one = outcome(tmp_path / "one", options, 1)
    two = outcome(tmp_path / "two", options, 2)
    require_same(one, two)


@pytest.mark.lengthy
def test_three_processes_and_batches_smaller_than_they(tmp_path: Path) -> None:
    options = {**FOUNDING, "count": 62}  # the last batch has 2
    require_same(outcome(tmp_path / "one", options, 1), outcome(tmp_path / "three", options, 3))


@pytest.mark.lengthy
@pytest.mark.parametrize("rank", [1, 0])
def test_a_killed_rank_is_told_and_the_run_resumed_on_another_number(
    rank: int, tmp_path: Path
) -> None:
    whole = outcome(tmp_path / "whole", FOUNDING, 1)
    broken = tmp_path / "broken"
    stopped = run(broken, {**FOUNDING, "die": {"rank": rank, "at": "epoch-0002"}}, 2)
    assert stopped.returncode != 0
    assert "another process of this training has died or was stopped" in stopped.stderr
    assert "--resume" in stopped.stderr
    assert not (broken / "result.json").exists()
    left = sorted(path.name for path in (broken / "checkpoints").glob("epoch-*"))
    assert left == [f"epoch-000{2 if rank else 1}"]
    require_same(whole, outcome(broken, FOUNDING, 1))


def test_parts_are_all_in_order() -> None:
    for size in (1, 2, 3, 7):
        for count in (0, 1, 2, 5, 100):
            parts = [Team(rank, size).part(count) for rank in range(size)]
            assert [row for part in parts for row in range(count)[part]] == list(range(count))
            lengths = [part.stop - part.start for part in parts]
            assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("shape", [(12, 7), (12, 5, 4, 4)])
def test_dropout_drops_what_one_process_drops(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape)
    if len(shape) == 4:
        values = values.contiguous(memory_format=torch.channels_last)
    torch.manual_seed(3)
    whole = F.dropout(values, 0.4, True)
    for rank in range(3):
        share = Share(Team(rank, 3))
        rows = share.take(12)
        module = nn.Dropout(0.4).train()
        object.__setattr__(module, "_share", share)
        torch.manual_seed(3)
        torch.testing.assert_close(_drop(module, values[rows]), whole[rows], rtol=0, atol=0)


def test_a_process_alone_is_a_team_of_one() -> None:
    assert Team.current() == ALONE and ALONE.leads and ALONE.lead(lambda: 3) == 3
    assert ALONE.share(5) == 5 and ALONE.gather(5) == [5]
