"""A network with its weights, by name.

A name is one of: a run folder or a weights file; `shipped`, for the weights that this package
carries; `SOURCE:NAME[#REVISION]` for a pretrained network of another library (`SOURCES`).

A weights file is a safetensors file whose header names the network and its number of classes.
"""

from __future__ import annotations

import importlib
import importlib.resources
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.networks.names import (
    SHIPPED,
    SOURCES,
    WEIGHTS_FILE,
    shipped_file,
    source_of,
)
from neuralcodes.networks.registry import NetworkKind, get_network, network_names
from neuralcodes.networks.weights import halved, load_weights, save_tensors, unfilled, weights_hash

_log = logging.getLogger(__name__)

TextSide = Callable[[Sequence[str]], torch.Tensor]
"""Texts → float n×d, on any device, in the space of the network's default layer."""


@dataclass(frozen=True)
class OpenNetwork:
    """A network ready to be used.

    Attributes:
        name: by which it can be opened again: as the user wrote it, but for a pretrained network
            with the revision that was found.
        kind: what it is an instance of.
        module: in evaluation mode, on the CPU until it is placed elsewhere.
        weights: hash of its weights; of a pretrained network also of its settings.
        classes: number of classes it tells apart; 0 for a pretrained network.
        text: its text side, where it has one.
    """

    name: str
    kind: NetworkKind
    module: nn.Module
    weights: str
    classes: int
    text: TextSide | None = None

    @classmethod
    def of(cls, name: str, kind: NetworkKind, module: nn.Module, classes: int) -> OpenNetwork:
        """Wrap a module at hand."""
        return cls(name, kind, module.eval(), weights_hash(module.state_dict()), classes)


def save_network(path: Path, network: OpenNetwork, *, half: bool = False) -> None:
    """Write the weights with a header that says what they are of, atomically.

    Args:
        path: of the file.
        network: of ours.
        half: round them to half precision. What is opened from that file is the rounded network,
            whose codes differ a little and whose hash is another.

    Raises:
        UserError: full disk, no right to write, or weights too large for half precision.
    """
    state, saved = network.module.state_dict(), network.weights
    if half:
        rounded = halved(state)
        saved = weights_hash({name: rounded[name].to(state[name].dtype) for name in state})
        state = rounded
    about = {
        "network": network.kind.name,
        "classes": str(network.classes),
        "weights_hash": saved,
    }
    save_tensors(path, state, about)


def open_network(name: str) -> OpenNetwork:
    """Open a network by name; see above for the kinds of names.

    Raises:
        UserError: nothing of that name; a network without weights; weights of another network; a
            pretrained network that is not on this machine and cannot be had.
    """
    opened = _open(name)
    _log.info("opened network %s (weights %s)", opened.name, opened.weights)
    return opened


def _open(name: str) -> OpenNetwork:
    source = source_of(name)
    if source is not None:
        opened: OpenNetwork = importlib.import_module(SOURCES[source]).open_pretrained(name)
        return opened
    if name == SHIPPED:
        return _open_shipped()
    path = Path(name)
    file = path / WEIGHTS_FILE if path.is_dir() else path
    if not file.is_file():
        if name in network_names():
            raise UserError(
                f"{name} is a network without weights; train it and give the run's folder instead"
            )
        if path.is_dir():
            raise UserError(f"{name}: holds no {WEIGHTS_FILE}; is the training finished?")
        raise UserError(
            f"{name}: no such run folder or weights file; names of pretrained networks begin with "
            f"{', '.join(f'{known}:' for known in SOURCES)}"
        )
    return _open_file(name, file)


def _open_shipped() -> OpenNetwork:
    with ExitStack() as held:
        place = shipped_file()
        if not place.is_file():
            raise UserError(
                f"{SHIPPED}: this copy of neuralcodes carries no weights; install a release, or "
                "give a run folder, a weights file or a pretrained network (hf:NAME)"
            )
        return _open_file(SHIPPED, held.enter_context(importlib.resources.as_file(place)))


def _open_file(name: str, file: Path) -> OpenNetwork:
    try:
        with safe_open(str(file), "pt") as opened:
            about = opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: not a whole safetensors file ({error})") from None
    if not {"network", "classes", "weights_hash"} <= set(about):
        raise UserError(f"{file}: does not say which network it is of; save it with neuralcodes")
    kind, classes = get_network(about["network"]), int(about["classes"])
    with unfilled():
        module = kind.build(classes)
    load_weights(module, file, kind.name)
    network = OpenNetwork.of(name, kind, module, classes)
    if network.weights != about["weights_hash"]:
        raise UserError(f"{file}: damaged, its weights are not those that were saved")
    return network
