"""mAP beside the packages that work it out, and at 100,000 × 128 beside one matrix product.

    make .venv-bench/ready
    python benchmarks/map_peers.py [ROUNDS] [RUN]

`map.py` races the reference's way; this adds:

- torchmetrics' RetrievalMAP and pytorch-metric-learning's AccuracyCalculator (mean average
  precision over all ranks), on the 5,000 codes of layer L7. torchmetrics takes scores, so the
  product that makes them is timed with it; it sorts query by query.
- the published Oxford evaluation (`compute_ap`, Philbin et al. 2007): ranked lists by one argsort
  of the products, then its loop over ranks with the trapezoid rule, in Python as its many ports
  have it. Another measure than average precision: what is compared is time.
- 100,000 real codes of `shipped` (128 dimensions, 200 classes): ours, its share of one matrix
  product of all codes with all. Nobody else is asked: their way would take hours.

Operations at 100,000: 100,000² · 128 = 1.28 TMAC, half of it by symmetry; bytes: 40 GB of scores,
written and read once in blocks that stay in the cache.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from harness import (
    OURS,
    SCRATCH,
    Ratio,
    Seconds,
    Worker,
    peer_versions,
    record,
    start_workers,
    take_turns,
)

from codes import real_codes

LARGE = 100_000


def main(rounds: int, run: Path) -> None:
    """Race and record."""
    from neuralcodes.codes.store import load_codes

    SCRATCH.mkdir(parents=True, exist_ok=True)
    stored = load_codes(run / "codes" / "L7")
    names = [key.rsplit("/", 3)[1] for key in stored.keys]  # train/CLASS/images/NAME
    small = {"codes": str(SCRATCH / "L7.npy"), "labels": str(SCRATCH / "L7-labels.npy")}
    np.save(small["codes"], np.ascontiguousarray(stored.values))
    np.save(small["labels"], np.unique(names, return_inverse=True)[1].astype(np.int64))
    large = {"codes": str(SCRATCH / "code.npy"), "labels": str(SCRATCH / "code-labels.npy")}
    np.save(large["labels"], np.arange(len(real_codes())) // 500)  # 200 classes in order
    running, absent = start_workers({
        "ours": lambda: Worker("peer_map:ours", OURS, **small),
        "torchmetrics RetrievalMAP": lambda: Worker("peer_map:torchmetrics", **small),
        "pytorch-metric-learning": lambda: Worker("peer_map:metric_learning", **small),
        "Oxford's compute_ap": lambda: Worker("peer_map:oxford", **small),
    })  # fmt: skip
    found: dict[str, Any] = {name: worker.ask()["result"] for name, worker in running.items()}
    seconds = take_turns({n: w.timed() for n, w in running.items()}, rounds, settle=0.3)
    for worker in running.values():
        worker.close()
    with (
        Worker("peer_map:ours", OURS, **large) as whole,
        Worker("peer_map:product", OURS, codes=large["codes"]) as limit,
    ):

        def large_map() -> Seconds:
            answer = whole.ask()
            found["ours, 100,000"] = answer["result"]
            return Seconds(answer["seconds"])

        big = take_turns({"ours": large_map, "product": limit.timed()}, 1)
    share = Ratio.of(big["ours"], big["product"])
    ratios = {n: Ratio.of(seconds["ours"], seconds[n]) for n in running if n != "ours"}
    record(
        "map_peers", {"images": len(names), "dims": stored.spec.dims, "large": [LARGE, 128]},
        ratios, "at least 8 times as fast; at 100,000 × 128 at least 50 % of the matrix product",
        met=min(r.median for r in ratios.values()) >= 8 and share.median >= 0.5,
        share_of_limit=share.median,
        notes={
            "found": found, "absent": absent,
            "seconds": {n: statistics.median(v) for n, v in seconds.items()},
            "seconds_at_100,000": {n: statistics.median(v) for n, v in big.items()},
            "peer_versions": peer_versions(["torchmetrics", "pytorch-metric-learning"]),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 3,
        Path(sys.argv[2] if len(sys.argv) > 2 else "runs/reference"),
    )
