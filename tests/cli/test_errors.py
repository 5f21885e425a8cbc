"""What a user can get wrong: one line that names it and the remedy, exit status 2."""

import shutil

import pytest


def refused(result, *words):
    assert result.returncode == 2, result.stdout + result.stderr
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("neuralcodes: ")
    assert not [line for line in lines[:-1] if "rror" in line]
    for word in words:
        assert str(word) in lines[-1]


def test_missing_folder(command, tmp_path):
    refused(command("reproduce", "--data", tmp_path / "none", "--out", tmp_path / "r"), "none")


def test_class_folder_without_images(command, digit_folders, tmp_path):
    copy = shutil.copytree(digit_folders, tmp_path / "digits")
    (copy / "9-empty").mkdir()
    refused(
        command("train", "--data", copy, "--out", tmp_path / "r"),
        "9-empty",
        "no image in class folder",
    )


def test_fewer_classes_than_asked_for(command, digit_folders, tmp_path):
    for option in ("--classes", "--train-classes"):
        result = command(
            "train", "--data", digit_folders, "--out", tmp_path / "r", option, 7,
            "--network", "small",
        )  # fmt: skip
        refused(result, "6 classes", "7")


def test_no_epochs(command, digit_folders, tmp_path):
    for verb in ("train", "reproduce"):
        result = command(verb, "--data", digit_folders, "--out", tmp_path / "r", "--epochs", 0)
        refused(result, "--epochs 0", "at least 1")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--batch-size", 0),
        ("--learning-rate", -1),
        ("--patience", -1),
        ("--keep", "first"),
        ("--precision", "fp8"),
        ("--device", "tpu"),
        ("--network", "resnet"),
    ],
)
def test_options_out_of_range(command, digit_folders, tmp_path, option, value):
    result = command("train", "--data", digit_folders, "--out", tmp_path / "r", option, value)
    refused(result, value)


def test_unknown_layer_names_those_there_are(command, small_run, digit_folders, tmp_path):
    result = command("extract", digit_folders, "--code", f"{small_run}@L9", "--out", tmp_path / "c")
    refused(result, "L9", "L5, L6, L7")


def test_network_without_weights_and_unknown_run(command, digit_folders, tmp_path):
    out = ("--out", tmp_path / "c")
    refused(command("extract", digit_folders, "--code", "reference@L6", *out), "without weights")
    refused(command("extract", digit_folders, "--code", "nothing@L6", *out), "nothing")


def test_weights_of_another_network(command, small_run, digit_folders, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "run")
    damaged = bytearray((run / "weights.safetensors").read_bytes())
    damaged[-100] ^= 0xFF
    (run / "weights.safetensors").write_bytes(damaged)
    refused(command("evaluate", run, "--data", digit_folders), "weights.safetensors", "damaged")


def test_checkpoint_of_another_network(command, small_run, digit_folders, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "run")
    result = command(
        "train", "--out", run, "--data", digit_folders, "--network", "paper", "--epochs", 6,
        "--train-classes", 4, "--resume",
    )  # fmt: skip
    refused(result, "small", "paper", "--out")


def test_folder_of_another_run(command, small_run, digit_folders):
    result = command(
        "train", "--out", small_run, "--data", digit_folders, "--network", "small",
        "--train-classes", 4,
    )  # fmt: skip
    refused(result, "--resume", "--out")


def test_other_images_than_it_was_trained_on(command, small_run, digit_folders, tmp_path):
    copy = shutil.copytree(digit_folders, tmp_path / "digits")
    sorted((copy / "0").iterdir())[0].unlink()
    refused(command("evaluate", small_run, "--data", copy), "not the images")


def test_not_a_run_folder(command, tmp_path):
    refused(command("evaluate", tmp_path), "config.json")
    refused(command("report", tmp_path / "none"), "no such run folder")


def test_no_right_to_write(command, digit_folders, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = command(
        "train", "--data", digit_folders, "--out", tmp_path / "file" / "run", "--network", "small",
        "--train-classes", 4,
    )  # fmt: skip
    refused(result, "file", "choose another place")


def test_usage_errors_exit_2(command):
    assert command("reproduce", "--nonsense").returncode == 2
    assert command("nonsense").returncode == 2
