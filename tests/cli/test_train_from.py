"""`train --from` and `train --labels none`, as a user types them; and what a user can get wrong."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from neuralcodes.cli.main import make_app
from neuralcodes.common.errors import UserError

FAST = ("--device", "cpu", "--precision", "fp32")


@pytest.fixture(scope="module")
def retrained(command, small_run, digit_folders, tmp_path_factory):
    """The small run, trained on with its first convolutions frozen."""
    out = tmp_path_factory.mktemp("retrained") / "run"
    result = command(
        "train", "--from", small_run, "--data", digit_folders, "--out", out, "--epochs", 3,
        "--freeze", "conv2", "--layer-decay", 0.5, *FAST,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out, result.stdout


def read(path):
    return json.loads(path.read_text())


def test_before_is_what_evaluate_measured_of_the_start(retrained, small_run):
    """Both leave out the classes 4 and 5, so the figures must be those of the run itself."""
    out, _ = retrained
    metrics, start = read(out / "metrics.json"), read(small_run / "metrics.json")
    for key in ("map", "map_low", "map_high"):
        assert metrics["before"][key] == pytest.approx(start[key], abs=1e-6)


def test_the_change_is_that_of_each_query(retrained):
    out, printed = retrained
    metrics = read(out / "metrics.json")
    assert list(metrics["change"]) == ["L5", "L6", "L7"]
    for layer, change in metrics["change"].items():
        before, after = (
            np.array(read(out / folder / f"{layer}.json")["average_precision_of_queries"])
            for folder in ("before", "retrieval")
        )
        assert change["difference"] == pytest.approx((after - before).mean(), abs=1e-6)
        assert change["low"] <= change["difference"] <= change["high"]
        assert change["mean_a"] == pytest.approx(metrics["before"]["map"][layer], abs=1e-6)
        assert change["mean_b"] == pytest.approx(metrics["map"][layer], abs=1e-6)
        assert f"{change['difference']:+.4f}" in printed
    assert len({round(change["difference"], 4) for change in metrics["change"].values()}) > 1


def test_the_start_is_recorded_without_its_place(retrained, small_run):
    out, _ = retrained
    config = read(out / "config.json")
    assert config["network"] == "small"
    assert config["train_classes"] == 4
    assert config["start"] == {
        "name": "small",
        "network": "small",
        "classes": 4,
        "weights": read(small_run / "training.json")["weights"],
    }
    assert config["recipe"]["freeze"] == "conv2"
    assert config["recipe"]["layer_decay"] == 0.5
    assert str(small_run.parent) not in (out / "config.json").read_text()


def test_the_report_shows_before_and_after(retrained):
    out, _ = retrained
    page = (out / "report.html").read_text()
    section = page[page.index('<h2 id="before">') : page.index('<h2 id="classifier">')]
    metrics = read(out / "metrics.json")
    for layer in ("L5", "L6", "L7"):
        assert f"{metrics['before']['map'][layer]:.3f}" in section
        assert f"{metrics['map'][layer]:.3f}" in section


def test_without_labels(command, small_run, digit_folders, tmp_path):
    out = tmp_path / "run"
    result = command(
        "train", "--labels", "none", "--from", small_run, "--data", digit_folders, "--out", out,
        "--epochs", 2, *FAST,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "estimated from views" in result.stdout
    metrics, config = read(out / "metrics.json"), read(out / "config.json")
    assert metrics["splits"] == {}
    assert config["labels"] == "none"
    assert config["images"]["classes"] == 0
    assert config["split"]["test"] == 0
    assert config["split"]["val"] == config["split"]["ood"] > 0
    queries = {change["queries"] for change in metrics["change"].values()}
    assert queries == {config["split"]["ood"]}
    page = (out / "report.html").read_text()
    assert "an estimate" in page
    assert "{%" not in page
    again = command("evaluate", out, "--data", digit_folders)
    assert again.returncode == 0, again.stderr
    assert read(out / "metrics.json") == metrics


def refuse(*arguments):
    """The one line that the command would print; nothing starts a process."""
    result = CliRunner().invoke(make_app(), ["train", *map(str, arguments), *FAST], env={
        "NEURALCODES_TINY_IMAGENET": None,
    })  # fmt: skip
    assert isinstance(result.exception, UserError), (result.output, result.exception)
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--freeze", "L9"), "--freeze: unknown layer 'L9'; there are: L5, L6, L7"),
        (("--freeze", "L7"), "--freeze L7: the code L7 of small could not change"),
        (("--layer-decay", 0), "--layer-decay 0.0: must be above 0"),
        (("--layer-decay", 1.5), "--layer-decay 1.5: must be above 0 and at most 1"),
        (("--network", "compact"), "--network compact: {start} holds weights of small"),
        (("--train-classes", 5), "--train-classes 5: digits (folder) has 6 classes; give 2 to 4"),
        (("--train-classes", 6), "so that at least 2 are left out"),
        (("--train-classes", 1), "--train-classes 1: digits (folder) has 6 classes; give 2 to 4"),
        (("--recipe", "best"), "--recipe best: choose founding, modern, retraining"),
        (("--labels", "some"), "--labels some: choose folder or none"),
        (("--labels", "none", "--classes", 3), "--labels none: no classes are looked at"),
        (("--labels", "none", "--recipe", "modern"), "--labels none: has a recipe of its own"),
        (("--labels", "none", "--cutmix", 0.5), "without cutmix"),
    ],
)
def test_what_is_refused(small_run, digit_folders, tmp_path, options, words):
    data = shutil.copytree(digit_folders, tmp_path / "digits") if "--train" in str(options) else ""
    line = refuse(
        "--from", small_run, "--data", data or digit_folders, "--out", tmp_path / "r", *options
    )
    assert words.format(start=small_run) in line


def test_freezing_needs_weights(digit_folders, tmp_path):
    line = refuse("--data", digit_folders, "--out", tmp_path / "r", "--freeze", "L5")
    assert "--freeze L5: needs weights" in line


def test_weights_that_are_not_there(digit_folders, tmp_path):
    line = refuse("--from", tmp_path / "none", "--data", digit_folders, "--out", tmp_path / "r")
    assert "none: no such run folder or weights file" in line


def copy_classes(digit_folders, to, classes, images):
    for folder in sorted(digit_folders.iterdir())[:classes]:
        (to / folder.name).mkdir(parents=True)
        for file in sorted(folder.iterdir())[:images]:
            shutil.copy(file, to / folder.name)
    return to


def test_too_few_classes(small_run, digit_folders, tmp_path):
    data = copy_classes(digit_folders, tmp_path / "few", 3, 20)
    line = refuse("--from", small_run, "--data", data, "--out", tmp_path / "r")
    assert "3 class(es) are too few" in line
    assert "--labels none" in line


def test_classes_left_out_with_nothing_to_find(small_run, digit_folders, tmp_path):
    data = copy_classes(digit_folders, tmp_path / "lonely", 6, 20)
    for folder in ("4", "5"):
        for file in sorted((data / folder).iterdir())[1:]:
            file.unlink()
    line = refuse("--from", small_run, "--data", data, "--out", tmp_path / "r")
    assert "no class left out has 2 images" in line


def test_too_few_images_without_labels(small_run, digit_folders, tmp_path):
    data = copy_classes(digit_folders, tmp_path / "few", 2, 20)
    line = refuse("--labels", "none", "--from", small_run, "--data", data, "--out", tmp_path / "r")
    assert "40 images are too few" in line
