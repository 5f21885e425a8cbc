"""Codes on images of other kinds than those the network was trained on, and after retraining.

    python benchmarks/transfer.py --photographs CALTECH.zip [--reference runs/reference]
        [--network shipped] [--sizes 64 80 96 128] [--seed 0] [--out results/transfer.json]

mAP of class retrieval on a folder or zip of photographs and on scikit-learn's digits: the code of
`--network`, at several input sizes where it takes them, against raw pixels, a colour histogram and
the reference network's codes. Then the network is retrained on half of the photographs' classes and
judged on the other half (`transfer_retrained.py`).

The reference run's weights are not in the repository. Without `--reference` its rows stay as OUT
has them, if raw pixels give the same figure as there, that is, if these are the same images.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from transfer_retrained import retrained

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.codes.transforms.base import unit_length
from neuralcodes.common.errors import UserError, run_script
from neuralcodes.common.files import read_json, write_json
from neuralcodes.common.machine import describe_machine, versions
from neuralcodes.evaluation.class_retrieval import class_ranks
from neuralcodes.evaluation.measures import AVERAGE_PRECISION
from neuralcodes.images.classfolders import class_folders
from neuralcodes.images.digits import digits
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.opened import OpenNetwork, open_network
from neuralcodes.networks.runtime import choose_runtime

Floats = npt.NDArray[np.float32]
SIDE = 64
SAME = 1e-4  # mAP of raw pixels on the same images, on whatever processor
BINS = 8  # of each channel of the colour histogram


def enlarged(images: ImageSet, side: int) -> ImageSet:
    """All images at another size, in memory."""
    pixels = np.stack([
        np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
        for image in images.read(np.arange(len(images)))
    ])  # fmt: skip
    keys = tuple(images.key(row) for row in range(len(images)))
    return replace(
        images, pixels=pixels, rows=np.arange(len(images)), keys=keys, labels=images.label_array(),
        content=f"{images.fingerprint()} at {side}",
    )  # fmt: skip


def pixels_of(images: ImageSet) -> Floats:
    """Pixels as they are, centred and of length 1, float32 n×(H·W·3)."""
    flat = images.read(np.arange(len(images))).reshape(len(images), -1).astype(np.float32)
    return unit_length(flat - flat.mean(axis=1, keepdims=True))


def histograms(images: ImageSet) -> Floats:
    """Square roots of the shares of 8×8×8 colours (so that distance is Hellinger's)."""
    bins = images.read(np.arange(len(images))).astype(np.int64) // (256 // BINS)
    place = (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]
    made = np.stack([np.bincount(one.ravel(), minlength=BINS**3) for one in place])
    return unit_length(np.sqrt(made.astype(np.float32)))


def judged(values: Floats, labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    """mAP with its interval."""
    score = AVERAGE_PRECISION.score(class_ranks(values, labels))
    low, high = score.interval()
    return {"dims": values.shape[1], "map": score.mean, "map_low": low, "map_high": high}


def codes_of(network: OpenNetwork, layers: list[str], images: ImageSet) -> Iterator[Floats]:
    """The layers' codes."""
    requests = [parse_code(f"{network.name}@{layer}") for layer in layers]
    encoder = Encoder(network, requests, choose_runtime("cpu", "fp32"))
    with tempfile.TemporaryDirectory() as folder:
        for codes in encoder.encode_images(images, Path(folder)):
            yield np.array(codes.values)


def at_size(network: OpenNetwork, side: int) -> OpenNetwork:
    """The same network with another input size; it must be convolutional up to its pooling."""
    return replace(network, kind=replace(network.kind, input_size=(side, side)))


def reference_rows(
    name: str, images: ImageSet, pixels: dict[str, Any], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """The reference network's codes, measured, or kept from the record where it is not at hand."""
    if Path(options.reference).exists():
        reference, labels = open_network(options.reference), images.label_array()
        layers = list(reference.kind.layers)
        found = zip(layers, codes_of(reference, layers, images), strict=True)
        return [{"code": f"reference@{layer}", **judged(values, labels)} for layer, values in found]
    recorded = read_json(options.out)["rows"][name] if options.out.is_file() else []
    kept = [row for row in recorded if row["code"].startswith("reference@")]
    if not kept or abs(recorded[0]["map"] - pixels["map"]) > SAME:
        raise UserError(
            f"--reference {options.reference}: not there, and {options.out} has no figures of it "
            f"on these {name}; make it with `neuralcodes reproduce --out {options.reference}`"
        )
    print(f"{name:12} {options.reference} is not there: its rows are those of {options.out}")
    return kept


def measure(name: str, load: Any, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows of one image set; `load` gives it at a size."""
    small: ImageSet = load(SIDE)
    labels = small.label_array()
    rows = [
        {"code": "raw pixels", **judged(pixels_of(small), labels)},
        {"code": "colour histogram", **judged(histograms(small), labels)},
    ]
    rows += reference_rows(name, small, rows[0], options)
    network = open_network(options.network)
    for side in options.sizes:
        images = small if side == SIDE else load(side)
        layer = network.kind.default_layer
        for values in codes_of(at_size(network, side), [layer], images):
            code = f"{Path(options.network).name}@{layer} at {side}×{side}"
            rows.append({"code": code, **judged(values, labels)})
    for one in rows:
        span = f"({one['map_low']:.3f} to {one['map_high']:.3f})"
        print(f"{name:12} {one['code']:28} {one['dims']:6} dims  mAP {one['map']:.3f} {span}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--reference", default="runs/reference")
    parser.add_argument("--network", default="shipped")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 80, 96, 128])
    parser.add_argument("--seed", type=int, default=0, help="of the retraining")
    parser.add_argument("--out", type=Path, default=Path("results/transfer.json"))
    options = parser.parse_args()
    sets = {
        "photographs": lambda side: class_folders(options.photographs, (side, side)),
        "digits": lambda side: enlarged(digits(), side),
    }
    found = {name: measure(name, load, options) for name, load in sets.items()}
    after = retrained(options.network, options.photographs, options.seed)
    write_json(
        options.out,
        {
            "photographs": options.photographs.name,
            "rows": found,
            "reference_measured": Path(options.reference).exists(),  # else kept from the record
            "retrained": after,
            "weights": open_network(options.network).weights,
            "machine": {**describe_machine(), "versions": versions()},
        },
    )


if __name__ == "__main__":
    run_script(main)
