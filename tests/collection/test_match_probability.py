"""Match probabilities of a collection: measured on its own searches, shown beside distances."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from painted import lay_pictures, save_small
from PIL import Image

from made import make_images
from neuralcodes.codes.probability import (
    load_probability,
    probability_file,
    save_probability,
)
from neuralcodes.collection.collection import Collection
from neuralcodes.collection.results import shown_probability
from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.calibration import fit_curve

Make = Callable[..., Collection]


def lay_classes(root: Path, count: int = 90, classes: int = 6) -> Path:
    """Noise around one colour a class, in class folders."""
    images = make_images(count, classes, size=32)
    for row in range(count):
        folder = root / f"class{images.label_array()[row]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.read([row])[0]).save(folder / f"{row}.png")
    return root


@pytest.fixture
def labelled(make: Make, tmp_path: Path) -> Collection:
    collection = make("labelled")
    collection.sync([lay_classes(tmp_path / "classes")])
    return collection


def test_labels_are_judged_on_what_searches_return(labelled: Collection) -> None:
    assert labelled.search(1, k=3)[0].probability is None
    assert "probability" not in labelled.search(1, k=3)[0].to_json()
    known = labelled.calibrate_distances(depth=5)
    # the same from plain searches, one by one
    distances, matches = [], []
    for image in labelled.images():
        for match in labelled.search(image.id, k=5):
            distances.append(match.distance)
            matches.append(match.image.label == image.label)
    expected = fit_curve(np.array(distances), np.array(matches), "isotonic")
    near = np.linspace(min(distances), max(distances), 50)
    np.testing.assert_allclose(known.of(near), expected.of(near), atol=1e-6)
    reliability = known.facts["reliability"]
    assert (reliability["queries"], reliability["results"]) == (90, 450)
    assert reliability["held_out"] == "classes"
    assert reliability["groups"] == 6
    assert reliability["base_rate"] == pytest.approx(np.mean(matches))


def test_it_is_shown_beside_every_distance(labelled: Collection) -> None:
    known = labelled.calibrate_distances(method="logistic")
    with Collection.open(labelled.path) as again:
        results = again.search(1, k=5)
        for match in results:
            assert match.probability == pytest.approx(float(known.of(match.distance)))
            assert match.to_json()["probability"] == round(match.probability or 0, 4)
            shown = shown_probability(match.probability)
            escaped = shown.replace("<", "&lt;").replace(">", "&gt;")
            assert f"{match.distance:.3f} · {escaped}" in results.to_html()
            assert f"{match.distance:.3f} · {escaped}" in results._repr_html_()
        assert "has the query&#39;s label" in results.to_html()
        assert results.to_json()["probability_means"] == results.means
        (found,) = again.search_codes(again.codes([1]), k=1)
        assert found[0].probability == pytest.approx(float(known.of(found[0].distance)))
        about = again.info().probability
        assert about is not None
        assert (about["method"], about["count"], about["stale"]) == ("logistic", 90, "")


def test_views_where_there_are_no_labels(make: Make, tmp_path: Path) -> None:
    collection = make("unlabelled")
    collection.sync([lay_pictures(tmp_path / "pictures", 60, folders=1)])
    known = collection.calibrate_distances(queries=240, depth=5)
    assert known.match == "shows the same picture, altered"
    reliability = known.facts["reliability"]
    assert (reliability["held_out"], reliability["groups"]) == ("pictures", 40)
    assert (reliability["queries"], reliability["results"]) == (240, 1200)
    # half of the views have their picture hidden, so at most about half find it
    assert 0 < reliability["base_rate"] * 5 < 0.65
    assert known.of(0.0) > known.of(1.0)
    with pytest.raises(UserError, match="choose one"):
        collection.calibrate_distances("label", views=True)
    with pytest.raises(UserError, match=r"--labels colour: no such column; there are: path"):
        collection.calibrate_distances("colour")


def test_a_column_of_the_users_own(labelled: Collection) -> None:
    rows = [
        {"id": image.id, "kind_of": "a" if image.label in ("class0", "class1") else "b"}
        for image in labelled.images()
        if image.id != 5
    ]
    labelled.set_metadata(rows)
    known = labelled.calibrate_distances("kind_of", depth=5)
    assert known.match == "has the query's kind_of"
    reliability = known.facts["reliability"]
    assert reliability["queries"] == 89  # the one without a value is not asked by
    assert reliability["held_out"] == "queries"  # two classes are too few to hold some out
    assert reliability["results"] <= 89 * 5


def test_stale_when_it_has_grown_by_half(labelled: Collection, tmp_path: Path) -> None:
    known = labelled.calibrate_distances()
    assert labelled.search(1).warning == ""
    assert known.stale(134) == ""
    labelled.sync([lay_pictures(tmp_path / "more", 45)])
    assert "stale: calibrated on 90 images, now there are 135" in labelled.search(1).warning
    about = labelled.info().probability
    assert about is not None
    assert "stale" in about["stale"]
    assert labelled.search(1)[0].probability is not None
    labelled.calibrate_distances()
    assert labelled.search(1).warning == ""


def test_another_codes_calibration_is_refused_by_name(
    labelled: Collection, tmp_path: Path, code: str
) -> None:
    known = labelled.calibrate_distances()
    other = save_small(tmp_path / "other.safetensors", seed=7)
    with Collection.create(tmp_path / "second", f"{other}@L6", device="cpu") as second:
        second.sync([lay_pictures(tmp_path / "pictures", 3)])
        with pytest.raises(UserError, match=r"L6.*says nothing of .*other.*weights differ"):
            second.use_probability(known)
        # put there by hand under the right name it is not believed either
        save_probability(probability_file(second.path, second.spec), known)
        with pytest.raises(UserError, match="says nothing of"):
            second.search(1)
    with Collection.create(tmp_path / "third", code, device="cpu") as third:
        third.sync([lay_pictures(tmp_path / "pictures", 3)])
        third.use_probability(known)
        assert third.search(1)[0].probability is not None
        assert "now there are 3" in third.search(1).warning


def test_what_is_written_is_what_is_read(labelled: Collection) -> None:
    known = labelled.calibrate_distances()
    file = probability_file(labelled.path, labelled.spec)
    assert labelled.spec.fingerprint() in file.name
    again = load_probability(file)
    assert again == known
    facts = json.loads(file.read_text())
    for change in (
        {"calibration": 2},
        {"curve": {**facts["curve"], "probabilities": facts["curve"]["probabilities"][::-1]}},
        {"curve": {"method": "logistic", "slope": 3, "intercept": 0}},
        {"curve": {"method": "isotonic", "distances": [], "probabilities": []}},
        {"count": "many"},
    ):
        file.write_text(json.dumps({**facts, **change}))
        with pytest.raises(UserError, match="calibrate again"):
            load_probability(file)
    file.write_text("{")
    with pytest.raises(UserError, match="not a JSON file"):
        labelled.search(1)
    labelled.calibrate_distances()
    assert labelled.search(1)[0].probability is not None
    assert replace(again, count=30).stale(90)


def test_searching_with_it_needs_no_scikit_learn(labelled: Collection) -> None:
    labelled.calibrate_distances()
    program = (
        "import sys; from neuralcodes.collection.collection import Collection\n"
        "with Collection.open(sys.argv[1]) as c: r = c.search(1)\n"
        "assert r[0].probability is not None\n"
        "print(sorted(m for m in ('sklearn', 'torch', 'matplotlib') if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(labelled.path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
