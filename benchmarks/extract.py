"""Extraction: three layers of 5,000 images, and codes of a folder of photographs.

    make .venv-bench/ready
    NEURALCODES_TINY_IMAGENET=ZIPS python benchmarks/extract.py layers [ROUNDS] [IMAGES]
    NEURALCODES_CALTECH=ZIP python benchmarks/extract.py photos [ROUNDS] [PHOTOS]

`layers`: L5, L6 and L7 of the reference network (random weights) into memory-mapped files, against
a Keras functor of the same network and layers. The limit is the network's pass alone over pixels
that lie ready. Bytes: 5,000 × 20,480 × 4 = 410 MB of codes, written once, 0.2 s; operations:
1.0 GMAC an image, 5,000 images 10 TFLOP, 10 s at 1 TFLOP/s.

`photos`: a folder of photographs into a new collection (walk, hash, decode, network, files,
database). Peers are transformers, timm and sentence-transformers over the same files with a
ViT-B/32 of CLIP's shape and random weights; ours opens that by `hf:`. The share of the limit is
measured with `shipped`, whose network is the smallest and so leaves most to the rest: the rate of
the whole over that of the slower of decoding alone and the network alone.
"""

from __future__ import annotations

import os
import statistics
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import OURS, SCRATCH, Ratio, Worker, peer_versions, record, start_workers, take_turns

BATCH = 250


def layers(rounds: int, count: int) -> None:
    """Three layers of many images."""
    from neuralcodes.images.tinyimagenet import tiny_imagenet

    images = tiny_imagenet(Path(os.environ["NEURALCODES_TINY_IMAGENET"]))
    SCRATCH.mkdir(parents=True, exist_ok=True)
    file = str(SCRATCH / f"pixels-{count}.npy")
    np.save(file, images.read(np.linspace(0, len(images) - 1, count).astype(np.int64)))
    out = str(SCRATCH / "codes-of-layers")
    arguments = {"images": file, "out": out, "batch": BATCH}
    running, absent = start_workers({
        "ours bf16": lambda: Worker(
            "peer_torch:our_extraction", OURS, precision="bf16", **arguments),
        "Keras functor bf16": lambda: Worker(
            "peer_keras:extraction", precision="bf16", images=file, batch=100),
        "Keras functor fp32": lambda: Worker(
            "peer_keras:extraction", precision="fp32", images=file, batch=100),
    })  # fmt: skip
    calls: dict[str, Any] = {name: worker.timed() for name, worker in running.items()}
    calls["network bf16"] = running["ours bf16"].timed(alone=True)
    seconds = take_turns(calls, rounds, settle=0.3)
    for worker in running.values():
        worker.close()
    own = seconds["ours bf16"]
    share = Ratio.of(own, seconds["network bf16"])
    ratios = {name: Ratio.of(own, seconds[name]) for name in running if "Keras" in name}
    record(
        "extract", {"images": count, "dims": [16384, 2048, 2048], "precision": "bf16"}, ratios,
        "at least 90 % of the network's pass alone",
        met=share.median >= 0.9, share_of_limit=share.median,
        notes={
            "share_of_limit_range": [share.low, share.high],
            "images_per_second": {n: count / statistics.median(v) for n, v in seconds.items()},
            "absent": absent, "peer_versions": peer_versions(["tensorflow-cpu", "keras"]),
        },
    )  # fmt: skip


def photos(rounds: int, count: int) -> None:
    """A folder of photographs."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    whole = _unpack(SCRATCH / "photos")
    some = SCRATCH / f"photos-{count}"
    if not some.is_dir():
        some.mkdir()
        found = sorted(whole.rglob("*.jpg"))
        for number in np.linspace(0, len(found) - 1, count).astype(int):
            (some / f"{number:05}.jpg").hardlink_to(found[number])
    model = SCRATCH / "clip"
    if not (model / "config.json").is_file():
        Worker("peer_photos:save_clip", OURS, out=str(model)).close()
    clip = {"model": str(model), "path": str(some)}
    scratch = str(SCRATCH / "photos.nc")
    running, absent = start_workers({
        "ours": lambda: Worker(
            "peer_photos:ours", OURS, code=f"hf:{model}@image_embeds", path=str(some),
            precision="fp32", scratch=scratch),
        "transformers": lambda: Worker("peer_photos:hf", **clip),
        "sentence-transformers": lambda: Worker("peer_photos:sentence_transformers", **clip),
        "timm": lambda: Worker("peer_photos:timm", path=str(some)),
        "ours, shipped": lambda: Worker(
            "peer_photos:ours", OURS, code="shipped", path=str(whole), precision="fp32",
            scratch=scratch + "2"),
    })  # fmt: skip
    calls: dict[str, Any] = {name: worker.timed() for name, worker in running.items()}
    for alone in ("network", "decode"):
        calls[alone] = running["ours, shipped"].timed(alone=alone)
    seconds = take_turns(calls, rounds, settle=0.3)
    for worker in running.values():
        worker.close()
    own = seconds["ours, shipped"]
    slower = [max(pair) for pair in zip(seconds["network"], seconds["decode"], strict=True)]
    both = [sum(pair) for pair in zip(seconds["network"], seconds["decode"], strict=True)]
    share = Ratio.of(own, slower)
    ratios = {
        name: Ratio.of(seconds["ours"], seconds[name])
        for name in ("transformers", "sentence-transformers", "timm") if name in running
    }  # fmt: skip
    record(
        "photos", {"photographs": {"peers": count, "limit": len(list(whole.rglob("*.jpg")))}},
        ratios, "at least 90 % of the slower of decoding and the network's pass alone",
        met=share.median >= 0.9, share_of_limit=share.median,
        notes={
            "share_of_limit_range": [share.low, share.high],
            "share_of_decoding_and_network_one_after_the_other": Ratio.of(own, both).median,
            "seconds": {name: statistics.median(values) for name, values in seconds.items()},
            "absent": absent,
            "peer_versions": peer_versions(
                ["transformers", "sentence-transformers", "timm", "torch"]),
        },
    )  # fmt: skip


def _unpack(out: Path) -> Path:
    if not out.is_dir():
        with zipfile.ZipFile(os.environ["NEURALCODES_CALTECH"]) as archive:
            archive.extractall(out)
    return out


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[2:]]
    if sys.argv[1] == "layers":
        layers(given[0] if given else 2, given[1] if len(given) > 1 else 5000)
    else:
        photos(given[0] if given else 3, given[1] if len(given) > 1 else 256)
