"""The command itself: version, help, speed of start."""

import subprocess
import sys

import neuralcodes


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_version_and_help(command):
    assert command("--version").stdout.strip() == f"neuralcodes {neuralcodes.__version__}"
    help_text = command("--help").stdout
    for verb in ("demo", "reproduce", "train", "evaluate", "extract", "report", "layers"):
        assert verb in help_text
        assert command(verb, "--help").returncode == 0


def test_help_and_import_load_nothing_heavy():
    code = (
        "import sys, neuralcodes; from neuralcodes.cli.main import make_app; make_app();"
        "print([m for m in ('torch', 'sklearn', 'matplotlib', 'faiss') if m in sys.modules])"
    )
    result = run(code)
    assert result.stdout.strip() == "[]", result.stderr


def test_a_verb_that_is_named_is_the_only_one_that_is_loaded():
    code = (
        "import sys; from neuralcodes.cli.main import VERBS, main\n"
        "sys.argv = ['', 'info', '--help']\n"
        "try: main()\n"
        "finally: print([v for v in VERBS if f'neuralcodes.cli.{v}' in sys.modules])"
    )
    result = run(code)
    assert result.stdout.splitlines()[-1] == "['info']", result.stderr


def test_every_public_name_exists():
    for name in neuralcodes.__all__:
        assert getattr(neuralcodes, name) is not None
