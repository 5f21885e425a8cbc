"""Does covering what an explanation calls hot lower the similarity more than covering other parts?

    python benchmarks/explanations.py runs/reference caltech.zip --out occlusion.json

Pairs of photographs of one class; a window of a quarter of the width and height is covered with
its mean colour.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from neuralcodes.codes.explaining import occlude
from neuralcodes.common.files import write_json
from neuralcodes.common.progress import progress
from neuralcodes.evaluation.score import Score
from neuralcodes.experiments.explaining import open_explainer
from neuralcodes.images.classfolders import class_folders
from neuralcodes.networks.opened import open_network

CODES = ("L5", "L6", "L7", "relu5/mac", "relu5/spoc", "relu5/gem", "relu5/crow", "relu5/rmac")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("network")
    arguments.add_argument("images", type=Path, help="a folder or zip file of class folders")
    arguments.add_argument("--pairs", type=int, default=51)
    arguments.add_argument("--windows", type=int, default=16)
    arguments.add_argument("--codes", nargs="*", default=CODES)
    arguments.add_argument("--out", type=Path, required=True)
    asked = arguments.parse_args()
    images = class_folders(asked.images, open_network(asked.network).kind.input_size)
    labels = images.label_array()
    dice = np.random.default_rng(0)
    classes = np.resize(np.arange(len(images.classes)), asked.pairs)
    pairs = [dice.choice(np.flatnonzero(labels == c), 2, replace=False) for c in classes]
    rows = []
    for code in asked.codes:
        explainer = open_explainer(f"{asked.network}@{code}", "cpu")
        drops, others, beats, rests = [], [], [], []
        with progress(len(pairs), code) as bar:
            for pair in pairs:
                explained = explainer.explain(*images.read(pair))
                for on_query in (True, False):
                    found = occlude(explainer, explained, windows=asked.windows, on_query=on_query)
                    drops.append(found.drop)
                    others.append(found.others.mean())
                    beats.append(found.beats)
                rests.append(max(abs(explained.query.rest), abs(explained.result.rest)))
                bar.update()
        # the two sides of a pair belong together
        share = Score("beats", np.array(beats).reshape(-1, 2).mean(axis=1))
        gain = Score("gain", (np.array(drops) - others).reshape(-1, 2).mean(axis=1))
        rows.append(
            {
                "code": code,
                "layer": explained.layer,
                "hottest": float(np.mean(drops)),
                "others": float(np.mean(others)),
                "gain": [gain.mean, *gain.interval()],
                "beats": [share.mean, *share.interval()],
                "largest_rest": max(rests),
            }
        )
        print(rows[-1], flush=True)
    write_json(
        asked.out,
        {"images": images.source, "pairs": asked.pairs, "windows": asked.windows, "rows": rows},
    )


if __name__ == "__main__":
    main()
