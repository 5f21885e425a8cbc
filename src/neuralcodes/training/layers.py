"""Which weights a network starts with, which of its layers learn, and how fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from neuralcodes.common.errors import UserError
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import NetworkKind
from neuralcodes.networks.runtime import evaluating
from neuralcodes.networks.taps import resolve_layer

NORMALISATION = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def take_weights(network: nn.Module, start: OpenNetwork) -> list[str]:
    """Copy the weights of `start` into `network` and give the names of those that do not fit.

    Raises:
        UserError: none fits.
    """
    own = network.state_dict()
    given = start.module.state_dict()
    fit = {n: v for n, v in given.items() if n in own and own[n].shape == v.shape}
    if not fit:
        raise UserError(f"--from {start.name}: no layer of it fits this network")
    network.load_state_dict(fit, strict=False)
    return [name for name in own if name not in fit]


@torch.no_grad()
def blend_weights(network: nn.Module, start: OpenNetwork, share: float) -> None:
    """Move the weights that `take_weights` took to `share` of the way from there, in place.

    Half the way keeps most of what was learnt, and most of what was known of other things ("Robust
    fine-tuning of zero-shot models", Wortsman et al., CVPR 2022).
    """
    own, given = network.state_dict(), start.module.state_dict()
    for name, learnt in own.items():
        first = given.get(name)
        if first is not None and first.shape == learnt.shape and learnt.is_floating_point():
            learnt.lerp_(first.to(learnt), 1 - share)


@dataclass(frozen=True)
class Learning:
    """How the layers of a network learn.

    Attributes:
        steady: modules that stay in evaluation mode, so that batch normalisation keeps its
            statistics and dropout is off. Those that are frozen keep their weights too: their
            outputs are as before.
        scales: by parameter, the share of the learning rate that it moves by; 1 where it is not
            named.
    """

    steady: tuple[nn.Module, ...]
    scales: Mapping[nn.Parameter, float]

    def start_epoch(self, network: nn.Module) -> None:
        """Training mode for all that learns."""
        network.train()
        for module in self.steady:
            module.eval()


def prepare_layers(
    network: nn.Module,
    kind: NetworkKind,
    freeze: str = "",
    decay: float = 1.0,
    keep_statistics: bool = False,
) -> Learning:
    """Freeze the first layers of a network, in place, and say how fast the others learn.

    Args:
        network: placed where it trains.
        kind: of it.
        freeze: everything up to and including this layer stops learning; "" freezes nothing.
            What comes before a layer is what has run when its output is there.
        decay: the last block with weights (the classifier) moves by the whole learning rate, and
            each block before it by `decay` times that of the one behind.
        keep_statistics: of batch normalisation in all layers.

    Raises:
        UserError: no such layer, or the network's code could not change any more.
    """
    steady: tuple[nn.Module, ...] = ()
    if keep_statistics:
        steady = tuple(part for part in network.modules() if isinstance(part, _BatchNorm))
    if not freeze and decay == 1:
        return Learning(steady, {})
    order = run_order(network, kind.input_size)
    frozen: tuple[nn.Module, ...] = ()
    if freeze:
        frozen = tuple(_up_to(freeze, network, kind, order))
        for module in frozen:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
        code = _up_to(kind.default_layer, network, kind, order)
        if not any(p.requires_grad for part in code for p in part.parameters(recurse=False)):
            raise UserError(
                f"--freeze {freeze}: the code {kind.default_layer} of {kind.name} could not change "
                "any more; freeze an earlier layer"
            )
    scales = {
        parameter: decay**back
        for back, block in enumerate(reversed(blocks(network, order)))
        for part in block
        for parameter in part.parameters()
    }
    return Learning(steady + frozen, scales if decay != 1 else {})


def run_order(network: nn.Module, input_size: tuple[int, int]) -> list[nn.Module]:
    """The modules that run, by when they first finish, found by a pass of two blank images."""
    finished: dict[nn.Module, None] = {}

    def hook(module: nn.Module, _inputs: object, _output: object) -> None:
        finished.setdefault(module)

    like = next(network.parameters())
    images = torch.zeros(2, 3, *input_size, dtype=like.dtype, device=like.device)
    handles = [module.register_forward_hook(hook) for module in network.modules()]
    try:
        with evaluating(network):
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return list(finished)


def blocks(network: nn.Module, order: list[nn.Module]) -> list[list[nn.Module]]:
    """The parts that hold weights, from input to output.

    A block is a child of the network; a row of children that are built of parts themselves
    (residual blocks) counts each; a normalisation belongs to the block before it.

    Args:
        order: of `run_order`.
    """
    parts = _parts(network)
    while len(parts) == 1 and list(parts[0].children()):
        parts = _parts(parts[0])  # the whole network in a wrapper
    place = {module: number for number, module in enumerate(order)}
    found: list[list[nn.Module]] = []
    for part in sorted(parts, key=lambda part: place.get(part, len(order))):
        if found and isinstance(part, NORMALISATION):
            found[-1].append(part)
        else:
            found.append([part])
    return found


def _parts(module: nn.Module) -> list[nn.Module]:
    parts: list[nn.Module] = []
    for child in module.children():
        if not _has_weights(child):
            continue
        inner = [part for part in child.children() if _has_weights(part)]
        row = isinstance(child, nn.Sequential | nn.ModuleList)
        if row and any(list(part.children()) for part in inner):
            parts += _parts(child)
        else:
            parts.append(child)
    return parts


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _up_to(
    layer: str, network: nn.Module, kind: NetworkKind, order: list[nn.Module]
) -> list[nn.Module]:
    try:
        name = resolve_layer(network, layer, kind.layers)
    except UserError as error:
        raise UserError(f"--freeze: {error}") from None
    module = dict(network.named_modules(remove_duplicate=False))[name]
    if module not in order:
        raise UserError(f"--freeze {layer}: does not run in a forward pass; choose another")
    return order[: order.index(module) + 1]
