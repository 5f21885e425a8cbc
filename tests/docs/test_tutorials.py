"""The tutorials, word for word, on the photographs that come with the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
LEFT = {  # what must be there afterwards, and what must have been said
    "search": ("results.html", r"dress/.*\.jpg"),
    "choose": ("choice/report.html", r"--code"),
    "serve": ("found.json", r"neuralcodes_requests_total"),
    "reproduce": ("runs/digits/report.html", r"L7"),
}


def script(text: str) -> str:
    """The `run` blocks as they are and the `python` blocks through Python, in their order."""
    parts = ["set -euo pipefail"]
    for language, block in re.findall(r"^```(run|python)\n(.*?)^```$", text, re.DOTALL | re.M):
        parts.append(block if language == "run" else f"python - <<'PYTHON'\n{block}PYTHON")
    return "\n".join(parts)


@pytest.mark.parametrize("name", sorted(LEFT))
def test_tutorial(name: str, tmp_path: Path) -> None:
    shutil.copytree(str(files("neuralcodes.images") / "clothing"), tmp_path / "my-pictures")
    done = subprocess.run(
        ["bash", "-c", script((TUTORIALS / f"{name}.md").read_text(encoding="utf-8"))],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    left, said = LEFT[name]
    assert (tmp_path / left).stat().st_size > 0
    assert re.search(said, done.stdout), done.stdout
    assert "Traceback" not in done.stderr


def test_every_tutorial_is_run() -> None:
    assert {path.stem for path in TUTORIALS.glob("*.md")} == set(LEFT)
