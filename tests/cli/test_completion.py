"""Completion as a shell asks for it, and options that stand before the command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("neuralcodes")


def complete(line, shell="bash"):
    words = line.split(" ")
    environment = {
        **os.environ,
        "_NEURALCODES_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
    }
    done = subprocess.run(
        [COMMAND], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


def test_commands_and_options():
    assert complete("neuralcodes ind").split() == ["index"]
    assert set(complete("neuralcodes ex").split()) == {"explain", "extract", "export"}
    assert "--filter" in complete("neuralcodes search --fi").split()
    assert "--fi" in complete("neuralcodes search --fi", "zsh")


def test_no_heavy_library_is_loaded_for_it():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND],
        env={**os.environ, "_NEURALCODES_COMPLETE": "complete_bash", "COMP_WORDS": "neuralcodes i",
             "COMP_CWORD": "1"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "neuralcodes.cli.main" in loaded
    assert not loaded & {"torch", "sklearn", "matplotlib", "faiss", "datasets", "pyarrow"}


def show_script(shell):
    """The shell is named: which one runs the tests is of no interest."""
    return subprocess.run(
        [COMMAND, "--show-completion", shell],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(shell):
    done = show_script(shell)
    assert done.returncode == 0, done.stderr
    assert "_NEURALCODES_COMPLETE" in done.stdout and f"complete_{shell}" in done.stdout


def test_bash_uses_it():
    """The script that is shown, in a real shell."""
    script = show_script("bash").stdout
    ask = (
        f"{script}\nCOMP_WORDS=(neuralcodes dup)\nCOMP_CWORD=1\n"
        '_neuralcodes_completion neuralcodes\necho "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", ask], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["duplicates"]


def test_verbose(command, tmp_path):
    said = command("-v", "layers", "reference")
    assert said.returncode == 0 and "INFO" not in said.stdout
    index = ("index", tmp_path, "--device", "cpu", "--collection")
    detailed = command("-vv", *index, tmp_path / "c.nc")
    assert "INFO neuralcodes.networks.opened: opened network shipped" in detailed.stderr
    assert "DEBUG neuralcodes.networks.runtime: device cpu" in detailed.stderr
    quiet = command(*index, tmp_path / "d.nc")
    assert "neuralcodes." not in quiet.stderr
