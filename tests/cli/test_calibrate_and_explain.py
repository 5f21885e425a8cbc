"""calibrate and explain as a user types them, on a real run and collection."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from test_errors import refused

from neuralcodes.codes.probability import load_probability
from neuralcodes.codes.store import load_codes


@pytest.fixture(scope="module")
def run(small_run, tmp_path_factory):
    """A copy of the run: its codes' calibration lies beside them."""
    run = tmp_path_factory.mktemp("calibrate") / "run"
    shutil.copytree(small_run, run)
    return run


@pytest.fixture(scope="module")
def collection(run, command, digit_folders, tmp_path_factory):
    path = tmp_path_factory.mktemp("collection") / "digits.nc"
    done = command("index", digit_folders, "--collection", path, "--code", f"{run}@L6",
                   "--device", "cpu")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return path


def test_codes_of_a_run(run, command, tmp_path):
    page = tmp_path / "page.html"
    result = command("calibrate", f"{run}@L6", "--method", "logistic", "--plot", page)
    assert result.returncode == 0, result.stderr
    assert "Probability that a result has the query's class, when it is among the first 10" in (
        result.stdout
    )
    assert "2 classes" not in result.stdout  # too few to hold any out
    assert "queries held out in 5 folds" in result.stdout
    spec = load_codes(run / "codes" / "L6").spec
    known = load_probability(run / "codes" / f"calibration-{spec.fingerprint()}.json")
    assert known.curve.method == "logistic"
    assert known.of(0.1) > known.of(1.2)
    html = page.read_text()
    assert "<svg" in html
    assert spec.fingerprint() in html
    assert "://" not in html.split("<svg")[0]
    elsewhere = tmp_path / "elsewhere.json"
    again = command("calibrate", run / "codes" / "L6", "--out", elsewhere, "--json")
    assert json.loads(again.stdout)["file"] == str(elsewhere)
    assert load_probability(elsewhere).curve.method == "isotonic"


def test_a_collection_shows_it_from_then_on(collection, command, tmp_path):
    before = command("search", collection, "id:1", "-k", 3).stdout
    assert "match" not in before.splitlines()[0]
    assert "matches" not in command("info", collection).stdout
    plot = tmp_path / "plot.png"
    done = command("calibrate", collection, "--plot", plot)
    assert done.returncode == 0, done.stderr
    assert "has the query's label" in done.stdout
    assert "6 classes held out" in done.stdout
    with Image.open(plot) as picture:
        assert picture.width > 400
    lines = command("search", collection, "id:1", "-k", 3).stdout.splitlines()
    assert lines[0].split()[:3] == ["#", "distance", "match"]
    assert lines[1].split()[3] == "%"
    assert "how often a result at this distance has the query's label" in lines[-1]
    sheet = tmp_path / "sheet.html"
    line = command("search", collection, "id:1", "-k", 1, "--json", "--html", sheet).stdout
    assert 0 < json.loads(line)["probability"] < 1
    assert " %</b>" in sheet.read_text()
    about = command("info", collection).stdout
    assert "probability that a result has the query's label (isotonic" in about
    facts = json.loads(command("info", collection, "--json").stdout)["probability"]
    assert facts["held_out"] == "classes"
    # of another code it is refused, and that of the same is taken over
    other = tmp_path / "other.json"
    shutil.copy(next(collection.glob("calibration-*.json")), other)
    assert command("calibrate", collection, "--use", other).returncode == 0
    known = json.loads(other.read_text())
    known["code"]["layer"] = "relu7"
    other.write_text(json.dumps(known))
    refused(command("calibrate", collection, "--use", other), "changed by hand")


def test_calibrate_refuses(run, collection, command, tmp_path):
    refused(command("calibrate", collection, "--labels", "x", "--views"), "choose one")
    refused(command("calibrate", collection, "--method", "guess"), "isotonic or logistic")
    refused(command("calibrate", collection, "--plot", "x.svg"), ".png or .html")
    refused(command("calibrate", collection, "--out", "x.json"), "--out")
    refused(command("calibrate", run), "a folder")
    refused(command("calibrate", tmp_path / "none"), "no such file")


def test_explain_files_and_images_of_a_collection(
    run, collection, command, digit_folders, tmp_path
):
    one, other = sorted((digit_folders / "4").glob("*.png"))[:2]
    out = tmp_path / "why.png"
    result = command(
        "explain", one, other, "--code", f"{run}@L5", "--out", out, "--json", "--check"
    )
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["exact"]
    for side in ("query", "result"):
        assert np.sum(facts[side]["parts"]) == pytest.approx(facts["similarity"], abs=1e-4)
    assert facts["distance"] ** 2 == pytest.approx(2 - 2 * facts["similarity"], abs=1e-5)
    assert set(facts["on_the_query"]) == {"hottest", "others", "beats"}
    with Image.open(out) as picture:
        assert picture.width > 3 * picture.height
    # a calibration beside the run's codes is read
    command("calibrate", f"{run}@L6")
    said = command("explain", one, other, "--code", f"{run}@L6", "--out", out, "--layer", "conv4")
    assert "probability of a match" in said.stdout
    assert "map of layer conv4" in said.stdout
    command("calibrate", collection)
    said = command("explain", "id:1", "id:2", "--collection", collection, "--out", out)
    assert said.returncode == 0, said.stderr
    found = json.loads(command("search", collection, "id:1", "-k", 1, "--json").stdout)
    assert "probability of a match" in said.stdout
    same = command("explain", "id:1", f"id:{found['id']}", "--collection", collection, "--out", out,
                   "--json")  # fmt: skip
    facts = json.loads(same.stdout)
    assert facts["distance"] == pytest.approx(found["distance"], abs=1e-4)
    assert facts["probability"] == pytest.approx(found["probability"], abs=1e-3)


def test_explain_refuses(run, command, digit_folders, tmp_path):
    one = sorted((digit_folders / "4").glob("*.png"))[0]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    refused(command("explain", one, one), "--code or --collection")
    refused(command("explain", one, one, "--code", f"{run}@L5", "--out", "x.jpg"), ".png")
    refused(command("explain", one, tmp_path / "no.png", "--code", f"{run}@L5"), "no such file")
    refused(command("explain", one, broken, "--code", f"{run}@L5"), "broken.png")
    refused(
        command("explain", one, one, "--code", f"{run}@L5", "--layer", "relu7"), "--layer relu7"
    )
