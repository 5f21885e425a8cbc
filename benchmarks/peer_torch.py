"""Plain PyTorch, and ours: contestants for `worker.py`, all in our own environment."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import get_network

CLASSES = 190


def _noise(count: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, size=(count, 64, 64, 3), dtype=np.uint8)
    return pixels, generator.integers(CLASSES, size=count)


def _autocast(precision: str) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


def plain_training(
    precision: str, batch: int, steps: int, compiled: bool = False
) -> Callable[[], None]:
    """The usual loop in eager PyTorch: default layout, default Adam."""
    network = get_network("reference").build(CLASSES).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, eps=1e-7, amsgrad=True)
    raw, wanted = _noise(batch)
    pixels = torch.from_numpy(raw).permute(0, 3, 1, 2).contiguous().float() / 255
    labels = torch.from_numpy(wanted)
    call = torch.compile(network) if compiled else network

    def work() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            with _autocast(precision):
                logits = call(pixels)
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()

    return work


def plain_forward(precision: str, batch: int, compiled: bool = False) -> Callable[[], None]:
    """One pass in eager PyTorch, to the logits."""
    network = get_network("reference").build(CLASSES).eval()
    pixels = torch.from_numpy(_noise(batch)[0]).permute(0, 3, 1, 2).contiguous().float() / 255
    call = torch.compile(network) if compiled else network

    def work() -> None:
        with torch.no_grad(), _autocast(precision):
            call(pixels).float().sum().item()

    return work


def our_training(precision: str, batch: int, steps: int) -> Callable[[], None]:
    """`train_once`: the loop as `neuralcodes train` runs it, images gathered and normalised."""
    from neuralcodes.images.imageset import ClassName, ImageSet
    from neuralcodes.networks.runtime import choose_runtime
    from neuralcodes.training.batches import Batches
    from neuralcodes.training.loop import train_once
    from neuralcodes.training.objective import Classes
    from neuralcodes.training.recipe import Recipe
    from neuralcodes.training.trainee import begin_training

    runtime = choose_runtime(precision=precision)  # type: ignore[arg-type]
    kind, recipe = get_network("reference"), Recipe(batch_size=batch)
    pixels, labels = _noise(batch * steps)
    images = ImageSet(
        pixels, np.arange(len(pixels)), tuple(map(str, range(len(pixels)))), labels,
        tuple(ClassName(str(c), str(c)) for c in range(CLASSES)), "noise", "noise",
    )  # fmt: skip
    batches = Batches(images, kind, runtime)
    trainee = begin_training(kind, CLASSES, images, recipe, runtime, None)

    def work() -> None:
        train_once(trainee, Classes(trainee.network, kind, recipe, runtime), batches, recipe, 1)

    return work


def our_encoder(precision: str, layers: list[str], shipped: bool = False) -> Any:
    """The encoder of the reference network with random weights, or of `shipped`."""
    from neuralcodes.codes.encoder import Encoder
    from neuralcodes.codes.spec import CodeRequest
    from neuralcodes.networks.opened import open_network
    from neuralcodes.networks.runtime import choose_runtime

    runtime = choose_runtime(precision=precision)  # type: ignore[arg-type]
    if shipped:
        network = open_network("shipped")
    else:
        kind = get_network("reference")
        network = OpenNetwork.of("noise", kind, kind.build(CLASSES), CLASSES)
    requests = [CodeRequest("noise", layer, None, ()) for layer in layers]
    return Encoder(network, requests, runtime)


def our_forward(precision: str, batch: int) -> Callable[[], None]:
    """`Encoder.encode` to the logits, normalisation and pixels in bytes included."""
    encoder = our_encoder(precision, ["dense8"])
    pixels = _noise(batch)[0]

    def work() -> None:
        encoder.encode(pixels)

    return work


def our_extraction(precision: str, images: str, out: str, batch: int) -> Callable[..., None]:
    """`Encoder.encode_images` of L5, L6 and L7 into files; or with `alone` the network only.

    Args:
        images: .npy of uint8 n×64×64×3.
    """
    from pathlib import Path

    from neuralcodes.images.imageset import ImageSet

    encoder = our_encoder(precision, ["L5", "L6", "L7"])
    pixels = np.load(images, mmap_mode="r")
    count = len(pixels)
    keys = tuple(map(str, range(count)))
    made = ImageSet(pixels, np.arange(count), keys, None, (), "real", "real")
    ready = torch.from_numpy(np.ascontiguousarray(pixels[:batch]))
    inputs = encoder.inputs(ready.numpy())

    def work(alone: bool = False) -> None:
        if not alone:
            encoder.encode_images(made, Path(out))
            return
        with torch.inference_mode(), encoder.runtime.autocast():
            for _ in range(count // batch):
                encoder.module[:20](inputs)

    return work


def product_rate(precision: str, side: int = 4096) -> Callable[[], float]:
    """Floating-point operations a second of square matrix products: the machine's limit."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    one, other = (torch.rand(side, side).to(kind) for _ in range(2))

    def work() -> float:
        best = 0.0
        for _ in range(2):
            start = time.perf_counter()
            one @ other
            best = max(best, 2 * side**3 / (time.perf_counter() - start))
        return best

    return work
