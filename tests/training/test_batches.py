"""Batches against a formula in NumPy, and the parts that a GPU uses, on the CPU."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from digit_images import digit_images

from neuralcodes.networks.registry import NetworkKind, get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.training import batches as module
from neuralcodes.training.batches import Batches, read_ahead

CPU = Runtime(torch.device("cpu"), "fp32")
IMAGES = digit_images(50).select(np.arange(49, -1, -1))
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def kind(plain: bool) -> NetworkKind:
    small = get_network("small")
    return small if plain else replace(small, mean=MEAN, std=STD)


@pytest.mark.parametrize("plain", [True, False])
def test_pixels(plain: bool) -> None:
    rows = np.array([7, 0, 7, 49])
    seen = Batches(IMAGES, kind(plain), CPU).pixels(torch.from_numpy(rows))
    wanted = IMAGES.read(rows).astype(np.float64) / 255.0
    if not plain:
        wanted = (wanted - np.array(MEAN)) / np.array(STD)
    assert seen.dtype == torch.float32 and seen.shape == (4, 3, 16, 16)
    assert seen.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(seen.numpy(), wanted.transpose(0, 3, 1, 2), atol=2e-6)


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("size", [1, 7, 50, 80])
def test_a_stream_is_all_rows_in_the_order_given(
    resident: bool, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOVED_AT_ONCE", 8)
    batches = Batches(IMAGES, kind(True), CPU)
    if resident:  # as on a GPU with room for the images
        batches._resident = batches._move_all()
    order = torch.randperm(50, generator=torch.Generator().manual_seed(3))
    parts = list(batches.stream(order, size))
    assert [len(labels) for _, labels in parts[:-1]] == [size] * (len(parts) - 1)
    pixels = torch.cat([part for part, _ in parts])
    labels = torch.cat([part for _, part in parts])
    assert torch.equal(labels, torch.from_numpy(IMAGES.label_array()[order.numpy()]))
    wanted = torch.from_numpy(IMAGES.read(order.numpy())).permute(0, 3, 1, 2) / 255.0
    assert torch.equal(pixels, wanted)


def test_images_are_left_alone() -> None:
    before = IMAGES.pixels.copy()
    batches = Batches(IMAGES, kind(True), CPU)
    batches._resident = batches._move_all()
    for _ in range(2):
        batches.pixels(torch.arange(50)).fill_(9)
    assert torch.equal(batches._resident, torch.from_numpy(IMAGES.read(np.arange(50))))
    assert np.array_equal(IMAGES.pixels, before)


def test_reading_ahead_keeps_the_order_and_its_distance() -> None:
    read: list[int] = []
    arrived = threading.Semaphore(0)

    def note(part: torch.Tensor) -> torch.Tensor:
        read.append(int(part))
        arrived.release()
        return part * 10

    stream = read_ahead(note, torch.arange(6), ahead=2)
    assert int(next(stream)) == 0
    for _ in range(3):  # the one given out and two beyond it, without being asked
        assert arrived.acquire(timeout=10)
    assert read == [0, 1, 2]
    assert [int(part) for part in stream] == [10, 20, 30, 40, 50]


def test_an_error_while_reading_ahead_arrives() -> None:
    def fail(part: torch.Tensor) -> torch.Tensor:
        if int(part) == 2:
            raise OSError("disk gone")
        return part

    seen = []
    with pytest.raises(OSError, match="disk gone"):
        for part in read_ahead(fail, torch.arange(5)):
            seen.append(int(part))
    assert seen == [0, 1]
