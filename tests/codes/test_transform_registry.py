"""Transforms of installed packages."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from transform_data import ON, class_codes, codes_of

from neuralcodes.codes.transforms import registry
from neuralcodes.codes.transforms.chain import Chain, apply_transforms, fit_transform
from neuralcodes.codes.transforms.fitted import load_fitted, save_fitted
from neuralcodes.codes.transforms.registry import get_transform, transform_names
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError

GOOD = """
import numpy as np
from neuralcodes.codes.transforms.base import Linear
from neuralcodes.codes.transforms.registry import register

@register("NAME", "N")
class First(Linear):
    @classmethod
    def fit(cls, training, number):
        dims = training.values.shape[1]
        matrix = np.eye(number, dims, dtype=np.float32)
        return cls(number, {"mean": np.zeros(dims, np.float32), "matrix": matrix})
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers leaves with it."""
    transform_names()
    monkeypatch.setattr(
        registry, "_KINDS", replace(registry._KINDS, entries=dict(registry._KINDS.entries))
    )


def install(folder, monkeypatch, module, code):
    """An installed package `module` with a `neuralcodes.transforms` entry point `plug`."""
    (folder / f"{module}.py").write_text(code)
    facts = folder / f"{module}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[neuralcodes.transforms]\nplug = {module}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, module, raising=False)


def test_a_transform_of_an_installed_package(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "plug_transform", GOOD.replace("NAME", "first"))
    values, labels = class_codes(50, 12)
    codes = codes_of(values)
    fitted = fit_transform(codes.spec, "first5", Training(values, labels), ON)
    assert "firstN" in transform_names()
    save_fitted(tmp_path / "t.safetensors", fitted)
    chain = Chain(codes.spec).then(load_fitted(tmp_path / "t.safetensors"))
    expected = values[:, :5] / np.linalg.norm(values[:, :5], axis=1, keepdims=True)
    np.testing.assert_allclose(apply_transforms(codes, chain).values, expected, atol=1e-6)
    assert (chain.spec.dims, chain.spec.bytes_per_code) == (5, 20)


@pytest.mark.parametrize(
    ("module", "code", "reason"),
    [
        ("plug_t_absent", "import a_package_that_is_not_there", "ModuleNotFoundError"),
        ("plug_t_thief", GOOD.replace("NAME", "pca"), "the transform name 'pca' is taken"),
    ],
)
def test_a_broken_plug_in_is_named_and_ours_still_work(tmp_path, monkeypatch, module, code, reason):
    install(tmp_path, monkeypatch, module, code)
    ours = get_transform("pca8")
    for ask in (transform_names, lambda: get_transform("first5")):
        with pytest.raises(UserError) as caught:
            ask()
        assert f"transform plug-in 'plug' ({module}, from {module})" in str(caught.value)
        assert reason in str(caught.value)
    assert get_transform("pca8") == ours
    assert ours[0].kind == "pca"
