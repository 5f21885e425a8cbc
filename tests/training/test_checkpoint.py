"""Checkpoints that are refused: damaged, of another run, in use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training_worker import result, train_digits

from neuralcodes.common.errors import UserError
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.training.checkpoint import (
    checkpoint_config,
    hold_checkpoints,
    latest_checkpoint,
    load_checkpoint,
)
from neuralcodes.training.optimizer import make_optimizer
from neuralcodes.training.recipe import Recipe

BEST: dict[str, Any] = {"max_epochs": 4, "keep": "best", "astray": True}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four epochs with the best and the last checkpoint."""
    folder = tmp_path_factory.mktemp("finished")
    train_digits(folder, **BEST)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def refusal(ask: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        ask()
    message = str(caught.value)
    assert "\n" not in message
    return message


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    state = json.loads(path.read_text())
    change(state)
    path.write_text(json.dumps(state))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "weights cut": lambda at: cut(at / "weights.safetensors"),
    "optimiser cut": lambda at: cut(at / "optimizer.safetensors"),
    "state cut": lambda at: cut(at / "state.json"),
    "weights gone": lambda at: (at / "weights.safetensors").unlink(),
    "state gone": lambda at: (at / "state.json").unlink(),
    "state of something else": lambda at: (at / "state.json").write_text("[1]"),
    "history gone": lambda at: rewrite(at / "state.json", lambda s: s.pop("history")),
    "epochs of another kind": lambda at: rewrite(
        at / "state.json", lambda s: s["history"][0].pop("val_loss")
    ),
    "optimiser gone": lambda at: rewrite(at / "state.json", lambda s: s.pop("optimizer")),
    "groups gone": lambda at: rewrite(at / "state.json", lambda s: s["optimizer"]["groups"].pop()),
    "files mixed up": lambda at: shutil.copy(
        at / "weights.safetensors", at / "optimizer.safetensors"
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_with_the_remedy(
    run: Path, finished: Path, damage: str
) -> None:
    newest = run / "checkpoints" / "epoch-0004"
    others = [p.name for p in (run / "checkpoints").glob("epoch-*") if p != newest]
    assert len(others) == 1
    DAMAGE[damage](newest)
    message = refusal(lambda: train_digits(run, **{**BEST, "max_epochs": 5}))
    assert f"damaged checkpoint: delete {newest} to go on from {others[0]}" in message
    # and that remedy leads to the unbroken run's weights
    shutil.rmtree(newest)
    again = train_digits(run, **BEST)
    assert result(again) == result(train_digits(finished, **BEST))


def test_without_an_older_one_the_remedy_is_to_start_anew(tmp_path: Path) -> None:
    train_digits(tmp_path, max_epochs=1)
    newest = tmp_path / "checkpoints" / "epoch-0001"
    cut(newest / "optimizer.safetensors")
    message = refusal(lambda: train_digits(tmp_path, max_epochs=2))
    assert message.endswith(f"damaged checkpoint: delete {newest} to start anew")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"learning_rate": 0.02}, "learning_rate = 0.002, asked for 0.02"),
        ({"seed": 1}, "seed = 0, asked for 1"),
        ({"batch_size": 21}, "batch_size = 20, asked for 21"),
        ({"keep": "last"}, "keep = 'best', asked for 'last'"),
        ({"amsgrad": False}, "amsgrad = True, asked for False"),
        ({"precision": "bf16"}, "precision = 'fp32', asked for 'bf16'"),
    ],
)
def test_other_options_are_refused(run: Path, changed: dict[str, Any], said: str) -> None:
    message = refusal(lambda: train_digits(run, **{**BEST, **changed}))
    assert said in message
    assert message.startswith(str(run / "checkpoints" / "epoch-0004"))
    assert "resume with the same options" in message


def test_another_network_and_other_steps_are_refused(run: Path) -> None:
    newest = latest_checkpoint(run / "checkpoints")
    assert newest is not None
    config = checkpoint_config(run / "checkpoints")
    assert config is not None and config["precision"] == "fp32"
    small = get_network("small").build(10)
    optimizer = make_optimizer(small, Recipe())
    message = refusal(
        lambda: load_checkpoint(newest, small, optimizer, {**config, "network": "paper"})
    )
    assert "made with network = 'small', asked for 'paper'" in message
    message = refusal(
        lambda: load_checkpoint(newest, small, optimizer, {**config, "compiled": True})
    )
    assert "made with compiled = None, asked for True" in message
    other = get_network("small").build(11)
    message = refusal(
        lambda: load_checkpoint(newest, other, make_optimizer(other, Recipe()), config)
    )
    assert "weights of another network, not of small" in message


def test_a_started_run_is_not_overwritten(run: Path) -> None:
    message = refusal(lambda: train_digits(run, resume=False, **BEST))
    assert "holds a started run; give --resume or another --out" in message


def test_more_epochs_and_patience_may_be_asked_for(run: Path) -> None:
    trained = train_digits(run, **{**BEST, "max_epochs": 5, "patience": 50})
    assert len(trained.history) == 5


def test_moments_lie_as_their_parameters_do(run: Path) -> None:
    newest = latest_checkpoint(run / "checkpoints")
    config = checkpoint_config(run / "checkpoints")
    assert newest is not None and config is not None
    network = Runtime(torch.device("cpu"), "fp32").place(get_network("small").build(10))
    optimizer = make_optimizer(network, Recipe())
    load_checkpoint(newest, network, optimizer, config)
    checked = 0
    for parameter in network.parameters():
        for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
            value = optimizer.state[parameter][name]
            assert value.stride() == parameter.stride()
            assert not value.requires_grad
            checked += parameter.dim() == 4
    assert checked == 15


def test_one_run_at_a_time(run: Path) -> None:
    with hold_checkpoints(run / "checkpoints"):
        message = refusal(lambda: train_digits(run, **BEST))
    assert "another run is writing there" in message
    train_digits(run, **BEST)


def test_no_checkpoint(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "nowhere") is None
    assert checkpoint_config(tmp_path) is None


def test_leftovers_go_and_strangers_stay(tmp_path: Path) -> None:
    for name in (".epoch-0002.0123abcd.partial", ".epoch-0001.dropped"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.safetensors").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".epoch-notes").touch()
    with hold_checkpoints(tmp_path):
        assert {p.name for p in tmp_path.iterdir()} == {".lock", "notes.txt", ".epoch-notes"}


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    message = refusal(lambda: train_digits(tmp_path, max_epochs=1))
    assert str(tmp_path / "checkpoints") in message
