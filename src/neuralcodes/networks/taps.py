"""Tap any layer of any `torch.nn.Module` by name: all asked-for layers in one forward pass."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from neuralcodes.common.errors import UserError

SHOWN = 40  # layers that an error names


class _DeepestReached(BaseException):
    """Ends a forward pass once every asked-for layer has been seen. Never leaves this file.

    Not an `Exception`, so that a network which catches those lets it through.
    """


def layer_names(network: nn.Module) -> list[str]:
    """Names of all layers that can be tapped, in the order of definition.

    A module that is registered in two places has both names.
    """
    return [name for name, _ in network.named_modules(remove_duplicate=False) if name]


def resolve_layer(network: nn.Module, layer: str, aliases: Mapping[str, str]) -> str:
    """The module's own name of a layer given by alias or name.

    Raises:
        UserError: there is none; the message names the aliases and layers there are.
    """
    name = aliases.get(layer, layer)
    names = layer_names(network)
    if name not in names:
        known = list(aliases) + names
        shown = ", ".join(known[:SHOWN])
        if len(known) > SHOWN:
            shown += f" and {len(known) - SHOWN} more (see `neuralcodes layers`)"
        raise UserError(f"unknown layer {layer!r}; there are: {shown}")
    return name


class Tap:
    """Runs a network and returns the output of some of its layers.

    Args:
        network: any module; it is used as it is (call `.eval()` first for codes).
        layers: names as in `named_modules()`.

    The pass stops at the deepest asked-for layer. A layer that runs several times in one pass
    gives its first output; one that returns a tuple or a mapping gives its first tensor. Several
    threads may run taps of one network at the same time.

    Raises:
        KeyError: the network has no layer of that name (see `resolve_layer`).
    """

    def __init__(self, network: nn.Module, layers: Sequence[str]) -> None:
        modules = dict(network.named_modules(remove_duplicate=False))
        self.network = network
        self.layers = tuple(layers)
        self._modules = {name: modules[name] for name in self.layers}

    def __call__(self, *inputs: Any, **named_inputs: Any) -> dict[str, torch.Tensor]:
        """The layers' outputs by name, each with the batch in its first dimension.

        Raises:
            UserError: a layer did not run in this pass, or gave no tensor.
        """
        seen: dict[str, torch.Tensor] = {}
        # hooks sit on the shared module, so another thread's pass calls ours as well
        thread = threading.get_ident()

        def watch(name: str) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                if name in seen or threading.get_ident() != thread:
                    return
                value = first_tensor(output)
                if value is None:
                    raise UserError(
                        f"layer {name!r} gives a {type(output).__name__} without a tensor; "
                        "choose another"
                    )
                seen[name] = value
                if len(seen) == len(self._modules):
                    raise _DeepestReached
                # the pass goes on, and a later layer (ReLU) may write into this output
                seen[name] = value.clone()

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
            raise UserError(f"layer {absent[0]!r} does not run in a forward pass; choose another")
        return {name: seen[name] for name in self.layers}


def first_tensor(output: Any) -> torch.Tensor | None:
    """A layer's output, or the first tensor in the tuple, list or mapping that it gave."""
    if isinstance(output, torch.Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output
    if isinstance(parts, str) or not hasattr(parts, "__iter__"):
        return None
    return next((part for part in parts if isinstance(part, torch.Tensor)), None)
