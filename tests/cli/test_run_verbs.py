"""train → evaluate → report → extract, as a user types them."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from neuralcodes.codes.store import load_codes


def test_metrics_have_the_documented_form(small_run):
    metrics = json.loads((small_run / "metrics.json").read_text())
    assert list(metrics["splits"]) == ["train", "val", "test"]
    for score in metrics["splits"].values():
        assert set(score) == {"cross_entropy", "accuracy", "top5_accuracy"}
        assert score["accuracy"] > 0.8
    assert list(metrics["map"]) == ["L5", "L6", "L7"]
    for layer, mean in metrics["map"].items():
        assert metrics["map_low"][layer] < mean < metrics["map_high"][layer]


def test_map_equals_scikit_learn_on_the_codes_in_the_run_folder(small_run, digit_folders):
    metrics = json.loads((small_run / "metrics.json").read_text())
    for layer in ("L5", "L6", "L7"):
        codes = load_codes(small_run / "codes" / layer)
        labels = np.array([key.split("/")[0] for key in codes.keys])
        assert set(labels) == {"4", "5"}  # classes that training never saw
        wide = np.asarray(codes.values, dtype=np.float64)
        values = []
        for query in range(len(wide)):
            others = np.arange(len(wide)) != query
            scores = -((wide[others] - wide[query]) ** 2).sum(axis=1)
            values.append(average_precision_score(labels[others] == labels[query], scores))
        assert metrics["map"][layer] == pytest.approx(np.mean(values), abs=1e-6)


def test_run_folder_is_complete_and_names_no_place(small_run, digit_folders):
    names = {path.name for path in small_run.iterdir()}
    assert names >= {
        "config.json", "history.csv", "metrics.json", "training.json", "weights.safetensors",
        "report.html", "figures", "checkpoints", "codes", "retrieval",
    }  # fmt: skip
    config = (small_run / "config.json").read_text()
    assert str(digit_folders.parent) not in config
    assert json.loads(config)["train_classes"] == 4


def test_report_is_made_again(small_run, digit_folders, command):
    (small_run / "report.html").unlink()
    result = command("report", small_run, "--data", digit_folders)
    assert result.returncode == 0
    assert (small_run / "report.html").stat().st_size > 10_000


def test_extract_gives_the_codes_of_the_run(small_run, digit_folders, tmp_path, command):
    (digit_folders.parent / "bad").mkdir(exist_ok=True)
    result = command(
        "extract", digit_folders, "--code", f"{small_run}@L6", "--code", f"{small_run}@L7",
        "--out", tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    extracted, from_run = load_codes(tmp_path / "L6"), load_codes(small_run / "codes" / "L6")
    assert extracted.spec.fingerprint() == from_run.spec.fingerprint()
    place = {key: row for row, key in enumerate(extracted.keys)}
    rows = [place[key] for key in from_run.keys]
    np.testing.assert_allclose(extracted.values[rows], from_run.values, atol=2e-6)


def test_extract_lists_bad_images_and_goes_on(small_run, digit_folders, tmp_path, command):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    good = sorted((digit_folders / "0").iterdir())[0]
    (pictures / "good.png").write_bytes(good.read_bytes())
    (pictures / "cut.png").write_bytes(good.read_bytes()[:60])
    (pictures / "empty.jpg").write_bytes(b"")
    result = command("extract", pictures, "--code", f"{small_run}@L5", "--out", tmp_path / "c")
    assert result.returncode == 0
    assert "2 image(s) could not be read" in result.stderr
    assert "cut.png" in result.stderr and "empty.jpg" in result.stderr
    assert load_codes(tmp_path / "c" / "L5").keys == ("good.png",)


def test_layers_of_a_run_and_of_a_network_by_name(small_run, command):
    for network in (small_run, "small"):
        table = command("layers", network).stdout
        assert "L7" in table and "dense7" in table
    assert "40,516,382" in command("layers", "reference").stdout


def test_a_finished_run_resumes_to_the_same_weights(small_run, digit_folders, command):
    before = json.loads((small_run / "training.json").read_text())
    result = command(
        "train", "--out", small_run, "--data", digit_folders, "--network", "small", "--epochs", 6,
        "--train-classes", 4, "--learning-rate", 1e-3, "--batch-size", 16, "--patience", 6,
        "--device", "cpu", "--precision", "fp32", "--resume",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads((small_run / "training.json").read_text()) == before
    assert command("evaluate", small_run, "--data", digit_folders).returncode == 0
