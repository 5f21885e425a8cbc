"""The choice of device and precision."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.networks.runtime import Runtime, choose_runtime, evaluating

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("device", "precision", "compiled", "reason"),
    [
        ("gpu7", "auto", False, "--device gpu7: not on this machine"),
        ("cuda:99", "auto", False, "--device cuda:99: not on this machine"),
        ("meta", "auto", False, "--device meta: choose auto, cpu or cuda"),
        ("cpu", "fp8", False, "--precision fp8: choose"),
        ("cpu", "fp32", True, "compiled=True: only on"),
    ],
)
def test_what_is_refused(device: str, precision: str, compiled: bool, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        choose_runtime(device, precision, compiled=compiled)  # type: ignore[arg-type]
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_the_cpu() -> None:
    runtime = choose_runtime("cpu", "fp32")
    assert runtime == Runtime(CPU, "fp32")
    assert runtime.describe() == {"device": "cpu", "precision": "fp32"}
    assert choose_runtime("cpu", "auto").precision in ("bf16", "fp32")


def test_precision_decides_the_products() -> None:
    layer = nn.Linear(4, 4)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with Runtime(CPU, precision).autocast():  # type: ignore[arg-type]
            assert layer(torch.rand(2, 4)).dtype == dtype
    assert layer.weight.dtype == torch.float32


def test_networks_are_placed_channels_last() -> None:
    placed = Runtime(CPU, "fp32").place(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(2, 2)))
    assert placed[0].weight.stride() == (27, 1, 9, 3)  # type: ignore[index]


@pytest.mark.parametrize(("asked", "wanted"), [("1", 1), (None, None)])
def test_threads_are_the_users_choice_first(asked: str | None, wanted: int | None) -> None:
    code = (
        "import os, torch; from neuralcodes.networks.runtime import choose_runtime;"
        "from neuralcodes.common.machine import cpu_count;"
        "choose_runtime('cpu', 'fp32'); print(torch.get_num_threads(), cpu_count())"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    if asked:
        environment["OMP_NUM_THREADS"] = asked
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    threads, processors = map(int, done.stdout.split())
    assert threads == (wanted or processors)


def test_evaluating_gives_every_part_its_mode_back() -> None:
    network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)).train()
    network[1].eval()
    with pytest.raises(ZeroDivisionError), evaluating(network):
        assert not network.training and not network[0].training
        assert not torch.is_grad_enabled()
        raise ZeroDivisionError
    assert network.training and network[0].training and not network[1].training
    assert torch.is_grad_enabled()
