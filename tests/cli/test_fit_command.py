"""fit as a user types it, and the codes that it makes possible, on a real run."""

import shutil

import numpy as np
import pytest
from sklearn.decomposition import PCA
from test_errors import refused

from neuralcodes.codes.store import load_codes


@pytest.fixture(scope="module")
def run(small_run, command, digit_folders, tmp_path_factory):
    """A copy of the run with several transforms fitted in one go."""
    run = tmp_path_factory.mktemp("fit") / "run"
    shutil.copytree(small_run, run)
    result = command(
        "fit", "--code", f"{run}@L6", "pca16", "pca16/int8", "disc8", "--on", digit_folders,
        "--device", "cpu",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"--code {run}@L6/pca16: 16 dimensions, 64 bytes, 9")
    assert lines[1] == f"--code {run}@L6/pca16/int8: 16 dimensions, 16 bytes"
    assert lines[2] == f"--code {run}@L6/disc8: 8 dimensions, 32 bytes"
    images = len(list(digit_folders.rglob("*.png")))
    assert lines[3] == f"fitted on {images} images of {digit_folders.name} (folder)"
    return run


def test_extracted_codes_are_those_of_scikit_learn(run, command, digit_folders, tmp_path):
    names = ("L6", "L6/pca16", "L6/pca16/int8", "relu6/pca16", "relu5/gem/half")
    options = [part for name in names for part in ("--code", f"{run}@{name}")]
    result = command("extract", digit_folders, *options, "--out", tmp_path, "--device", "cpu")
    assert result.returncode == 0, result.stderr
    base = load_codes(tmp_path / "L6").values
    codes = load_codes(tmp_path / "L6-pca16")
    reference = PCA(16, svd_solver="full").fit(base.astype(np.float64)).transform(base)
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    signs = np.sign((reference * codes.values).sum(axis=0))
    np.testing.assert_allclose(codes.values * signs, reference, atol=1e-4)
    rounded = load_codes(tmp_path / "L6-pca16-int8")
    assert rounded.spec.bytes_per_code == 16
    np.testing.assert_allclose(rounded.values, codes.values, atol=0.01)
    assert not np.array_equal(rounded.values, codes.values)
    # the layer's alias and its own name are one code
    load_codes(tmp_path / "relu6-pca16").spec.require_same(codes.spec)
    judged = command("evaluate", tmp_path / "L6-pca16-int8", "--protocol", "class-retrieval")
    assert judged.returncode == 0, judged.stderr
    assert "warning: pca16, int8: fitted on these very images" in judged.stderr
    pooled = load_codes(tmp_path / "relu5-gem-half").spec
    assert (pooled.dims, pooled.bytes_per_code) == (32, 64)


def test_what_a_user_can_get_wrong(run, command, digit_folders, tmp_path):
    fit = ("fit", "--code", f"{run}@L6", "--on", digit_folders)
    refused(command(*fit, "pca16"), run / "transforms/L6/pca16.safetensors", "--refit")
    refused(command(*fit, "pcb8"), "pcb8", "pcaN", "pqM")
    extract = ("extract", digit_folders, "--out", tmp_path, "--code")
    refused(command(*extract, f"{run}@L6/pca9"), f"neuralcodes fit --code {run}@L6 pca9")
