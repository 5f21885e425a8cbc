"""The networks known by name.

A new one of ours is one file here with a builder under `@register`. One from outside is a module
with such a builder in any installed package that declares it, in its pyproject.toml, as

    [project.entry-points."neuralcodes.networks"]
    NAME = "package.module"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.common.plugins import Registry
from neuralcodes.images.resizing import Resize

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
        resize: how images of another shape become so; see `neuralcodes.images.resizing.Resize`.
        patches: rows and columns of a transformer's image tokens.
    """

    name: str
    build: Builder
    layers: Mapping[str, str]
    default_layer: str
    input_size: tuple[int, int]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    resize: Resize = "crop"
    patches: tuple[int, int] | None = None


_KINDS: Registry[NetworkKind] = Registry("network", "neuralcodes.networks", ENTRY_POINTS)


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
        kind = NetworkKind(name, build, layers, default_layer, input_size, mean, std)
        _KINDS.add(name, build, kind)
        return build

    return add


def network_names() -> list[str]:
    """Names of all registered networks, sorted.

    Raises:
        UserError: an installed plug-in cannot be loaded.
    """
    return list(_KINDS.all())


def get_network(name: str) -> NetworkKind:
    """The network of this name. Plug-ins are loaded only for a name that is not ours.

    Raises:
        UserError: there is none (the message names those there are), or a plug-in is broken.
    """
    kind = _KINDS.find(name)
    if kind is None:
        raise UserError(f"unknown network {name!r}; there are: {', '.join(network_names())}")
    return kind
