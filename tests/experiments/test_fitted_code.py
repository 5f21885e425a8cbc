"""The code of `compact`, fitted behind a trained body."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from neuralcodes.common.files import read_json
from neuralcodes.experiments import fitted_code as head
from neuralcodes.experiments.configuration import Configuration, prepare
from neuralcodes.experiments.founding import train_run
from neuralcodes.images.digits import digits
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks import compact as compact_network
from neuralcodes.networks.opened import OpenNetwork, open_network
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.taps import Tap
from neuralcodes.training.augmentation import Augmentation
from neuralcodes.training.recipe import Recipe
from neuralcodes.training.recipes import modern, retraining

FP32 = Runtime(torch.device("cpu"), "fp32")


@pytest.fixture(scope="module", autouse=True)
def _narrow() -> Iterator[None]:
    """An eighth of the maps, so that 384 values are pooled: their covariance costs the most."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compact_network, "WIDTHS", (8, 16, 32, 64))
        yield


@pytest.fixture(scope="module")
def images() -> ImageSet:
    whole = digits()  # sorted by class
    return whole.select(np.arange(0, len(whole), 6))


@pytest.fixture(scope="module")
def compact() -> OpenNetwork:
    torch.manual_seed(0)
    kind = get_network("compact")
    return OpenNetwork.of("random", kind, kind.build(10).eval(), 10)


def test_principal_components_after_half_whitening() -> None:
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


def test_only_the_code_is_fitted(compact: OpenNetwork, images: ImageSet) -> None:
    before = compact.weights
    made = head.refit_code(compact, images, FP32)
    assert compact.weights == before
    old, new = compact.module.state_dict(), made.module.state_dict()
    assert list(old) == list(new)
    changed = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"code"}
    for name, _ in made.module.get_submodule("code").named_buffers():
        assert new[f"code.{name}"].isfinite().all()


def test_the_code_is_made_of_three_parts(compact: OpenNetwork, images: ImageSet) -> None:
    """Against the same in NumPy and scikit-learn, but for the anchors, which it takes over."""
    made = head.refit_code(compact, images, FP32)
    pixels = torch.rand(20, 3, 64, 64)
    seen = head._seen(compact.module, compact, images, FP32)
    known = {"pool": seen.pooled.double().numpy(), "learnt": seen.learnt.double().numpy()}
    anchors = made.module.get_buffer("code.anchors").double().numpy()[:10]
    assert np.allclose(np.linalg.norm(anchors, axis=1), 1)
    matrix, centre = head.half_whitened(known["pool"], images.label_array(), 128)

    def parts(values: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        fitted = normalize((values["pool"] - centre) @ matrix)
        both = np.hstack([fitted, 0.8 * normalize(values["learnt"])])
        return both, np.sqrt(softmax(16 * normalize(both) @ anchors.T, axis=1))

    both, likeness = parts(known)
    mean = likeness.mean(0)
    weight = head.LIKENESS / np.linalg.norm(likeness - mean, axis=1).mean()
    components = PCA(128, svd_solver="full").fit(np.hstack([both, weight * likeness]))
    with torch.no_grad():
        new = Tap(made.module.eval(), ["pool", "learnt", "code"])(pixels)
    both, likeness = parts({name: new[name].double().numpy() for name in known})
    wanted = components.transform(np.hstack([both, weight * likeness]))
    # axes may point either way, so similarities are compared
    found = new["code"].double().numpy()
    np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, atol=1e-4)


def test_more_classes_than_anchors_have_no_likeness(images: ImageSet) -> None:
    kind = get_network("compact")
    large = OpenNetwork.of("large", kind, kind.build(193), 193)
    made = head.refit_code(large, images, FP32).module
    mix = made.get_buffer("code.mix")
    assert mix.isfinite().all() and not mix[:, 256:].any()
    assert mix[:, :128].any() and mix[:, 128:256].any()


def test_a_class_without_images_does_no_harm(images: ImageSet) -> None:
    kind = get_network("compact")
    network = OpenNetwork.of("twelve", kind, kind.build(12), 12)
    made = [head.refit_code(network, images, FP32) for _ in range(2)]
    assert made[0].weights == made[1].weights != network.weights
    assert all(value.isfinite().all() for value in made[0].module.state_dict().values())


def test_too_few_images_and_other_networks_stay_as_they_are(
    compact: OpenNetwork, images: ImageSet
) -> None:
    few = images.select(np.arange(head.LEAST - 1))
    assert head.refit_code(compact, few, FP32).weights == compact.weights
    kind = get_network("small")
    small = OpenNetwork.of("small", kind, kind.build(10), 10)
    assert head.refit_code(small, images, FP32).weights == small.weights


def test_of_many_images_some_are_drawn_always_the_same(
    compact: OpenNetwork, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = head.refit_code(compact, images, FP32)
    monkeypatch.setattr(head, "FIT", 280)
    drawn = [head.refit_code(compact, images, FP32).weights for _ in range(2)]
    assert drawn[0] == drawn[1] != whole.weights


@pytest.mark.parametrize("recipe", [modern, retraining])
def test_modern_runs_end_with_a_fitted_code(
    tmp_path: Path, recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And retraining keeps the parts that it was given."""
    monkeypatch.setenv("NEURALCODES_CACHE", str(tmp_path / "cache"))
    whole = digits()
    pixels, labels = whole.read(np.arange(len(whole))), whole.label_array()
    for label in range(6):
        folder = tmp_path / "images" / str(label)
        folder.mkdir(parents=True)
        for number, one in enumerate(pixels[labels == label][:90]):
            Image.fromarray(one).save(folder / f"{number}.png")
    how = recipe(max_epochs=1, augmentation=Augmentation(size=16))
    configuration = Configuration(
        data=tmp_path / "images", network="compact", recipe=how, train_classes=4
    )
    run = train_run(configuration, prepare(configuration), tmp_path / "run")
    made = open_network(str(run.path))
    assert made.weights == read_json(run.training_file)["weights"]
    assert bool(made.module.get_buffer("code.components").any()) == (recipe is modern)


def test_the_classifier_learns_the_codes() -> None:
    torch.manual_seed(0)
    labels = torch.arange(200) % 10
    codes = torch.randn(10, 128)[labels] + 0.3 * torch.randn(200, 128)
    classifier = get_network("compact").build(10).get_submodule("classifier")
    head.fit_classifier(classifier, codes, labels)
    with torch.no_grad():
        assert (classifier(codes).argmax(1) == labels).all()
