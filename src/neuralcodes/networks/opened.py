"""A network with its weights, by name: a run folder or a weights file.

A weights file is a safetensors file whose header names the network and its number of classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.networks.registry import NetworkKind, get_network, network_names
from neuralcodes.networks.weights import load_weights, save_tensors, weights_hash

WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class OpenNetwork:
    """A network ready to be used.

    Attributes:
        name: as the user wrote it.
        kind: what it is an instance of.
        module: in evaluation mode, on the CPU until it is placed elsewhere.
        weights: hash of its weights.
        classes: number of classes it tells apart.
    """

    name: str
    kind: NetworkKind
    module: nn.Module
    weights: str
    classes: int

    @classmethod
    def of(cls, name: str, kind: NetworkKind, module: nn.Module, classes: int) -> OpenNetwork:
        """Wrap a module at hand."""
        return cls(name, kind, module.eval(), weights_hash(module.state_dict()), classes)


def save_network(path: Path, network: OpenNetwork) -> None:
    """Write the weights with a header that says what they are of, atomically."""
    about = {
        "network": network.kind.name,
        "classes": str(network.classes),
        "weights_hash": network.weights,
    }
    save_tensors(path, network.module.state_dict(), about)


def open_network(name: str) -> OpenNetwork:
    """Open a run folder or a weights file.

    Raises:
        UserError: nothing of that name; a network without weights; weights of another network.
    """
    path = Path(name)
    file = path / WEIGHTS_FILE if path.is_dir() else path
    if not file.is_file():
        if name in network_names():
            raise UserError(
                f"{name} is a network without weights; train it and give the run's folder instead"
            )
        if path.is_dir():
            raise UserError(f"{name}: holds no {WEIGHTS_FILE}; is the training finished?")
        raise UserError(f"{name}: no such run folder or weights file")
    try:
        with safe_open(str(file), "pt") as opened:
            about = opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: not a whole safetensors file ({error})") from None
    if not {"network", "classes", "weights_hash"} <= set(about):
        raise UserError(f"{file}: does not say which network it is of; save it with neuralcodes")
    kind, classes = get_network(about["network"]), int(about["classes"])
    module = kind.build(classes)
    load_weights(module, file, kind.name)
    network = OpenNetwork.of(name, kind, module, classes)
    if network.weights != about["weights_hash"]:
        raise UserError(f"{file}: damaged, its weights are not those that were saved")
    return network
