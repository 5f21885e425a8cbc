"""tools/ship_head.py: the code layer that is fitted anew to the pooled map."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.decomposition import PCA

from neuralcodes.codes.transforms.base import unit_length
from neuralcodes.images.digits import digits
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.taps import Tap
from scripts import load_script

FP32 = Runtime(torch.device("cpu"), "fp32")


@pytest.fixture(scope="module")
def head() -> ModuleType:
    return load_script("tools/ship_head.py")


@pytest.fixture(scope="module")
def images() -> ImageSet:
    whole = digits()
    return whole.select(np.arange(300))


@pytest.fixture(scope="module")
def compact() -> OpenNetwork:
    torch.manual_seed(0)
    kind = get_network("compact")
    return OpenNetwork.of("random", kind, kind.build(10).eval(), 10)


def test_principal_components_after_half_whitening(head: ModuleType) -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 5, 400)
    mixing = draw.normal(size=(12, 12))
    values = (draw.normal(size=(400, 12)) + 3 * draw.normal(size=(5, 12))[labels]) @ mixing + 7
    matrix, centre = head.half_whitened(values, labels, 4)
    within = np.zeros((12, 12))
    for label in range(5):
        own = values[labels == label]
        within += np.cov(own.T, bias=True) * len(own) / (400 - 5)  # less the means found
    within += head.SHRINK * np.trace(within) / 12 * np.eye(12)
    even = np.linalg.inv(sqrtm(sqrtm(within))).real  # within to the power of −1/4, twice on a code
    wanted = PCA(4, svd_solver="full").fit_transform((values - values.mean(0)) @ even)
    found = (values - centre) @ matrix
    assert np.allclose(np.abs(found), np.abs(wanted), rtol=1e-6, atol=1e-8)


def test_only_the_head_is_fitted(
    head: ModuleType, compact: OpenNetwork, images: ImageSet
) -> None:  # fmt: skip
    before = compact.weights
    made = head.refit_head(compact, images, FP32)
    assert compact.weights == before
    old, new = compact.module.state_dict(), made.module.state_dict()
    assert list(old) == list(new)
    changed = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"project", "code", "classifier"}


def test_the_code_is_the_projection_of_the_pooled_map(
    head: ModuleType, compact: OpenNetwork, images: ImageSet
) -> None:
    made = head.refit_head(compact, images, FP32)
    pixels = torch.rand(20, 3, 64, 64)
    with torch.no_grad():
        seen = Tap(made.module.eval(), ["pool", "code"])(pixels)
    pooled = head._pooled(compact.module, compact, images, FP32)
    matrix, centre = head.half_whitened(pooled, images.label_array(), 128)
    wanted = (seen["pool"].double().numpy() - centre) @ matrix
    wanted = wanted.astype(np.float32)
    codes = seen["code"].numpy()
    assert np.abs(unit_length(codes) - unit_length(wanted)).max() < 1e-3


def test_the_classifier_learns_the_codes(head: ModuleType) -> None:
    torch.manual_seed(0)
    labels = torch.arange(200) % 10
    codes = torch.randn(10, 128)[labels] + 0.3 * torch.randn(200, 128)
    classifier = get_network("compact").build(10).get_submodule("classifier")
    head.fit_classifier(classifier, codes, labels)
    with torch.no_grad():
        assert (classifier(codes).argmax(1) == labels).all()
