"""A rank that is killed: one line from the others, an end in bounded time, a run to go on with."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuralcodes.common.files import write_json
from ports import free_ports

WORKER = Path(__file__).with_name("team_worker.py")
LINE = "neuralcodes: another process of this training has died or was stopped"
BOUND = 60.0  # seconds; one or two on a machine of one's own
SMALL = (
    "--network", "small", "--epochs", "4", "--train-classes", "2", "--learning-rate", "1e-3",
    "--batch-size", "16", "--device", "cpu", "--precision", "fp32", "--patience", "9",
)  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    tests = os.pathsep.join([str(WORKER.parent), str(WORKER.parent.parent)])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": tests, **more}


def test_the_first_rank_killed_between_two_steps(tmp_path: Path) -> None:
    """The other one waits for its gradients, on their way back through the network."""
    options = {"max_epochs": 2, "count": 60, "die": {"rank": 0, "after_steps": 4}}
    write_json(tmp_path / "options.json", options)
    (port,) = free_ports(1)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(tmp_path)],
            env=environment(**place, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2"),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        assert ranks[0].wait(200) == -signal.SIGKILL
        told = ranks[1].communicate(timeout=BOUND)[1]
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()
    assert ranks[1].returncode == 2
    assert LINE in told and "--resume" in told and "Traceback" not in told, told


def pictures(root: Path) -> Path:
    """Three classes of colours."""
    dice = np.random.default_rng(0)
    for number in range(150):
        folder = root / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = dice.integers(0, 120, (16, 16, 3)) + 120 * np.eye(3)[number % 3]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


def train(folder: Path, out: Path, ranks: int, *more: str) -> subprocess.Popen[str]:
    """The real command, under torchrun where there are several."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command = ["-m", "neuralcodes", "train", "--data", str(folder), "--out", str(out)]
    return subprocess.Popen(
        [sys.executable, *(launcher if ranks > 1 else []), *command, *SMALL, *more],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def rank_of(launcher: int, rank: int) -> int:
    """The process of a rank, by what torchrun gave it."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if parent == launcher and f"RANK={rank}".encode() in variables:
                return int(entry.name)
    raise AssertionError(f"no rank {rank}")


def losses(out: Path) -> list[float]:
    with (out / "history.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) for name in row if "loss" in name]


@pytest.mark.lengthy
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_the_first_of_three_killed_and_resumed_on_two(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    whole = train(folder, tmp_path / "one", 1)
    assert whole.wait(280) == 0
    three = train(folder, tmp_path / "three", 3)
    assert three.wait(280) == 0, three.communicate()[1]
    np.testing.assert_allclose(losses(tmp_path / "three"), losses(tmp_path / "one"), atol=0.05)
    out = tmp_path / "broken"
    broken = train(folder, out, 3)
    while not (out / "checkpoints" / "epoch-0002").exists():
        assert broken.poll() is None, broken.communicate()[1]
        time.sleep(0.02)
    os.kill(rank_of(broken.pid, 0), signal.SIGKILL)
    told = broken.communicate(timeout=BOUND)[1]
    assert broken.returncode != 0 and "another process of this training" in told, told
    before_launcher = told.partition("torch/distributed/elastic")[0]
    assert "Traceback" not in before_launcher, told  # torchrun's own comes behind
    resumed = train(folder, out, 2, "--resume")
    assert resumed.wait(280) == 0, resumed.communicate()[1]
    np.testing.assert_allclose(losses(out), losses(tmp_path / "three"), atol=0.05)
