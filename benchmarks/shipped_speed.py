"""Images/s of the shipped network on this processor, beside the founding experiment's.

    python benchmarks/shipped_speed.py [--rounds 15] [--out results/shipped/speed.json]

From pixels in bytes to unit-length codes (`Encoder.encode`): `shipped@code` and `reference@L7`,
each at its input size, at fp32 and bf16, in turns in one process. The reference network has random
weights, which cost as much as learned ones. The interval is that of the mean over rounds; a ratio
is round by round.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_torch import our_encoder

from neuralcodes.codes.encoder import Encoder
from neuralcodes.common.files import write_json
from neuralcodes.common.machine import describe_machine, versions
from neuralcodes.common.racing import Ratio, take_turns
from neuralcodes.evaluation.score import bootstrap_interval

BATCH = 256
SETTLE = 0.3  # seconds between contestants, in which threads come to rest
PRECISIONS = ("fp32", "bf16")


def contestants() -> dict[str, Encoder]:
    """Encoders by name and precision."""
    wanted = {"shipped@code": (["code"], True), "reference@L7": (["L7"], False)}
    return {
        f"{name} {precision}": our_encoder(precision, layers, shipped=shipped)
        for precision in PRECISIONS
        for name, (layers, shipped) in wanted.items()
    }


def measure(rounds: int) -> dict[str, Any]:
    """What `speed.json` holds."""
    draw = np.random.default_rng(0)
    encoders = contestants()
    pixels = {
        name: draw.integers(0, 256, (BATCH, *one.preprocessing.size, 3), dtype=np.uint8)
        for name, one in encoders.items()
    }
    calls = {name: (lambda n=name: encoders[n].encode(pixels[n])) for name in encoders}
    seconds = take_turns(calls, rounds, settle=SETTLE)
    rates = {name: BATCH / np.array(taken) for name, taken in seconds.items()}
    spans = {name: bootstrap_interval(rate, 0.95, 0) for name, rate in rates.items()}
    ratios = {
        p: Ratio.of(seconds[f"shipped@code {p}"], seconds[f"reference@L7 {p}"]) for p in PRECISIONS
    }
    return {
        "images_per_second": {
            name: {"mean": float(rate.mean()), "low": spans[name][0], "high": spans[name][1]}
            for name, rate in rates.items()
        },
        "shipped_over_reference": {
            p: {"median": r.median, "low": r.low, "high": r.high} for p, r in ratios.items()
        },
        "weights": encoders["shipped@code fp32"].specs[0].weights,
        "rounds": rounds,
        "batch": BATCH,
        "sizes": {name: one.preprocessing.size for name, one in encoders.items()},
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg(),  # more than the cores: other work was there
        "machine": {**describe_machine(), "versions": versions()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("results/shipped/speed.json"))
    options = parser.parse_args()
    found = measure(options.rounds)
    for name, rate in found["images_per_second"].items():
        print(f"{name:20} {rate['mean']:7.0f} images/s ({rate['low']:.0f} to {rate['high']:.0f})")
    write_json(options.out, found)


if __name__ == "__main__":
    main()
