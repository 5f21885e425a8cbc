"""`NeuralCodes` as scikit-learn uses it, against the collection that makes the same codes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from neuralcodes import Collection, NeuralCodes, UserError


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{number}.png" for number in range(6)]
    generator = np.random.default_rng(0)
    for path in paths:
        coarse = Image.fromarray(generator.integers(256, size=(4, 5, 3), dtype=np.uint8))
        coarse.resize((80, 60), Image.Resampling.BICUBIC).save(path)
    return paths


def test_scikit_learn_accepts_it() -> None:
    check_estimator(NeuralCodes())


def test_codes_are_those_of_a_collection(files: list[Path], tmp_path: Path) -> None:
    made = NeuralCodes().fit_transform(files)
    assert made.shape == (6, 128) and made.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    with Collection.create(tmp_path / "c.nc", "shipped") as collection:
        collection.sync(files)
        near = collection.search(files[0], 6)
    for match in near.matches:
        row = next(i for i, path in enumerate(files) if path.name in match.image.path)
        assert abs(np.linalg.norm(made[0] - made[row]) - match.distance) < 1e-3


def test_any_kind_of_picture(files: list[Path]) -> None:
    path = files[0]
    with Image.open(path) as image:
        kinds = [path, str(path), image.copy(), np.asarray(image), path.read_bytes()]
    made = NeuralCodes().transform(kinds)
    np.testing.assert_allclose(made, np.broadcast_to(made[:1], made.shape), atol=1e-3)
    assert NeuralCodes().transform([]).shape == (0, 128)


def test_in_a_pipeline(files: list[Path]) -> None:
    model = make_pipeline(NeuralCodes(), KNeighborsClassifier(1))
    labels = [0, 1, 2, 3, 4, 5]
    assert model.fit(files, labels).predict(files).tolist() == labels
    names = model[0].get_feature_names_out()
    assert len(names) == 128 and names[0] == "neuralcodes0"
    assert clone(model[0]).get_params() == model[0].get_params()
    again = pickle.loads(pickle.dumps(model[0]))
    np.testing.assert_array_equal(again.transform(files[:1]), model[0].transform(files[:1]))


def test_bad_pictures(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    mixed = [files[0], tmp_path / "bad.jpg", tmp_path / "absent.jpg", 5]
    with pytest.raises(UserError, match=r"^picture 1: .*bad\.jpg: "):
        NeuralCodes().transform(mixed)
    with pytest.raises(UserError, match=r"^picture 0: not a picture: a int is no picture"):
        NeuralCodes().transform(mixed[3:])
    made = NeuralCodes(bad="nan").transform(mixed)
    assert np.isnan(made).all(axis=1).tolist() == [False, True, True, True]
    with pytest.raises(UserError, match="bad='zero'"):
        NeuralCodes(bad="zero").fit()  # type: ignore[arg-type]
    with pytest.raises(UserError, match="unknown layer"):
        NeuralCodes("shipped@L9").fit()
