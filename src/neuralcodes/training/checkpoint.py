"""One checkpoint an epoch: weights, optimiser state and history; no pickle, written atomically.

A checkpoint is a folder `epoch-0007` with `weights.safetensors`, `optimizer.safetensors` and
`state.json`. It appears whole or not at all, and older ones leave only after that, so a run that
is killed at any moment, or whose disk fills up, has its last whole checkpoint.

A checkpoint damaged later (a failing disk, half a copy) is refused, with a line that says which
folder to delete to go on from the one before or to start anew: whoever copied it should know.
"""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import (
    atomic_folder,
    check_room,
    explain_os_errors,
    make_folder,
    read_json,
    write_json,
)
from neuralcodes.networks.weights import load_tensors, load_weights, save_tensors
from neuralcodes.training.history import Epoch, History, best_epoch

AVERAGE = "average.safetensors"

_NAME = re.compile(r"epoch-(\d{4,})")
_PARTIAL = re.compile(r"\.epoch-\d{4,}\..+")  # work of atomic_folder, or on its way out


@contextmanager
def hold_checkpoints(folder: Path) -> Iterator[None]:
    """Keep `folder` for this run as long as the block lasts; it is made if it is absent.

    Also drops what killed writes have left there.

    Raises:
        UserError: another run is writing there, or there is no right to write.
    """
    make_folder(folder)
    with explain_os_errors(folder):
        lock = open(folder / ".lock", "w")  # noqa: SIM115 (held open by the block below)
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder}: another run is writing there; wait for it or give another --out"
            ) from None
        except OSError:
            pass  # a file system without locks
        for path in folder.iterdir():
            if _PARTIAL.fullmatch(path.name):
                shutil.rmtree(path)
        yield


def check_checkpoint_room(folder: Path, optimizer: torch.optim.Optimizer, keep_best: bool) -> None:
    """Refuse early, rather than after the first epoch, a disk too small for the checkpoints.

    Raises:
        UserError: it is too small.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    copies = 4 if optimizer.defaults.get("amsgrad") else 3  # weights and two or three moments
    one = copies * sum(p.numel() * p.element_size() for p in parameters)
    # an old checkpoint leaves after the new one is whole
    needed = one * (2 + keep_best - len(_checkpoints(folder)))
    check_room(folder, needed, "keeping checkpoints", "free some space or give another --out")


def save_checkpoint(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: History,
    config: dict[str, Any],
    keep_best: bool,
    average: nn.Module | None = None,
) -> Path:
    """Write the checkpoint of the epoch just finished and drop those no longer needed.

    Args:
        folder: the run's `checkpoints` folder.
        config: what a resumed run must agree with.
        keep_best: also keep the checkpoint with the lowest validation loss.
        average: the network with averaged weights, if the recipe keeps one.

    Raises:
        UserError: full disk or no right to write; older checkpoints are still there.
    """
    epoch = history[-1].epoch
    path = checkpoint_of(folder, epoch)
    tensors, rest = _flatten(optimizer.state_dict())
    with atomic_folder(path) as work:
        save_tensors(work / "weights.safetensors", network.state_dict())
        save_tensors(work / "optimizer.safetensors", tensors)
        if average is not None:
            save_tensors(work / AVERAGE, average.state_dict())
        state = {
            "epoch": epoch,
            "config": config,
            "optimizer": rest,
            "history": [asdict(entry) for entry in history],
        }
        write_json(work / "state.json", state)
    needed = {epoch}
    if keep_best:
        needed.add(best_epoch(history))
    with explain_os_errors(folder):
        for number, older in _checkpoints(folder).items():
            if number not in needed:
                # renamed first: half a deleted checkpoint must not look like one
                shutil.rmtree(older.rename(folder / f".{older.name}.dropped"))
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the highest epoch, None when there is none."""
    found = _checkpoints(folder)
    return found[max(found)] if found else None


def checkpoint_of(folder: Path, epoch: int) -> Path:
    """The checkpoint of this epoch."""
    return folder / f"epoch-{epoch:04d}"


def checkpoint_config(folder: Path) -> dict[str, Any] | None:
    """What the newest checkpoint in `folder` was made with; None when there is none.

    A resumed run takes from it what its user left open: on "auto" the precision is measured, and
    must not come out otherwise than at the start.

    Raises:
        UserError: the checkpoint is damaged.
    """
    newest = latest_checkpoint(folder)
    return None if newest is None else dict(_read_state(newest)["config"])


def load_checkpoint(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: dict[str, Any],
    average: nn.Module | None = None,
) -> History:
    """Load network, optimiser and average in place and give the history so far.

    Raises:
        UserError: the checkpoint is damaged, or was made with another configuration.
    """
    state = _read_state(path)
    made_with = state["config"]
    for key in {**made_with, **config}:
        then, now = made_with.get(key), config.get(key)
        if then != now:
            raise UserError(
                f"{path}: made with {key} = {then!r}, asked for {now!r}; "
                "resume with the same options, or start a new run with another --out"
            )
    with _damage_explained(path):
        moments = load_tensors(path / "optimizer.safetensors")
        load_weights(network, path / "weights.safetensors", str(config.get("network", "this run")))
        if average is not None:
            load_weights(average, path / AVERAGE, str(config.get("network", "this run")))
        _load_optimizer(optimizer, _unflatten(moments, state["optimizer"]))
        return [Epoch(**entry) for entry in state["history"]]


def _read_state(path: Path) -> dict[str, Any]:
    with _damage_explained(path):
        state = read_json(path / "state.json")
        if not isinstance(state, dict) or not isinstance(state.get("config"), dict):
            raise ValueError("state.json is not a checkpoint's")
        return state


@contextmanager
def _damage_explained(path: Path) -> Iterator[None]:
    """Turn whatever a damaged checkpoint brings about into one line with the remedy."""
    try:
        yield
    except (UserError, KeyError, TypeError, ValueError) as error:
        found = _checkpoints(path.parent)
        older = [number for number in found if found[number].name != path.name]
        before = f"go on from {found[max(older)].name}" if older else "start anew"
        what = str(error) if isinstance(error, UserError) else f"{path}: {error!r}"
        raise UserError(f"{what}; damaged checkpoint: delete {path} to {before}") from error


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    optimizer.load_state_dict(state)
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        entries = optimizer.state.get(parameter, {})  # a parameter without a gradient has none
        for name, value in entries.items():
            if name == "step":
                continue
            if value.shape != parameter.shape:
                raise ValueError("optimizer.safetensors is of another network")
            # Files are row-major. The fused step walks through memory, so a moment must lie as
            # its parameter does (channels last), or each meets the other's values.
            entries[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def _checkpoints(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    found = {}
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
    return found


def _flatten(state: dict[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimiser's state as named tensors, and what is left of it for JSON."""
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for number, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}.{name}"] = value
            else:
                plain.setdefault(str(number), {})[name] = value
    return tensors, {"groups": state["param_groups"], "plain": plain}


def _unflatten(tensors: dict[str, torch.Tensor], rest: dict[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    for number, entries in rest["plain"].items():
        state.setdefault(int(number), {}).update(entries)
    return {"state": state, "param_groups": rest["groups"]}
