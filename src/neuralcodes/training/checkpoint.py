"""One checkpoint an epoch: weights, optimiser state and history; no pickle, written atomically.

A checkpoint is a folder `epoch-0007` with `weights.safetensors`, `optimizer.safetensors` and
`state.json`. It appears whole or not at all, and older ones leave only after that.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_folder, read_json
from neuralcodes.networks.weights import load_tensors, load_weights
from neuralcodes.training.history import Epoch, History

_NAME = re.compile(r"epoch-(\d{4})")


def save_checkpoint(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: History,
    config: dict[str, Any],
    keep_best: bool,
) -> Path:
    """Write the checkpoint of the epoch just finished and drop those no longer needed.

    Args:
        folder: the run's `checkpoints` folder.
        config: what a resumed run must agree with.
        keep_best: also keep the checkpoint with the lowest validation loss.

    Raises:
        UserError: full disk or no right to write.
    """
    epoch = history[-1].epoch
    path = folder / f"epoch-{epoch:04d}"
    tensors, rest = _flatten(optimizer.state_dict())
    with atomic_folder(path) as work:
        weights = {n: t.detach().cpu().contiguous() for n, t in network.state_dict().items()}
        save_file(weights, work / "weights.safetensors")
        save_file(tensors, work / "optimizer.safetensors")
        state = {
            "epoch": epoch,
            "config": config,
            "optimizer": rest,
            "history": [asdict(entry) for entry in history],
        }
        (work / "state.json").write_text(json.dumps(state, indent=1))
    needed = {epoch}
    if keep_best:
        needed.add(min(history, key=lambda entry: entry.val_loss).epoch)
    for number, older in _checkpoints(folder).items():
        if number not in needed:
            shutil.rmtree(older)
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the highest epoch, None when there is none."""
    found = _checkpoints(folder)
    return found[max(found)] if found else None


def checkpoint_of(folder: Path, epoch: int) -> Path:
    """The checkpoint of this epoch."""
    return folder / f"epoch-{epoch:04d}"


def load_checkpoint(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: dict[str, Any],
) -> History:
    """Load network and optimiser in place and give the history so far.

    Raises:
        UserError: the checkpoint is damaged, or was made with another configuration.
    """
    state = read_json(path / "state.json")
    for key, value in config.items():
        if state["config"].get(key) != value:
            raise UserError(
                f"{path}: made with {key} = {state['config'].get(key)!r}, asked for {value!r}; "
                "resume with the same options, or start a new run with another --out"
            )
    load_weights(network, path / "weights.safetensors", str(config.get("network", "this run")))
    flat = load_tensors(path / "optimizer.safetensors")
    optimizer.load_state_dict(_unflatten(flat, state["optimizer"]))
    return [Epoch(**entry) for entry in state["history"]]


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
                tensors[f"{number}.{name}"] = value.detach().cpu().contiguous()
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
