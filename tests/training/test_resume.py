"""Runs killed by SIGKILL and resumed come out as unbroken ones do. Real processes, real kills."""

from __future__ import annotations

import multiprocessing
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import training_worker
from training_worker import read_result

from neuralcodes.training.augmentation import Augmentation
from neuralcodes.training.history import read_history

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs fork servers and SIGKILL"),
    pytest.mark.timeout(900),  # about a minute in all, but many processes on a busy machine
]

SHORT = {"max_epochs": 4}
LAST = {"max_epochs": 5}
BEST = {"max_epochs": 5, "keep": "best", "astray": True}
MODERN = {
    "max_epochs": 5, "keep": "best", "network": "compact", "optimizer": "sgd",
    "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 1e-3, "warmup_epochs": 1.0,
    "decay_epochs": 2, "label_smoothing": 0.1, "average": 0.9,
    "augmentation": Augmentation(size=12, cutmix=0.5, erase=0.3),
}  # fmt: skip
CONTRAST = {
    **MODERN, "augmentation": Augmentation(size=12), "contrast": 0.5, "temperature": 0.2,
    "memory": 64,
}  # fmt: skip
VIEWS = {
    "max_epochs": 5, "keep": "best", "network": "compact", "optimizer": "sgd", "start": 3,
    "learning_rate": 0.02, "momentum": 0.9, "decay_epochs": 4, "average": 0.9, "freeze": "blocks.1",
    "layer_decay": 0.7, "objective": "views", "temperature": 0.2, "unlabelled": True,
    "augmentation": Augmentation(size=12),
}  # fmt: skip
BF16 = {"max_epochs": 5, "precision": "bf16"}


@cache
def context() -> Any:
    """Children come from a server that has imported torch already, so each starts at once."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["torch", "sklearn.datasets", "neuralcodes.training.loop"])
    return made


def start(folder: Path, options: dict[str, Any], die_at: str = "") -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "started").unlink(missing_ok=True)
    child = context().Process(target=training_worker.run, args=(folder, options, die_at))
    child.start()
    return child


def finish(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    child = start(folder, options)
    child.join(300)
    assert child.exitcode == 0
    return read_result(folder)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Any]:
    """What a run with these options gives when nobody disturbs it, and its seconds."""
    known: dict[str, tuple[dict[str, Any], float]] = {}

    def get(options: dict[str, Any]) -> tuple[dict[str, Any], float]:
        key = repr(options)
        if key not in known:
            folder = tmp_path_factory.mktemp("unbroken")
            warm = tmp_path_factory.mktemp("warm")
            finish(warm, {**options, "max_epochs": 1})  # the server's start is not the run's
            begun = time.monotonic()
            result = finish(folder, {**options})
            known[key] = result, time.monotonic() - begun
        return known[key]

    return get


def assert_whole(folder: Path, result: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The weights and history of the unbroken run, and nothing left lying about."""
    assert result == wanted
    history = read_history(folder / "history.csv")
    assert training_worker.without_times(history) == wanted["history"]
    kept = {wanted["kept"], wanted["history"][-1]["epoch"]}
    names = {path.name for path in (folder / "checkpoints").iterdir()}
    assert names == {".lock", *(f"epoch-{number:04d}" for number in kept)}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(LAST, id="last"),
        pytest.param(BEST, id="best"),
        pytest.param(BF16, id="bf16", marks=pytest.mark.slow),
        pytest.param(MODERN, id="modern", marks=pytest.mark.slow),
        pytest.param(CONTRAST, id="contrast", marks=pytest.mark.slow),
        pytest.param(VIEWS, id="views", marks=pytest.mark.slow),
    ],
)
def test_killed_at_random_moments(
    tmp_path: Path, unbroken: Callable[..., Any], options: dict[str, Any]
) -> None:
    wanted, seconds = unbroken(options)
    if options is BEST:
        assert wanted["kept"] < options["max_epochs"]
    moments = random.Random(repr(options))
    killed, folder = 0, tmp_path / "0"
    for attempt in range(1, 20):
        folder.mkdir(exist_ok=True)
        child = start(folder, options)
        while child.is_alive() and not (folder / "started").exists():
            time.sleep(0.005)
        child.join(moments.uniform(0, 0.5) * seconds)
        child.kill()
        child.join()
        killed += child.exitcode == -signal.SIGKILL
        if child.exitcode == 0 and killed < 2:
            # the machine has become faster since the unbroken run was timed: anew, sooner
            killed, folder, seconds = 0, tmp_path / str(attempt), seconds / 2
        elif child.exitcode == 0 or killed == 4:
            break
    assert killed >= 2
    assert_whole(folder, finish(folder, options), wanted)


MOMENTS = {
    "weights begun": (r"^open .*epoch-0003.*weights", "epoch-0002", True),
    "optimiser not yet whole": (r"^os.rename .*epoch-0003.*optimizer", "epoch-0002", True),
    "state begun": (r"^open .*epoch-0003.*state\.json", "epoch-0002", True),
    "whole but not yet named": (
        r"^os.rename \S*epoch-0003\S*\.partial \S*/epoch-0003 ", "epoch-0002", True,
    ),
    "the older not yet dropped": (r"^os.rename \S*/epoch-0002 ", "epoch-0003", False),
    "the older half dropped": (r"^os.remove optimizer\.safetensors", "epoch-0002", True),
}  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_writing(tmp_path: Path, unbroken: Callable[..., Any], moment: str) -> None:
    pattern, newest, leaves_partial = MOMENTS[moment]
    child = start(tmp_path, SHORT, die_at=pattern)
    child.join(300)
    assert child.exitcode == -signal.SIGKILL
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert max(name for name in names if not name.startswith(".")) == newest
    assert any(name.startswith(".epoch-") for name in names) == leaves_partial
    assert_whole(tmp_path, finish(tmp_path, SHORT), unbroken(SHORT)[0])


def test_killed_between_the_last_checkpoint_and_its_history(
    tmp_path: Path, unbroken: Callable[..., Any]
) -> None:
    one = {**SHORT, "max_epochs": 1}
    child = start(tmp_path, one, die_at=r"^open \S*history\.csv")
    child.join(300)
    assert child.exitcode == -signal.SIGKILL
    assert (tmp_path / "checkpoints" / "epoch-0001" / "state.json").exists()
    assert not (tmp_path / "history.csv").exists()
    assert_whole(tmp_path, finish(tmp_path, one), unbroken(one)[0])
