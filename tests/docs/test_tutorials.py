"""The tutorials, word for word, on the photographs that come with the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import DOCS, lay_photographs, run_shell

TUTORIALS = DOCS / "tutorials"
LEFT = {  # what must be there afterwards, and what must have been said
    "search": ("results.html", r"dress/.*\.jpg"),
    "choose": ("choice/report.html", r"--code"),
    "serve": ("found.json", r"neuralcodes_requests_total"),
    "reproduce": ("runs/digits/report.html", r"L7"),
}


def script(text: str) -> str:
    """The `run` blocks as they are and the `python` blocks through Python, in their order."""
    parts = []
    for language, block in re.findall(r"^```(run|python)\n(.*?)^```$", text, re.DOTALL | re.M):
        parts.append(block if language == "run" else f"python - <<'PYTHON'\n{block}PYTHON")
    return "\n".join(parts)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LEFT))
def test_tutorial(name: str, tmp_path: Path) -> None:
    lay_photographs(tmp_path)
    page = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    done = run_shell(script(page), tmp_path)
    left, said = LEFT[name]
    assert (tmp_path / left).stat().st_size > 0
    assert re.search(said, done.stdout), done.stdout
    assert "Traceback" not in done.stderr


def test_every_tutorial_is_run() -> None:
    assert {path.stem for path in TUTORIALS.glob("*.md")} == set(LEFT)
