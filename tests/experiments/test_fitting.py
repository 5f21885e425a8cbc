"""Fitting transforms beside a run: files, what they were learned from, what is refused."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.codes.transforms.fitted import load_fitted
from neuralcodes.common.errors import UserError
from neuralcodes.experiments.configuration import prepare
from neuralcodes.experiments.demo import DEMO
from neuralcodes.experiments.fitting import Fitting, fit
from neuralcodes.experiments.founding import train_run
from neuralcodes.images.digits import digits
from neuralcodes.networks.opened import open_network
from neuralcodes.networks.runtime import choose_runtime


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on the digits 0 to 6, of one epoch."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    configuration = replace(DEMO, recipe=replace(DEMO.recipe, max_epochs=1, patience=0))
    train_run(configuration, prepare(configuration), out)
    return out


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """300 digits as PNG files in class folders."""
    root = tmp_path_factory.mktemp("pictures")
    images = digits()
    for row in range(0, 1794, 6):
        path = root / f"{images.key(row)}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(images.read([row])[0]).save(path)
    return root


def fitted(run, on, *names, code="L6", **options):
    return fit(Fitting(f"{run}@{code}", names, str(on), device="cpu", **options))


def files(run):
    root = run / "transforms"
    return {str(path.relative_to(root)) for path in root.rglob("*.safetensors")}


def encoder(run, code):
    network = open_network(str(run))
    return Encoder(network, [parse_code(f"{run}@{code}")], choose_runtime("cpu", "fp32"))


def test_several_at_once(run, pictures):
    made = fitted(run, pictures, "whiten8", "pca16/pq4", "pca16/int8", "disc4")
    assert [step.spec.name for step in made] == [
        f"{run}@L6/whiten8", f"{run}@L6/pca16/pq4", f"{run}@L6/pca16/int8", f"{run}@L6/disc4",
    ]  # fmt: skip
    # what a chain begins with is fitted and kept too
    assert files(run) == {
        "L6/whiten8.safetensors", "L6/pca16.safetensors", "L6/pca16/pq4.safetensors",
        "L6/pca16/int8.safetensors", "L6/disc4.safetensors",
    }  # fmt: skip
    for step in made:
        code = step.spec.name.rpartition("@")[2]
        assert encoder(run, code).specs[0] == step.spec
        assert step.on.count == 299
        assert step.on.source == f"{pictures.name} (folder)"
        assert step.on.labels == code.startswith("L6/disc")
        content = (run / "transforms" / f"{code}.safetensors").read_bytes()
        assert str(pictures).encode() not in content  # no path of this machine


def test_an_encoder_applies_the_chain(run, pictures):
    fitted(run, pictures, "pca16/int8")
    pixels = digits().pixels[:50]
    base = encoder(run, "L6").encode(pixels)[0]
    maker = encoder(run, "L6/pca16/int8")
    pca = load_fitted(run / "transforms/L6/pca16.safetensors").transform
    int8 = load_fitted(run / "transforms/L6/pca16/int8.safetensors").transform
    np.testing.assert_allclose(maker.encode(pixels)[0], int8.apply(pca.apply(base)), atol=1e-6)
    np.testing.assert_allclose(maker.encode(pixels, "query")[0], pca.apply(base), atol=1e-6)
    stored = maker.encode(pixels, "stored")[0]
    assert (stored.dtype, stored.shape) == (np.uint8, (50, maker.specs[0].bytes_per_code))
    np.testing.assert_array_equal(maker.chains[0].decode(stored), maker.encode(pixels)[0])


def test_a_step_behind_one_that_is_there(run, pictures):
    fitted(run, pictures, "pca16")
    before = (run / "transforms/L6/pca16.safetensors").stat().st_mtime_ns
    one = fitted(run, pictures, "pca16/binary")[0]
    two = fitted(run, pictures, "binary", code="L6/pca16", refit=True)[0]
    assert one.spec.name == two.spec.name
    assert one.spec.transforms[0] == two.spec.transforms[0]
    # the same but for rounding: codes were transformed in pieces of another size
    np.testing.assert_allclose(
        one.transform.tensors["middle"], two.transform.tensors["middle"], atol=1e-5
    )
    assert (run / "transforms/L6/pca16.safetensors").stat().st_mtime_ns == before


def test_pooled_maps_have_a_folder_of_their_own(run, pictures):
    made = fitted(run, pictures, "pca8", code="relu5/gem")[0]
    assert files(run) == {"relu5/gem/pca8.safetensors"}
    assert made.spec.pooling == "gem"
    assert encoder(run, "relu5/gem3/pca8").specs[0] == made.spec


def test_on_the_images_of_the_training(run):
    made = fitted(run, "train", "pca8", "lw8")
    split = prepare(DEMO).split.train
    assert made[0].on.images == split.fingerprint()
    assert made[1].on.labels
    sampled = fitted(run, "train", "whiten8", sample=100)[0]
    assert sampled.on.count == 100
    again = fitted(run, "train", "whiten8", sample=100, refit=True)[0]
    assert again.spec == sampled.spec
    other = fitted(run, "train", "whiten8", sample=100, seed=1, refit=True)[0]
    assert other.spec != sampled.spec


def test_pairs_without_labels(run, pictures):
    with_labels = fitted(run, pictures, "lw8")[0]
    without = fitted(run, pictures, "lw8", labels="none", refit=True)[0]
    assert (with_labels.on.labels, without.on.labels) == (True, False)
    assert with_labels.spec != without.spec


def test_a_transform_is_not_overwritten_unasked(run, pictures):
    fitted(run, pictures, "pca8/int8")
    path = run / "transforms/L6/pca8.safetensors"
    before = load_fitted(path)
    with pytest.raises(UserError, match=r"pca8.safetensors: is there already, fitted on .*--refit"):
        fitted(run, "train", "pca8")
    fitted(run, pictures, "pca8", refit=True)
    assert load_fitted(path).spec == before.spec
    encoder(run, "L6/pca8/int8")
    fitted(run, "train", "pca8", refit=True)
    with pytest.raises(UserError, match=r"int8: fitted on another code.*transforms differ"):
        encoder(run, "L6/pca8/int8")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pca500", {}, "pca500: .* 128 dimensions"),
        ("pcb8", {}, "unknown transform or pooling 'pcb8'"),
        ("half", {}, "half has nothing to learn; .* --code .*@L6/half"),
        ("int8/pca8", {}, "int8 must be the last transform; pca8 cannot follow"),
        ("pca4/", {}, "unknown transform or pooling ''"),
        ("pca4", {"labels": "maybe"}, "--labels maybe: choose folder or none"),
        ("pca4", {"sample": 1}, "--sample 1"),
        ("pq7", {}, "pq7: codes of 128 dimensions"),
        ("pca4", {"code": "L5/gem"}, "pooling gem: layer 'flatten' gives 512 values, not a map"),
        ("pca4", {"code": "L6/pca16"}, "not fitted yet"),
    ],
)
def test_what_a_user_can_get_wrong(trained, pictures, name, options, message):
    with pytest.raises(UserError, match=message):
        fitted(trained, pictures, name, **options)
    assert not (trained / "transforms").exists()


def test_the_training_images_must_be_the_runs_own(run, pictures):
    config = run / "config.json"
    config.write_text(config.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    with pytest.raises(UserError, match="not the images that"):
        fitted(run, "train", "pca8")


def test_a_code_of_another_precision_is_refused(run, pictures):
    fitted(run, pictures, "pca8")
    request = parse_code(f"{run}@L6/pca8")
    with pytest.raises(UserError, match=r"pca8: fitted on another code.*precision differ"):
        Encoder(open_network(str(run)), [request], choose_runtime("cpu", "bf16"))
