"""What the README says works as it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from neuralcodes.codes.store import load_codes

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_python_example_runs(small_run, digit_folders, tmp_path):
    shutil.copytree(small_run, tmp_path / "runs" / "mine", ignore=shutil.ignore_patterns("ch*"))
    (tmp_path / "my-pictures").symlink_to(digit_folders)
    [example] = blocks("python")
    result = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert result.returncode == 0, result.stderr
    found = result.stdout.strip()
    assert len(re.findall(r"\d/\d+\.png", found)) == 5
    first = load_codes(tmp_path / "codes" / "L6").keys[0]
    assert f"'{first}'" not in found  # the query is not its own neighbour


def test_commands_exist(command):
    verbs = {
        line.split()[1]
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("neuralcodes ")
    }
    assert verbs >= {"reproduce", "train", "evaluate", "extract", "layers"}
    for verb in verbs:
        assert command(verb, "--help").returncode == 0


def test_linked_files_exist():
    root = Path(__file__).parents[2]
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (root / target).exists(), target
