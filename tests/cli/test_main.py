"""The command itself: version, help, speed of start."""

import subprocess
import sys

import neuralcodes


def test_version_and_help(command):
    assert command("--version").stdout.strip() == f"neuralcodes {neuralcodes.__version__}"
    help_text = command("--help").stdout
    for verb in ("demo", "reproduce", "train", "evaluate", "extract", "report", "layers"):
        assert verb in help_text
        assert command(verb, "--help").returncode == 0


def test_help_and_import_load_nothing_heavy():
    code = (
        "import sys, neuralcodes, neuralcodes.cli.main;"
        "print([m for m in ('torch', 'sklearn', 'matplotlib', 'faiss') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_every_public_name_exists():
    for name in neuralcodes.__all__:
        assert getattr(neuralcodes, name) is not None
