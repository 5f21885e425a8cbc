"""3×3 convolutions of small maps as plain matrix products, in training at bf16 on CPUs with AMX.

There the library's gradient by the weights takes 23 to 72 ms where the product that it amounts to
takes 9 to 12 (128 images, 256 maps of 6×6 and 512 of 3×3, one core): its tiles hold 16 rows, and a
row of a small map has 3 or 6 pixels. The numbers are the same but for the order of the sums.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from neuralcodes.networks.runtime import Runtime

# Pixels of a map that comes out, up to which products were faster (results/EXPERIMENTS.md).
LARGEST = 64
LARGEST_STRIDED = 144  # where a stride of 2 leaves a quarter of them
LARGEST_WHOLLY = 16  # forward and by the input too, not by the weights alone


def use_products(network: nn.Module, runtime: Runtime) -> int:
    """Let the 3×3 convolutions of `network` train by products; how many of them may.

    Only what is computed in training changes: not the weights, their names, or evaluation. Without
    AMX, at fp32 and on a GPU nothing changes at all.
    """
    amx = runtime.device.type == "cpu" and torch.cpu.get_capabilities().get("amx_bf16", False)
    if not amx or runtime.precision != "bf16":
        return 0
    fit = [module for module in network.modules() if _fits(module)]
    for module in fit:
        module.__class__ = _Convolution  # the same parameters and hooks
    return len(fit)


def _fits(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and (module.kernel_size, module.padding, module.dilation) == ((3, 3), (1, 1), (1, 1))
        and module.stride in ((1, 1), (2, 2))
        and (module.groups, module.padding_mode, module.bias) == (1, "zeros", None)
    )


class _Convolution(nn.Conv2d):
    """A convolution that is learned by products where its maps are small."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps N×C×H×W → N×C'×H'×W'."""
        stride = self.stride[0]
        height, width = _outgoing(maps, stride)
        small = height * width <= (LARGEST if stride == 1 else LARGEST_STRIDED)
        learning = torch.is_grad_enabled() and self.training and torch.is_autocast_enabled("cpu")
        if not (small and learning):
            return super().forward(maps)
        made: torch.Tensor = _Products.apply(  # type: ignore[no-untyped-call]
            maps.to(torch.bfloat16), self.weight.to(torch.bfloat16), stride
        )
        return made


class _Products(torch.autograd.Function):
    """A 3×3 convolution padded by 1, bf16, channels last."""

    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
        maps = maps.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(maps, weight)
        ctx.stride = stride
        height, width = _outgoing(maps, stride)
        ctx.wholly = height * width <= LARGEST_WHOLLY
        if not ctx.wholly:
            return F.conv2d(maps, weight, None, stride, 1)
        rows = neighbourhoods(maps, stride) @ weight.permute(0, 2, 3, 1).flatten(1).T
        return rows.view(len(maps), height, width, len(weight)).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        maps, weight = ctx.saved_tensors
        slope = slope.contiguous(memory_format=torch.channels_last)
        outgoing, incoming = weight.shape[:2]
        by_maps = by_weight = None
        if ctx.needs_input_grad[1]:
            rows = slope.permute(0, 2, 3, 1).reshape(-1, outgoing)
            products = rows.T @ neighbourhoods(maps, ctx.stride)
            by_weight = products.view(outgoing, 3, 3, incoming).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[0]:
            by_maps = _by_maps(maps, weight, slope, ctx.stride, ctx.wholly)
        return by_maps, by_weight, None


def _by_maps(
    maps: torch.Tensor, weight: torch.Tensor, slope: torch.Tensor, stride: int, wholly: bool
) -> torch.Tensor:
    if wholly and stride == 1:  # a convolution with the mirrored kernel
        mirrored = weight.flip(2, 3).permute(2, 3, 0, 1).flatten(0, 2)
        count, incoming, height, width = maps.shape
        rows = neighbourhoods(slope, 1) @ mirrored
        return rows.view(count, height, width, incoming).permute(0, 3, 1, 2)
    found: torch.Tensor = torch.ops.aten.convolution_backward(
        slope, maps, weight, None, [stride] * 2, [1, 1], [1, 1], False, [0, 0], 1,
        [True, False, False],
    )[0]  # fmt: skip
    return found


def _outgoing(maps: torch.Tensor, stride: int) -> tuple[int, int]:
    return (maps.shape[2] - 1) // stride + 1, (maps.shape[3] - 1) // stride + 1


def neighbourhoods(maps: torch.Tensor, stride: int) -> torch.Tensor:
    """What a 3×3 kernel, padded by 1, sees at each of its places.

    Args:
        maps: N×C×H×W, channels last.
        stride: of the kernel, 1 or 2.

    Returns:
        (N·H'·W')×(9·C), a row a place; in a row the 9 pixels one after the other.
    """
    height, width = _outgoing(maps, stride)
    padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    image, down, across, channel = padded.stride()
    seen = padded.as_strided(
        (len(maps), height, width, 3, 3, maps.shape[1]),
        (image, down * stride, across * stride, down, across, channel),
    )
    return seen.reshape(len(maps) * height * width, -1)
