"""Where and how numbers are computed: device, precision, memory layout, allocator.

The choice that depends on the machine (bf16 or fp32) is measured, not guessed from a name.
"""

from __future__ import annotations

import ctypes
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.common.machine import cpu_count

Precision = Literal["auto", "bf16", "fp32"]


@dataclass(frozen=True)
class Runtime:
    """A device and the precision of the products on it ("bf16" or "fp32")."""

    device: torch.device
    precision: Literal["bf16", "fp32"]

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 products with fp32 weights and sums, or nothing at fp32."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def place(self, network: nn.Module) -> nn.Module:
        """Move a network there, in channels-last layout (faster at either precision)."""
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def describe(self) -> dict[str, str]:
        """For the record."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        return {"device": name, "precision": self.precision}


def choose_runtime(device: str = "auto", precision: Precision = "auto") -> Runtime:
    """Pick the device (a GPU if there is one) and the faster precision on it.

    Raises:
        UserError: the device is not there, or the precision is not known.
    """
    tune_allocator()
    torch.set_num_threads(cpu_count())
    if precision not in ("auto", "bf16", "fp32"):
        raise UserError(f"--precision {precision}: choose auto, bf16 or fp32")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError):
        raise UserError(f"--device {device}: not on this machine; use cpu or auto") from None
    if precision == "auto":
        precision = "bf16" if _bf16_is_faster(place) else "fp32"
    return Runtime(place, precision)


def _bf16_is_faster(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    layer = nn.Conv2d(96, 96, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.rand(16, 96, 32, 32).to(memory_format=torch.channels_last)
    seconds = {}
    with torch.no_grad():
        for dtype in (torch.float32, torch.bfloat16):
            probe, data = layer.to(dtype), image.to(dtype)
            runs = []
            for _ in range(5):
                start = time.perf_counter()
                probe(data)
                runs.append(time.perf_counter() - start)
            seconds[dtype] = min(runs)
    return seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]


def tune_allocator() -> None:
    """Keep freed memory in the process, where the C library is glibc.

    By default glibc gives every large block back to the system, so that each training step faults
    in its activations anew: 92 against 137 images/s for the reference network (Zen 5, 2 cores).
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # another C library
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 256 * 2**20)
