"""Learning which views are of one image: the loss by its definition, and whole trainings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from digit_images import digit_images
from hypothesis import given
from hypothesis import strategies as st

from neuralcodes.common.errors import UserError
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.training.augmentation import Augmentation
from neuralcodes.training.batches import Batches
from neuralcodes.training.loop import train
from neuralcodes.training.objective import Views, view_scores
from neuralcodes.training.recipe import Recipe
from neuralcodes.training.recipes import unlabelled

FP32 = Runtime(torch.device("cpu"), "fp32")
SMALL = get_network("small")
COMPACT = replace(get_network("compact"), input_size=(16, 16))


def without_labels(count: int, start: int = 0) -> ImageSet:
    images = replace(digit_images(start + count), labels=None, classes=())
    return images.select(range(start, start + count))


def nt_xent(codes: np.ndarray, temperature: float) -> float:
    """Chen et al. 2020, equation 1, averaged over all views: by loops, in float64."""
    count = len(codes)
    unit = [code / np.linalg.norm(code) for code in codes.astype(np.float64)]
    losses = []
    for i in range(count):
        j = (i + count // 2) % count
        others = [np.exp(unit[i] @ unit[k] / temperature) for k in range(count) if k != i]
        losses.append(-np.log(np.exp(unit[i] @ unit[j] / temperature) / np.sum(others)))
    return float(np.mean(losses))


@given(st.integers(1, 6), st.integers(1, 5), st.floats(0.05, 2.0), st.integers(0, 99))
def test_the_loss_is_nt_xent(images: int, dims: int, temperature: float, seed: int) -> None:
    codes = np.random.default_rng(seed).normal(size=(2 * images, dims)).astype(np.float32)
    scores, wanted = view_scores(torch.from_numpy(codes), temperature)
    loss = torch.nn.functional.cross_entropy(scores, wanted)
    assert float(loss) == pytest.approx(nt_xent(codes, temperature), rel=1e-4, abs=1e-5)


def test_accuracy_is_how_often_the_other_view_is_nearest() -> None:
    """Views 0 and 2 are of one image, 1 and 3 of another; view 3 lies nearer to 0 than to 1."""
    codes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [1.0, 0.9]])
    scores, wanted = view_scores(codes, 0.5)
    assert wanted.tolist() == [2, 3, 0, 1]
    assert scores.argmax(1).tolist() == [2, 3, 0, 2]


def test_validation_is_the_same_each_time_and_leaves_dice_alone() -> None:
    images = without_labels(60)
    network = SMALL.build(3)
    views = Views(network, SMALL, unlabelled(), FP32)
    batches = Batches(images, SMALL, FP32)
    torch.manual_seed(7)
    first = views.evaluate(network, batches)
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3))
    assert views.evaluate(network, batches) == first
    assert network.training
    assert 0 <= first.accuracy <= first.top5_accuracy <= 1


def test_views_find_each_other_better_and_no_label_is_needed(tmp_path: Path) -> None:
    torch.manual_seed(4)
    start = OpenNetwork.of("given", COMPACT, COMPACT.build(3), 3)
    head = start.module.state_dict()["classifier.weight"].clone()
    recipe = unlabelled(
        max_epochs=4, batch_size=40, learning_rate=0.03, layer_decay=1.0,
        augmentation=Augmentation(flip=False), keep_statistics=False, blend=1.0,
    )  # fmt: skip
    sets = without_labels(160), without_labels(60, 160)
    trained = train(COMPACT, 3, *sets, recipe, FP32, tmp_path, start=start)
    untrained = Views(start.module, COMPACT, recipe, FP32).evaluate(
        start.module, Batches(sets[1], COMPACT, FP32)
    )
    kept = trained.history[trained.kept_epoch - 1]
    assert kept.val_loss == min(epoch.val_loss for epoch in trained.history)
    assert kept.val_loss < untrained.cross_entropy - 0.1
    assert kept.val_accuracy > untrained.accuracy
    # the classifier has no part in it
    assert torch.equal(trained.network.state_dict()["classifier.weight"], head)


def test_the_labels_make_no_difference(tmp_path: Path) -> None:
    recipe = unlabelled(max_epochs=1, batch_size=40)
    bare = train(SMALL, 1, without_labels(80), without_labels(40), recipe, FP32, tmp_path / "a")
    labelled = digit_images(80), digit_images(40)
    with_them = train(SMALL, 1, *labelled, recipe, FP32, tmp_path / "b")
    for one, other in zip(bare.network.parameters(), with_them.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augmentation": None}, "give an augmentation"),
        ({"augmentation": Augmentation(cutmix=0.5)}, "without cutmix"),
        ({"temperature": 0.0}, "temperature 0.0"),
        ({"batch_size": 1}, "--batch-size 1"),
        ({"objective": "pairs"}, "objective pairs"),
    ],
)
def test_what_a_recipe_for_views_refuses(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        unlabelled(**changes)


def test_options_that_are_off_are_not_recorded() -> None:
    """Checkpoints of runs from before there were such options must stay resumable."""
    new = {"freeze", "layer_decay", "objective", "temperature"}
    assert not new & set(Recipe().to_json())
    assert new - {"freeze"} <= set(unlabelled().to_json())
