"""The real command in a real process, and one small run that several tests look at."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from command_server import CommandServer

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command() -> Iterator[Command]:
    """Run `neuralcodes ARGUMENTS`; nothing it prints may be a traceback."""
    server = CommandServer()

    def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k != "NEURALCODES_TINY_IMAGENET"}
        result = server.run(*arguments, cwd=cwd, environment=environment, timeout=240)
        assert "Traceback" not in result.stderr, result.stderr
        return result

    yield run
    server.stop()


@pytest.fixture(scope="session")
def digit_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scikit-learn's digits 0 to 5 as PNG files in class folders."""
    root = tmp_path_factory.mktemp("digits")
    bunch = load_digits()
    for number, (values, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        if label < 6 and number < 600:
            folder = root / str(label)
            folder.mkdir(exist_ok=True)
            Image.fromarray((values * 15.9).astype("uint8")).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def small_run(
    command: Command, digit_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run trained on four digits by the command, evaluated on the two others."""
    out = tmp_path_factory.mktemp("runs") / "small"
    trained = command(
        "train", "--out", out, "--data", digit_folders, "--network", "small", "--epochs", 6,
        "--train-classes", 4, "--learning-rate", 1e-3, "--batch-size", 16, "--patience", 6,
        "--device", "cpu", "--precision", "fp32",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    evaluated = command("evaluate", out, "--data", digit_folders)
    assert evaluated.returncode == 0, evaluated.stderr
    return out
