"""A network's layers as a table: name, output shape, parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from neuralcodes.networks.runtime import evaluating
from neuralcodes.networks.taps import first_tensor

BATCH = 2  # images in the trial pass; two, so that a first dimension of 1 is not taken for it


@dataclass(frozen=True)
class LayerRow:
    """One layer.

    Attributes:
        name: as in `named_modules()`; empty for the network itself.
        alias: the name that the network declares for it ("L5"), None without one.
        kind: the module's class.
        shape: of its first output for one image; None when it does not run, or gives no tensor
            with the batch in its first dimension.
        parameters: those of this very module; what its parts hold is in their rows, and a shared
            parameter counts where it is met first, so that the rows sum up to the network's.
        runs: how often it runs in one forward pass.
    """

    name: str
    alias: str | None
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    runs: int


def layer_table(
    network: nn.Module, input_size: tuple[int, int], aliases: Mapping[str, str] | None = None
) -> list[LayerRow]:
    """All layers in the order of definition, found by running a batch of zeros.

    Args:
        network: takes float N×3×H×W. On the "meta" device the pass costs neither time nor memory.
        input_size: height and width of its input.
        aliases: alias → layer name, as in `NetworkKind.layers`.

    The network itself has a row only when it holds parameters outside of any layer.
    """
    modules = dict(network.named_modules(remove_duplicate=False))
    runs, shapes = _trial_pass(network, input_size)
    alias_of = {name: alias for alias, name in (aliases or {}).items()}
    counted: set[int] = set()
    rows = []
    for name, module in modules.items():
        own = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        counted.update(id(p) for p in own)
        if not name and not own:
            continue
        rows.append(
            LayerRow(
                name=name,
                alias=alias_of.get(name),
                kind=type(module).__name__,
                shape=shapes.get(module),
                parameters=sum(p.numel() for p in own),
                runs=runs.get(module, 0),
            )
        )
    return rows


def render_table(rows: Sequence[LayerRow]) -> str:
    """The rows as text in aligned columns, with a heading and the sum of the parameters."""
    lines = [("layer", "alias", "kind", "output of an image", "parameters")]
    lines += [
        (
            row.name or "(the network)",
            row.alias or "",
            row.kind,
            _output(row),
            f"{row.parameters:,}",
        )
        for row in rows
    ]
    lines.append(("total", "", "", "", f"{sum(row.parameters for row in rows):,}"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        text.append("  ".join([*cells, line[-1].rjust(widths[-1])]))
    return "\n".join(text)


def _output(row: LayerRow) -> str:
    if not row.runs:
        return "does not run"
    shape = "not per image" if row.shape is None else "×".join(f"{n:,}" for n in row.shape)
    return shape if row.runs == 1 else f"{shape}, runs {row.runs} times"


def _trial_pass(
    network: nn.Module, input_size: tuple[int, int]
) -> tuple[dict[nn.Module, int], dict[nn.Module, tuple[int, ...] | None]]:
    """How often each module runs, and the shape per image of its first output."""
    runs: dict[nn.Module, int] = {}
    shapes: dict[nn.Module, tuple[int, ...] | None] = {}

    def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
        runs[module] = runs.get(module, 0) + 1
        if module not in shapes:
            value = first_tensor(output)
            per_image = value is not None and value.ndim > 0 and value.shape[0] == BATCH
            shapes[module] = tuple(value.shape[1:]) if value is not None and per_image else None

    like = next((p for p in network.parameters() if p.is_floating_point()), torch.empty(0))
    images = torch.zeros(BATCH, 3, *input_size, dtype=like.dtype, device=like.device)
    removes: list[Callable[[], None]] = [
        module.register_forward_hook(hook).remove for module in network.modules()
    ]
    try:
        with evaluating(network):
            network(images)
    finally:
        for remove in removes:
            remove()
    return runs, shapes
