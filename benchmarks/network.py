"""A training step and a forward pass of the reference network at batch 100, against peers.

    make .venv-bench/ready
    python benchmarks/network.py step|forward [ROUNDS] [STEPS]

All contestants are processes that stay warm, on the same number of threads, and take turns. Ours
are what users run: the training loop (images gathered from bytes, accuracy counted) and
`Encoder.encode` (bytes in, unit-length values out); the peers' data lie ready as floats. The limit
is the rate of a square matrix product at the same precision, in the same rounds.

Operations: 1,017 million multiplications and additions an image forward, of which the 5×5
convolution is 472 and the 3×3 ones 488; three times that for a step, less the first layer's
gradient to the pixels.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

from harness import OURS, Ratio, Worker, peer_versions, record, start_workers, take_turns

BATCH = 100
MACS = 1_017.1e6  # an image, forward
FIRST = 18.9e6  # of these in the first layer
SETTLE = 0.3


def contestants(kind: str, steps: int) -> dict[str, Any]:
    ours, sizes = ("our_training", {"batch": BATCH, "steps": steps}), {"batch": BATCH}
    name = "training" if kind == "step" else "forward"
    if kind == "step":
        sizes["steps"] = steps
    else:
        ours = ("our_forward", {"batch": BATCH})

    def keras(backend: str, precision: str) -> Any:
        return lambda: Worker(f"peer_keras:{name}", backend=backend, precision=precision, **sizes)

    def plain(precision: str, compiled: bool = False) -> Any:
        return lambda: Worker(
            f"peer_torch:plain_{name}", OURS, precision=precision, compiled=compiled, **sizes
        )

    return {
        "ours bf16": lambda: Worker(f"peer_torch:{ours[0]}", OURS, precision="bf16", **ours[1]),
        "ours fp32": lambda: Worker(f"peer_torch:{ours[0]}", OURS, precision="fp32", **ours[1]),
        "TensorFlow bf16": keras("tensorflow", "bf16"),
        "TensorFlow fp32": keras("tensorflow", "fp32"),
        "Keras on PyTorch fp32": keras("torch", "fp32"),
        "PyTorch bf16": plain("bf16"),
        "PyTorch fp32": plain("fp32"),
        "PyTorch compiled bf16": plain("bf16", True),
    }  # fmt: skip


def main(kind: str, rounds: int, steps: int) -> None:
    """Race and record."""
    running, absent = start_workers(contestants(kind, steps))
    rate = {p: Worker("peer_torch:product_rate", OURS, precision=p) for p in ("bf16", "fp32")}
    rates: dict[str, list[float]] = {"bf16": [], "fp32": []}
    calls: dict[str, Any] = {name: worker.timed() for name, worker in running.items()}
    for precision, worker in rate.items():

        def limit(p: str = precision, w: Worker = worker) -> None:
            rates[p].append(float(w.ask()["result"]))

        calls[f"rate {precision}"] = limit
    seconds = take_turns(calls, rounds, settle=SETTLE)
    for worker in (*running.values(), *rate.values()):
        worker.close()
    best = min(("ours bf16", "ours fp32"), key=lambda n: statistics.median(seconds[n]))
    images = BATCH * (steps if kind == "step" else 1)
    ratios = {n: Ratio.of(seconds[best], seconds[n]) for n in running if not n.startswith("ours")}
    precision = best.split()[1]
    operations = 2 * images * ((3 * MACS - FIRST) if kind == "step" else MACS)
    share = operations / statistics.median(seconds[best]) / statistics.median(rates[precision])
    target = "at least 1.2 times the best peer" + (
        ", and 70 % of the matrix-product rate" if kind == "step" else ""
    )
    met = min(r.median for r in ratios.values()) >= 1.2 and (kind == "forward" or share >= 0.7)
    record(
        kind, {"batch": BATCH, "images": images, "precision": precision}, ratios, target, met,
        share,
        notes={
            "images_per_second": {n: images / statistics.median(seconds[n]) for n in running},
            "product_flops": {p: statistics.median(v) for p, v in rates.items()},
            "absent": absent,
            "peer_versions": peer_versions(["tensorflow-cpu", "keras", "torch"]),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main(
        sys.argv[1],
        int(sys.argv[2]) if len(sys.argv) > 2 else 5,
        int(sys.argv[3]) if len(sys.argv) > 3 else 2,
    )
