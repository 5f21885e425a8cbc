"""The networks known by name.

A new one of ours is one file here with a builder under `@register`. One from outside is a module
with such a builder in any installed package that declares it, in its pyproject.toml, as

    [project.entry-points."neuralcodes.networks"]
    NAME = "package.module"
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from neuralcodes.common.errors import UserError

Builder = Callable[[int], nn.Module]

ENTRY_POINTS = "neuralcodes.networks"


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
    """Decorate a builder to make its network known under `name`.

    Raises:
        ValueError: another builder has that name.
    """

    def add(build: Builder) -> Builder:
        known = _KINDS.get(name)
        # the same function again is a module reloaded or a notebook cell run twice
        if known is not None and _place(known.build) != _place(build):
            raise ValueError(f"the network name {name!r} is taken by {_place(known.build)}")
        _KINDS[name] = NetworkKind(name, build, layers, default_layer, input_size, mean, std)
        return build

    return add


def network_names() -> list[str]:
    """Names of all registered networks, sorted.

    Raises:
        UserError: an installed plug-in cannot be loaded.
    """
    _load_own()
    _load_plugins()
    return sorted(_KINDS)


def get_network(name: str) -> NetworkKind:
    """The network of this name. Plug-ins are loaded only for a name that is not ours.

    Raises:
        UserError: there is none (the message names those there are), or a plug-in is broken.
    """
    if name not in _KINDS:
        _load_own()
    if name not in _KINDS:
        _load_plugins()
    if name not in _KINDS:
        raise UserError(f"unknown network {name!r}; there are: {', '.join(sorted(_KINDS))}")
    return _KINDS[name]


def _place(build: Builder) -> str:
    return f"{build.__module__}.{getattr(build, '__qualname__', type(build).__qualname__)}"


def _load_own() -> None:
    """Import every module of this folder once, so that each registers what it holds."""
    package = importlib.import_module("neuralcodes.networks")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"neuralcodes.networks.{module.name}")


def _load_plugins() -> None:
    """Import every module that an installed package declares (a second time costs nothing)."""
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except Exception as error:  # whatever somebody else's code may raise
            package = entry.dist.name if entry.dist else "an unknown package"
            raise UserError(
                f"network plug-in {entry.name!r} ({entry.value}, from {package}) cannot be loaded: "
                f"{type(error).__name__}: {' '.join(str(error).split())}; "
                "mend or uninstall that package"
            ) from error
