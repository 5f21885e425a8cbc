"""Every recorded figure and picture has a command, and the page lists them as they are."""

from __future__ import annotations

import fnmatch
import subprocess
from types import ModuleType

import pytest

from neuralcodes.common.errors import UserError
from scripts import ROOT, load_script


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    return load_script("tools/figures.py")


def recorded() -> list[str]:
    """Pictures, and figures as JSON, that the repository holds."""
    listed = subprocess.run(
        ["git", "ls-files", "results", "docs/images"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    return [name for name in listed if name.endswith((".json", ".png", ".jpg"))]


# what people wrote and no command makes
WRITTEN = ("results/bench/causes.json",)


def test_each_has_a_command(figures: ModuleType) -> None:
    patterns = [pattern for step in figures.STEPS.values() for pattern in step.makes]
    names = recorded()
    assert len(names) > 40
    bare = [
        name
        for name in names
        if name not in WRITTEN and not any(fnmatch.fnmatch(name, p) for p in patterns)
    ]
    assert not bare, "tools/figures.py: name what makes them"
    for pattern in patterns:
        assert list(ROOT.glob(pattern)), f"{pattern}: there is no such figure"


def test_the_page_lists_them_as_they_are(figures: ModuleType) -> None:
    text = (ROOT / figures.PAGE).read_text(encoding="utf-8")
    assert figures.table() in text, "python tools/figures.py --write"
    for step in figures.STEPS.values():
        words = step.command.split()
        if words[0] == "python":
            assert (ROOT / words[1]).is_file(), step.command


README = """Words.

```
mAP by kind of clothing  0.1000  (0.0500 to 0.2000)
```

```
100 new
#  distance  id
1    0.9000  id:1
```
"""


def test_readme_gets_what_was_found() -> None:
    tool = load_script("tools/readme_output.py")
    made = tool.replaced(README, "mAP by kind of clothing  0.3", "#  distance  id\n1  0.5  id:2")
    assert made.splitlines()[3] == "mAP by kind of clothing  0.3"
    assert made.endswith("100 new\n#  distance  id\n1  0.5  id:2\n```\n")
    with pytest.raises(UserError, match="not there once"):
        tool.replaced("nothing", "a", "b")
