"""Codes judged by views: against a ranking worked out here, and codes that must win or lose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score

from made import make_images
from neuralcodes.choosing.views import KINDS, view_images
from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.experiments.configuration import Prepared
from neuralcodes.experiments.evaluate_layers import evaluate_layers
from neuralcodes.images.splits import REFERENCE_SEED, unlabelled_split
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime

FP32 = Runtime(torch.device("cpu"), "fp32")


def test_each_image_is_searched_for_its_views_among_all_images_and_views(tmp_path: Path) -> None:
    images = replace(make_images(150, 5), labels=None, classes=())
    prepared = Prepared("folder", images, unlabelled_split(images), 3)
    torch.manual_seed(0)
    kind = get_network("small")
    network = OpenNetwork.of("n", kind, kind.build(3), 3)
    found = evaluate_layers(network, prepared, FP32, tmp_path / "codes")
    assert list(found) == ["L5", "L6", "L7"]

    held_out = prepared.split.ood
    viewed = np.repeat(np.arange(len(held_out)), len(KINDS))
    views = view_images(held_out, viewed, tmp_path / "views", REFERENCE_SEED)
    [codes] = Encoder(network, [parse_code("n@L6")], FP32).encode_images(
        held_out, tmp_path / "images"
    )
    [of_views] = Encoder(network, [parse_code("n@L6")], FP32).encode_images(
        views, tmp_path / "of-views"
    )
    values = np.concatenate([codes.values, of_views.values]).astype(np.float64)
    groups = np.concatenate([np.arange(len(held_out)), viewed])
    wanted = []
    for query in range(len(held_out)):
        others = np.arange(len(values)) != query
        nearness = -((values[others] - values[query]) ** 2).sum(axis=1)
        wanted.append(average_precision_score(groups[others] == query, nearness))
    np.testing.assert_allclose(found["L6"].average_precision.values, wanted, atol=1e-6)


def test_a_split_without_classes_deals_each_image_once() -> None:
    images = replace(make_images(157, 5), labels=None, classes=())
    split = unlabelled_split(images)
    sizes = {name: len(part) for name, part in split.named().items()}
    assert sizes == {"train": 127, "val": 15, "test": 0, "ood": 15}
    rows = np.concatenate([part.rows for part in split.named().values()])
    assert sorted(rows.tolist()) == list(range(157))
    again = unlabelled_split(images)
    assert again.ood.fingerprint() == split.ood.fingerprint()
