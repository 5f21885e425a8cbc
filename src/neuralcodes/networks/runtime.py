"""Where and how numbers are computed: device, precision, memory layout, allocator.

The choice that depends on the machine (bf16 or fp32) is measured, not guessed from a name.
"""

from __future__ import annotations

import copy
import ctypes
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.common.machine import cpu_count

_log = logging.getLogger(__name__)

Precision = Literal["auto", "bf16", "fp32"]


@dataclass(frozen=True)
class Runtime:
    """A device and the precision of the products on it ("bf16" or "fp32").

    `compiled` asks for `torch.compile` with CUDA graphs in training.
    """

    device: torch.device
    precision: Literal["bf16", "fp32"]
    compiled: bool = False

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 products with fp32 weights and sums, or nothing at fp32."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def place(self, network: nn.Module) -> nn.Module:
        """Move a network there, in channels-last layout (faster at either precision)."""
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def training_forward(self, network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """The network's forward pass for training steps, compiled if that was asked for.

        The weights stay in `network`, under their own names.
        """
        if not self.compiled:
            return network
        # "reduce-overhead" records the pass and its gradient as CUDA graphs: at batch 100 a
        # GPU's time goes into launching kernels. Not yet run on a GPU; on a CPU the compiled pass
        # was seen to train as well as the plain one, with other draws of dropout.
        return torch.compile(network, mode="reduce-overhead", dynamic=False)

    def describe(self) -> dict[str, str]:
        """For the record."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        return {"device": name, "precision": self.precision}


def choose_runtime(
    device: str = "auto", precision: Precision = "auto", *, compiled: bool = False
) -> Runtime:
    """Pick the device (a GPU if there is one) and the faster precision on it.

    Takes all processors that this process may use, unless OMP_NUM_THREADS says otherwise.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "auto" measures on a CPU; on a GPU it is bf16 where the GPU has it.
        compiled: train with `torch.compile` and CUDA graphs (GPU only; takes a minute to start).

    Raises:
        UserError: the device is not there, or the precision is not known.
    """
    if precision not in ("auto", "bf16", "fp32"):
        raise UserError(f"--precision {precision}: choose auto, bf16 or fp32")
    place = _find_device(device)
    if compiled and place.type != "cuda":
        raise UserError("compiled=True: only on an NVIDIA GPU; leave it out")
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(cpu_count())
    if place.type == "cpu":
        tune_allocator()
    if precision == "auto":
        precision = "bf16" if _bf16_is_faster(place) else "fp32"
    if place.type == "cuda":
        _tune_cuda(precision)
    _log.debug("device %s, precision %s", place, precision)
    return Runtime(place, precision, compiled)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every part has the mode that it had."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def _find_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(name)
        if place.type not in ("cpu", "cuda"):
            raise UserError(f"--device {name}: choose auto, cpu or cuda")
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError):
        raise UserError(f"--device {name}: not on this machine; use cpu or auto") from None
    return place


def _tune_cuda(precision: Literal["bf16", "fp32"]) -> None:
    """Settings that could not be tried here, where there is no GPU, and so are the safe ones."""
    # A resumed run shall give the weights of an unbroken one, so no kernels that add up in
    # random order and no timing contest between kernels (cudnn.benchmark). What that costs in
    # speed is still to be measured.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    # by default PyTorch's fp32 convolutions are TF32 on a GPU, with 10 bits of mantissa
    if precision == "fp32":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def _bf16_is_faster(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    layer = nn.Conv2d(96, 96, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.rand(16, 96, 32, 32).to(memory_format=torch.channels_last)
    kinds = (torch.float32, torch.bfloat16)
    probes = [(kind, copy.deepcopy(layer).to(kind), image.to(kind)) for kind in kinds]
    seconds = dict.fromkeys(kinds, float("inf"))
    with torch.no_grad():
        # in turns, so that other work on the machine slows both alike
        for _ in range(5):
            for kind, probe, data in probes:
                start = time.perf_counter()
                probe(data)
                seconds[kind] = min(seconds[kind], time.perf_counter() - start)
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
