"""Weights as safetensors files, and the hash by which a code names the weights it was made with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_write

Tensors = Mapping[str, torch.Tensor]


def weights_hash(state: Tensors) -> str:
    """sha256 over names, shapes, types and values, in the order of names; 32 hex digits."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def save_tensors(path: Path, state: Tensors) -> None:
    """Write named tensors as safetensors, atomically, in plain row-major layout."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic_write(path) as file:
        file.write(save(plain))


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises:
        UserError: absent, damaged or not a safetensors file.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such weights file")
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error})") from None


def load_weights(network: nn.Module, path: Path, what: str) -> None:
    """Load weights into `network` in place.

    Args:
        what: the network's name, for the message.

    Raises:
        UserError: the file's tensors are not this network's.
    """
    state = load_tensors(path)
    own = network.state_dict()
    absent = sorted(set(own) - set(state))
    extra = sorted(set(state) - set(own))
    shapes = [n for n in own if n in state and own[n].shape != state[n].shape]
    if absent or extra or shapes:
        name = (absent + extra + shapes)[0]
        raise UserError(
            f"{path}: weights of another network, not of {what}: {name} "
            + ("is absent" if absent else "is unknown" if extra else "has another shape")
        )
    network.load_state_dict(state)
