"""Chains of transforms: order, forms, files, and what belongs to what."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from transform_data import ON, class_codes, codes_of, spec_of

from neuralcodes.codes.store import load_codes, save_codes
from neuralcodes.codes.transforms.base import unit_length
from neuralcodes.codes.transforms.chain import (
    Chain,
    apply_transforms,
    fit_transform,
    open_chain,
    unfitted,
)
from neuralcodes.codes.transforms.fitted import (
    Fitted,
    fitted_on_any,
    load_fitted,
    save_fitted,
    transform_file,
)
from neuralcodes.codes.transforms.registry import get_transform, register, transform_names
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError

VALUES, LABELS = class_codes(400, 32)
CODES = codes_of(VALUES)


def chain_of(*names, codes=CODES):
    """Fits each of the names on what those before it give."""
    chain, values = Chain(codes.spec), codes.values
    for name in names:
        training = Training(values, LABELS)
        chain = chain.then(fit_transform(chain.spec, name, training, ON))
        values = chain.steps[-1].transform.apply(values)
    return chain


def test_a_chain_is_its_steps_one_after_the_other():
    chain = chain_of("pca16", "whiten8", "int8")
    values = CODES.values
    for step in chain.steps:
        values = step.transform.apply(values)
    made = apply_transforms(CODES, chain)
    np.testing.assert_allclose(made.values, values, atol=1e-6)
    assert made.keys == CODES.keys
    assert made.images == CODES.images


def test_the_spec_says_what_was_done():
    chain = chain_of("pca16", "int8")
    spec = chain.spec
    assert spec.name == "runs/a@L6/pca16/int8"
    assert [t.partition(":")[0] for t in spec.transforms] == ["pca16", "int8"]
    assert (spec.dims, spec.bytes_per_code) == (16, 16)
    assert len({s.spec.fingerprint() for s in chain.steps} | {CODES.spec.fingerprint()}) == 3
    # what is learned counts, not what it is called
    other = chain_of("pca16", codes=codes_of(VALUES[::-1] ** 2))
    assert other.spec.name == chain_of("pca16").spec.name
    assert other.spec.fingerprint() != chain_of("pca16").spec.fingerprint()


@pytest.mark.parametrize(
    ("names", "size"),
    [
        ((), 128), (("pca8",), 32), (("pca8", "half"), 16), (("pca8", "int8"), 8),
        (("pca12", "binary"), 2), (("pca16", "pq4"), 4), (("binary",), 4), (("pca16", "opq2"), 2),
    ],
)  # fmt: skip
def test_stored_codes_take_what_the_spec_says(names, size):
    chain = chain_of(*names)
    assert chain.spec.bytes_per_code == size
    stored = chain.make(VALUES, "stored")
    assert (stored.dtype, stored.shape) == (np.uint8, (400, size))
    searched = chain.make(VALUES)
    assert (searched.dtype, searched.shape) == (np.float32, (400, chain.spec.dims))
    np.testing.assert_allclose(chain.decode(stored), searched, atol=1e-6)
    np.testing.assert_allclose(chain.decode(stored[7:8]), searched[7:8], atol=1e-6)


def test_a_query_is_transformed_but_not_rounded():
    whole, without = chain_of("pca8", "int8"), chain_of("pca8")
    query = apply_transforms(CODES, whole, "query")
    np.testing.assert_array_equal(query.values, apply_transforms(CODES, without).values)
    query.spec.require_same(apply_transforms(CODES, whole).spec)
    np.testing.assert_array_equal(without.make(VALUES, "query"), without.make(VALUES))


def test_nothing_follows_a_quantiser():
    chain = chain_of("pca8", "int8")
    with pytest.raises(UserError, match="int8/half: int8 must be the last"):
        chain.then(unfitted(chain.spec, "half"))


def test_codes_of_another_kind_are_refused():
    chain = chain_of("pca8")
    with pytest.raises(UserError, match="cannot be compared: weights differ"):
        apply_transforms(replace(CODES, spec=replace(CODES.spec, weights="x")), chain)
    with pytest.raises(UserError, match="runs/a@L6/pca8: fitted on another code; fit it again"):
        Chain(replace(CODES.spec, layer="relu7")).then(chain.steps[0])
    with pytest.raises(UserError, match="transforms, dims differ"):
        Chain(CODES.spec).then(chain_of("pca8", "pca4").steps[1])


def test_transformed_codes_are_kept_as_others_are(tmp_path):
    made = apply_transforms(CODES, chain_of("pca8", "pq4"))
    save_codes(tmp_path / "c", made)
    back = load_codes(tmp_path / "c")
    assert back.spec == made.spec
    assert back.spec.bytes_per_code == 4
    np.testing.assert_array_equal(back.values, made.values)


def test_rows_of_zeros():
    zero = np.zeros((2, 32), np.float32)
    assert not unit_length(zero).any()
    for names in (("pca8",), ("half",), ("int8",), ("pca8", "binary")):
        assert np.isfinite(chain_of(*names).make(zero)).all()


@pytest.mark.parametrize(
    "name", ["pca8", "whiten8", "lw8", "disc4", "int8", "binary", "pq4", "opq4"]
)
def test_a_file_holds_all(tmp_path, name):
    fitted = fit_transform(CODES.spec, name, Training(VALUES, LABELS), ON)
    path = tmp_path / f"{name}.safetensors"
    save_fitted(path, fitted)
    back = load_fitted(path)
    assert back.transform.name == name
    assert back.spec == fitted.spec
    assert back.transform.facts == fitted.transform.facts
    assert back.before == CODES.spec
    assert back.on == replace(ON, labels=name in ("lw8", "disc4"))
    np.testing.assert_array_equal(back.transform.apply(VALUES), fitted.transform.apply(VALUES))
    with safe_open(path, "np") as file:  # others can read it
        assert set(file.keys()) == set(fitted.transform.tensors)
        assert json.loads(file.metadata()["fitted_on"])["images"] == ON.images


def test_damaged_and_strange_files_are_refused(tmp_path):
    path = tmp_path / "pca8.safetensors"
    with pytest.raises(UserError, match="no such transform"):
        load_fitted(path)
    save_fitted(path, chain_of("pca8").steps[0])
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged, its numbers"):
        load_fitted(path)
    path.write_bytes(content[:-100])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_fitted(path)
    save_file({"a": np.ones(3)}, path)
    with pytest.raises(UserError, match="not a transform that this version reads"):
        load_fitted(path)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder where a network would lie, and a code of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/a").mkdir(parents=True)
    return CODES


def test_files_lie_in_the_order_of_the_chain(run):
    spec = run.spec  # layer relu6 of the reference network, which it calls L6
    root = "runs/a/transforms"
    assert str(transform_file(spec, ["pca8"])) == f"{root}/L6/pca8.safetensors"
    assert str(transform_file(spec, ["pca8", "pq4"])) == f"{root}/L6/pca8/pq4.safetensors"
    pooled = replace(spec, layer="relu5", pooling="gem")
    assert str(transform_file(pooled, ["pca8"])) == f"{root}/relu5/gem/pca8.safetensors"
    with pytest.raises(UserError, match="elsewhere: no such run folder"):
        transform_file(replace(spec, name="elsewhere@L6"), ["pca8"])


def test_networks_without_a_folder_have_one_in_the_data_folder(run, monkeypatch, tmp_path):
    """Two revisions of a pretrained network never share a fitted file."""
    monkeypatch.setenv("NEURALCODES_HOME", str(tmp_path / "home"))
    shipped = replace(run.spec, name="shipped@L6")
    where = tmp_path / "home/transforms"
    weights = run.spec.weights[:16]
    assert transform_file(shipped, ["pca8"]) == where / f"shipped-{weights}/L6/pca8.safetensors"
    hub = replace(
        run.spec, name="hf:some/net#main@encoder.1", network="hf:some/net", layer="encoder.1"
    )
    one = transform_file(hub, ["pca8", "int8"])
    assert one == where / f"hf-some-net-{weights}/encoder.1/pca8/int8.safetensors"
    assert transform_file(replace(hub, weights="0" * 32), ["pca8", "int8"]) != one
    local = replace(hub, name="hf:./runs/a@encoder.1")
    assert transform_file(local, ["pca8"]) == Path("runs/a/transforms/encoder.1/pca8.safetensors")
    save_fitted(transform_file(shipped, ["pca8"]), chain_of("pca8").steps[0])
    assert open_chain(shipped, ["pca8"]).spec.name == "shipped@L6/pca8"
    monkeypatch.delenv("NEURALCODES_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert transform_file(shipped, ["pca8"]).is_relative_to(tmp_path / "data/neuralcodes")


def test_a_chain_is_opened_by_its_names(run):
    chain = chain_of("pca8", "int8")
    for place, names in enumerate((["pca8"], ["pca8", "int8"])):
        save_fitted(transform_file(run.spec, names), chain.steps[place])
    opened = open_chain(run.spec, ["pca8", "int8"])
    assert opened.spec == chain.spec
    np.testing.assert_array_equal(opened.make(VALUES), chain.make(VALUES))
    assert open_chain(run.spec, []).spec == run.spec
    with pytest.raises(UserError, match=r"L6/pca8/pq4: not fitted yet; run: neuralcodes fit"):
        open_chain(run.spec, ["pca8", "pq4"])
    with pytest.raises(UserError, match="precision differ"):
        open_chain(replace(run.spec, precision="bf16"), ["pca8"])
    # the part after a transform that was fitted again is not of that chain any more
    again = codes_of(VALUES[:200])
    save_fitted(transform_file(run.spec, ["pca8"]), chain_of("pca8", codes=again).steps[0])
    with pytest.raises(UserError, match=r"int8: fitted on another code.*transforms differ"):
        open_chain(run.spec, ["pca8", "int8"])


def test_transforms_that_were_fitted_on_the_images_at_hand_are_named(run):
    chain = chain_of("pca8", "int8")
    other = replace(chain.steps[1], on=replace(ON, images="of others"))
    save_fitted(transform_file(run.spec, ["pca8"]), chain.steps[0])
    save_fitted(transform_file(run.spec, ["pca8", "int8"]), other)
    assert fitted_on_any(chain.spec, {ON.images}) == ("pca8",)
    assert fitted_on_any(chain.spec, {"of others", ON.images}) == ("pca8", "int8")
    assert fitted_on_any(chain.spec, {"of none"}) == ()
    assert fitted_on_any(replace(chain.spec, name="gone@L6/pca8/int8"), {ON.images}) == ()
    again = chain_of("pca8", codes=codes_of(VALUES[:200])).steps[0]
    save_fitted(transform_file(run.spec, ["pca8"]), again)  # not what made these codes
    assert fitted_on_any(chain.spec, {ON.images}) == ()


def test_half_needs_no_file(run):
    chain = open_chain(run.spec, ["half"])
    assert chain.spec.bytes_per_code == 64
    assert chain.spec.fingerprint() == open_chain(run.spec, ["half"]).spec.fingerprint()


def test_a_folder_that_was_renamed_is_still_the_same_code(run):
    step = chain_of("pca8").steps[0]
    chain = Chain(replace(run.spec, name="moved@L6")).then(step)
    assert chain.spec.name == "moved@L6/pca8"
    chain.spec.require_same(chain_of("pca8").spec)


def test_names():
    assert transform_names() == [
        "binary", "discN", "half", "int8", "lwN", "opqM", "pcaN", "pqM", "whitenN",
    ]  # fmt: skip
    assert get_transform("pca128")[1] == 128
    assert get_transform("int8")[1] is None
    for name in ("pca", "pca0", "pca-1", "int16", "half2", "gemm", "128", ""):
        with pytest.raises(UserError, match=r"unknown transform or pooling .* pcaN.* gemP"):
            get_transform(name)


def test_a_name_is_taken_once():
    kind, _ = get_transform("pca8")
    assert register("pca", "N")(kind) is kind
    with pytest.raises(ValueError, match="'pca' is taken"):
        register("pca", "N")(get_transform("whiten8")[0])


def test_bytes_of_an_unknown_transform():
    spec = replace(spec_of(8), transforms=("zip9:00",))
    with pytest.raises(UserError, match="zip9"):
        _ = spec.bytes_per_code


def test_fitted_spec_extends_the_code_before():
    fitted = chain_of("pca8").steps[0]
    assert isinstance(fitted, Fitted)
    assert fitted.spec.transforms == (f"pca8:{fitted.transform.digest()}",)
    assert fitted.spec.dims == 8


def test_bytes_of_a_code_are_told_without_torch():
    transforms = ("pca128:00", "opq16:11")
    program = (
        "import sys; from dataclasses import replace; from made import make_spec;"
        f"spec = replace(make_spec(2048), transforms={transforms!r});"
        "print(spec.bytes_per_code, 'torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert result.stdout.split() == ["16", "False"], result.stderr
