"""Tap any layer of any `torch.nn.Module` by name: all asked-for layers in one forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from neuralcodes.common.errors import UserError


class _DeepestReached(Exception):
    """Ends a forward pass once every asked-for layer has been seen. Never leaves this file."""


def layer_names(network: nn.Module) -> list[str]:
    """Names of all layers that can be tapped, in the order of definition."""
    return [name for name, _ in network.named_modules() if name]


def resolve_layer(network: nn.Module, layer: str, aliases: Mapping[str, str]) -> str:
    """The module's own name of a layer given by alias or name.

    Raises:
        UserError: there is none; the message names the aliases and layers there are.
    """
    name = aliases.get(layer, layer)
    names = layer_names(network)
    if name not in names:
        known = list(aliases) + names
        shown = ", ".join(known[:40]) + (", …" if len(known) > 40 else "")
        raise UserError(f"unknown layer {layer!r}; there are: {shown}")
    return name


class Tap:
    """Runs a network and returns the output of some of its layers.

    Args:
        network: any module; it is used as it is (call `.eval()` first for codes).
        layers: names as in `named_modules()`.

    The pass stops at the deepest asked-for layer. A layer that runs several times in one pass
    gives its first output; one that returns a tuple or a mapping gives its first tensor.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str]) -> None:
        modules = dict(network.named_modules())
        self.network = network
        self.layers = tuple(layers)
        self._modules = {name: modules[name] for name in self.layers}

    def __call__(self, *inputs: Any, **named_inputs: Any) -> dict[str, torch.Tensor]:
        """The layers' outputs by name, each with the batch in its first dimension.

        Raises:
            RuntimeError: a layer did not run in this pass.
        """
        seen: dict[str, torch.Tensor] = {}

        def watch(name: str) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                if name in seen:
                    return
                seen[name] = _first_tensor(output)
                if len(seen) == len(self._modules):
                    raise _DeepestReached
                # the pass goes on, and a later layer (ReLU) may write into this output
                seen[name] = seen[name].clone()

            return hook

        handles = [
            module.register_forward_hook(watch(name)) for name, module in self._modules.items()
        ]
        try:
            self.network(*inputs, **named_inputs)
        except _DeepestReached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        absent = [name for name in self.layers if name not in seen]
        if absent:
            raise RuntimeError(f"layer {absent[0]} did not run in this forward pass")
        return {name: seen[name] for name in self.layers}


def _first_tensor(output: Any) -> torch.Tensor:
    if isinstance(output, torch.Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output
    for part in parts:
        if isinstance(part, torch.Tensor):
            return part
    raise TypeError(f"a layer's output of type {type(output).__name__} holds no tensor")
