"""Weights as safetensors files, and the hash by which a code names the weights it was made with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn
from torch.overrides import TorchFunctionMode

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_write

Tensors = Mapping[str, torch.Tensor]


class unfilled(TorchFunctionMode):  # noqa: N801 - a context manager
    """Parameters of networks built in it get no initial values, since a file's shall replace them.

    Drawing millions of random numbers takes longer than reading them. (Building on the "meta"
    device does without them too, but loads 800 modules of PyTorch.)
    """

    def __torch_function__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Leave a parameter that is to be filled as it is."""
        given = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init" or func in _FILLING:
            tensor = args[0] if args else given["tensor"]
            if isinstance(tensor, nn.Parameter):
                return tensor
        return func(*args, **given)


_FILLING = (torch.Tensor.normal_, torch.Tensor.uniform_)


def weights_hash(state: Tensors) -> str:
    """sha256 over names, shapes, types and values, in the order of names; 32 hex digits."""
    return _hash(((name, state[name]) for name in sorted(state)), "")


def files_hash(files: Sequence[Path], settings: str) -> str:
    """The same over the tensors of safetensors files as they are stored, with one at a time in
    memory, and over a text that says what else shapes the network.

    Raises:
        UserError: a file is damaged.
    """
    with ExitStack() as opened:
        try:
            handles = [opened.enter_context(safe_open(str(file), "pt")) for file in files]
            place = {name: handle for handle in handles for name in handle.keys()}  # noqa: SIM118
            return _hash(((name, place[name].get_tensor(name)) for name in sorted(place)), settings)
        except (SafetensorError, OSError) as error:
            names = ", ".join(str(file) for file in files)
            raise UserError(f"{names}: not a whole safetensors file ({error})") from None


def _hash(tensors: Iterable[tuple[str, torch.Tensor]], settings: str) -> str:
    digest = hashlib.sha256(settings.encode())
    for name, value in tensors:
        tensor = _plain(value)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def halved(state: Tensors) -> dict[str, torch.Tensor]:
    """The tensors with floating-point ones in half precision (float16).

    Raises:
        UserError: a value is too large for it.
    """
    half = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    for name, tensor in half.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"half precision: {name} holds values above 65,504; save it whole")
    return half


def save_tensors(path: Path, state: Tensors, about: dict[str, str] | None = None) -> None:
    """Write named tensors as safetensors, atomically, in plain row-major layout.

    Args:
        about: texts for the file's header.

    Raises:
        UserError: full disk, no right to write, read-only file system.
    """
    plain: dict[str, torch.Tensor] = {}
    stored: set[int] = set()
    for name, tensor in state.items():
        value = _plain(tensor)
        # safetensors refuses tensors that share memory (tied weights): store each one whole
        place = value.untyped_storage().data_ptr()
        plain[name] = value.clone() if place in stored else value
        stored.add(place)
    # in memory first: save_file wraps a full disk in an error of its own and makes 0600 files
    content = save(plain, metadata=about)
    with atomic_write(path) as file:
        file.write(content)


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file, onto the CPU.

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
    """Load weights into `network` in place, in its own precision.

    Args:
        what: the network's name, for the message.

    Raises:
        UserError: the file is absent or damaged, or its tensors are not this network's.
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


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().contiguous()
