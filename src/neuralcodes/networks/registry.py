"""The networks known by name. A new one is one file here with a builder under `@register`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from neuralcodes.common.errors import UserError

Builder = Callable[[int], nn.Module]


@dataclass(frozen=True)
class NetworkKind:
    """A network by name, before it has weights.

    Attributes:
        name: what people type.
        build: number of classes → module that maps float N×3×H×W to logits N×classes.
        layers: aliases ("L5") → the module's own layer names.
        default_layer: the alias or layer that is the network's code when none is named.
        input_size: height and width its input must have.
        mean, std: per-channel normalisation of pixels in [0, 1].
    """

    name: str
    build: Builder
    layers: Mapping[str, str]
    default_layer: str
    input_size: tuple[int, int]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


_KINDS: dict[str, NetworkKind] = {}


def register(
    name: str,
    *,
    layers: Mapping[str, str],
    default_layer: str,
    input_size: tuple[int, int],
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Callable[[Builder], Builder]:
    """Decorate a builder to make its network known under `name`."""

    def add(build: Builder) -> Builder:
        _KINDS[name] = NetworkKind(name, build, layers, default_layer, input_size, mean, std)
        return build

    return add


def network_names() -> list[str]:
    """Names of all registered networks, sorted."""
    _load_all()
    return sorted(_KINDS)


def get_network(name: str) -> NetworkKind:
    """The network of this name.

    Raises:
        UserError: there is none; the message names those there are.
    """
    _load_all()
    if name not in _KINDS:
        raise UserError(f"unknown network {name!r}; there are: {', '.join(sorted(_KINDS))}")
    return _KINDS[name]


def _load_all() -> None:
    """Import every module of this folder once, so that each registers what it holds."""
    package = importlib.import_module("neuralcodes.networks")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"neuralcodes.networks.{module.name}")
