"""What shorter codes and re-ranking do to mAP, on a run's unseen classes.

    python benchmarks/compression.py [RUN] [--data TINY_IMAGENET] [--out results/compression]

Transforms are fitted on the run's validation and test images: of the classes that the network was
trained on, and not trained on themselves, so that their codes scatter as those of new images do.
None of them is an image or of a class that is searched. Re-ranking steps get their parameters on
5,000 such images and are then judged once on the unseen classes.

Writes OUT.json (a row a code, with intervals over queries) and OUT/ (tables, plots). The codes to
learn from are kept in runs/compression (2.5 GB for Tiny ImageNet) and each layer's rows beside
them, so that an interrupted measurement goes on where it was.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from compression_figures import write_figures, write_tables
from compression_rerank import measure_steps

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.codes.store import Codes, load_codes
from neuralcodes.codes.transforms.chain import Chain, apply_transforms, fit_transform, unfitted
from neuralcodes.codes.transforms.fitted import FittedOn
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.files import read_json, write_json
from neuralcodes.common.machine import describe_machine, versions
from neuralcodes.evaluation.class_retrieval import class_ranks
from neuralcodes.evaluation.measures import AVERAGE_PRECISION
from neuralcodes.evaluation.score import Score
from neuralcodes.evaluation.stored import load_retrieval
from neuralcodes.experiments.founding import reopen
from neuralcodes.experiments.runfolder import RunFolder
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.opened import open_network
from neuralcodes.networks.runtime import choose_runtime

Labels = npt.NDArray[np.int64]
Row = dict[str, Any]

KEPT = Path("runs/compression")
SIZES = (16, 32, 64, 128, 256, 512)
BYTES = (16, 32, 64)
REDUCTIONS = ("pca", "whiten", "lw", "disc")
# Codes that int8, half and binary are put behind:
ROUNDED = ("", "pca32", "pca64", "pca128", "disc32", "disc128")


def chains() -> list[str]:
    """Names of all codes to measure behind a layer's own."""
    names = [f"{kind}{size}" for kind in REDUCTIONS for size in SIZES]
    for before in ROUNDED:
        names += [f"{before}/{kind}".lstrip("/") for kind in ("half", "int8", "binary")]
    names += [f"pca128/{kind}{size}" for kind in ("pq", "opq") for size in BYTES]
    return [*names, "disc128/opq16", "disc128/opq32"]


class Layer:
    """One layer's codes: those to learn from, those to judge, and all that is fitted."""

    def __init__(self, learn: Codes, labels: Labels, on: FittedOn, judged: Codes) -> None:
        self.labels, self.on = labels, on
        self.learn, self.judged = {"": learn}, {"": judged}
        self.chains = {"": Chain(judged.spec)}
        self.trainings: dict[str, Training] = {}

    def codes(self, name: str) -> Codes:
        """The judged images' codes by this chain of transforms."""
        if name not in self.judged:
            before, _, last = name.rpartition("/")
            self.codes(before)
            step = Chain(self.chains[before].spec).then(self._fitted(before, last))
            self.chains[name] = step
            self.judged[name] = apply_transforms(self.judged[before], step)
            if not get_transform(last)[0].is_quantiser and name in ROUNDED:
                self.learn[name] = apply_transforms(self.learn[before], step)
        return self.judged[name]

    def drop(self, name: str) -> None:
        """Forget codes that nothing follows."""
        if name and name not in self.learn:
            del self.judged[name]

    def _fitted(self, before: str, last: str) -> Any:
        spec = self.chains[before].spec
        if not get_transform(last)[0].is_fitted:
            return unfitted(spec, last)
        if before not in self.trainings:
            self.trainings[before] = Training(self.learn[before].values, self.labels)
        return fit_transform(spec, last, self.trainings[before], self.on)


def measure_layer(alias: str, layer: Layer, labels: Labels, full: Score, kept: Path) -> list[Row]:
    """A row for each code of the layer, with the paired difference to the layer's whole code.

    Args:
        alias: the layer's name.
        layer: its codes.
        labels: of the judged images.
        full: average precision of the whole code.
        kept: file of the rows that were measured before.
    """
    belongs = [layer.judged[""].spec.fingerprint(), layer.judged[""].images, layer.on.images]
    names = ["", *chains()]
    rows: dict[str, Row] = {}
    if kept.is_file() and read_json(kept)["of"] == belongs:
        rows = read_json(kept)["rows"]
    for name in names:
        if name in rows:
            continue
        spec = layer.codes(name).spec
        score = average_precision(layer.judged[name], labels)
        apart = Score("", score.values - full.values)
        (low, high), (apart_low, apart_high) = score.interval(), apart.interval()
        rows[name] = {
            "layer": alias, "method": name or "full", "dims": spec.dims,
            "bytes": spec.bytes_per_code, "map": score.mean, "map_low": low, "map_high": high,
            "difference": apart.mean, "difference_low": apart_low, "difference_high": apart_high,
        }  # fmt: skip
        write_json(kept, {"of": belongs, "rows": rows})
        layer.drop(name)
        print(f"{alias} {name or 'full':<14} {spec.bytes_per_code:>6} bytes  "
              f"{score.mean:.4f} ({low:.4f} to {high:.4f})", flush=True)  # fmt: skip
    return [rows[name] for name in names]


def average_precision(codes: Codes, labels: Labels) -> Score:
    """Each image queries all others."""
    return AVERAGE_PRECISION.score(class_ranks(codes.values, labels))


def learning_codes(run: RunFolder, images: ImageSet, layers: Sequence[str]) -> dict[str, Codes]:
    """Codes to learn from, extracted unless they are kept from before."""
    encoder = Encoder(
        open_network(str(run.path)),
        [parse_code(f"{run.path}@{layer}") for layer in layers],
        choose_runtime("auto", "fp32"),
    )
    paths = {layer: KEPT / "codes" / layer for layer in layers}
    if all(path.with_suffix(".json").is_file() for path in paths.values()):
        kept = {layer: load_codes(path) for layer, path in paths.items()}
        same = zip(layers, encoder.specs, strict=True)
        if all(
            kept[layer].spec.fingerprint() == spec.fingerprint()
            and kept[layer].images == images.fingerprint()
            for layer, spec in same
        ):
            return kept
    made = encoder.encode_images(images, KEPT / "codes", list(layers))
    return dict(zip(layers, made, strict=True))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, default=Path("runs/reference"))
    data = os.environ.get("NEURALCODES_TINY_IMAGENET")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--out", type=Path, default=Path("results/compression"))
    parser.add_argument("--layer", action="append", help="measure these layers only, write nothing")
    given = parser.parse_args()
    run, prepared = reopen(given.run, given.data)
    split, labels = prepared.split, prepared.split.ood.label_array()
    images = replace(split.val, rows=np.concatenate([split.val.rows, split.test.rows]))
    layers = list(open_network(str(run.path)).kind.layers)
    full = {layer: load_retrieval(run.retrieval(layer)).average_precision for layer in layers}
    learn = learning_codes(run, images, layers)
    source = f"{images.source}, validation and test of {prepared.train_classes} classes"
    on = FittedOn(source, images.fingerprint(), len(images), True, 0)
    rows: list[Row] = []
    for alias in given.layer or layers:
        judged = load_codes(run.codes / alias)
        layer = Layer(learn[alias], images.label_array(), on, judged)
        rows += measure_layer(alias, layer, labels, full[alias], KEPT / f"rows-{alias}.json")
    if given.layer:
        return
    best = max(layers, key=lambda alias: full[alias].mean)
    kept = KEPT / f"rerank-{best}.json"
    judged = load_codes(run.codes / best)
    steps = measure_steps(learn[best], images.label_array(), judged, labels, kept)
    result = {
        "run": run.path.name,
        "command": "python benchmarks/compression.py",
        "images": {"judged": len(labels), "fitted_on": source, "fitted_on_count": len(images)},
        "machine": {**describe_machine(), "versions": versions()},
        "full": {alias: full[alias].mean for alias in layers},
        "rows": rows,
        "targets": targets(rows, full[best].mean),
        "rerank": {"layer": best, "map": full[best].mean, "steps": steps},
    }
    write_json(given.out.with_suffix(".json"), result)
    write_tables(given.out, result)
    write_figures(given.out, result)
    print(result["targets"])


def targets(rows: list[Row], best: float) -> dict[str, Any]:
    """Whether some code of 128 dimensions is as good as the best full one, and a short one near."""
    found = {}
    for name, least, fits in (
        ("128 dimensions, at or above the best full code", best,
         [row for row in rows if row["dims"] == 128 and row["bytes"] == 512]),
        ("at most 32 bytes, within 0.01 of the best full code", best - 0.01,
         [row for row in rows if row["bytes"] <= 32]),
    ):  # fmt: skip
        row = max(fits, key=lambda row: row["map"])
        found[name] = {
            "code": f"{row['layer']}/{row['method']}", "map": row["map"], "least": least,
            "met": row["map"] >= least,
        }  # fmt: skip
    return found


if __name__ == "__main__":
    main()
