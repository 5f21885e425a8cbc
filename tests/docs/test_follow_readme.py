"""The script that follows README: what it takes from the page, and what it lets pass."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from scripts import ROOT, load_script


@pytest.fixture(scope="module")
def follow() -> ModuleType:
    return load_script("tools/follow_readme.py")


PAGE = """
```sh
first --a b      # a remark
second \\
  more 'x # y'
```

```
shown
```

Words between.

```python
print(1)
```

```toml
[no]
```
"""


def test_commands_and_what_they_print(follow: ModuleType) -> None:
    one, two = follow.steps(PAGE)
    assert one.commands == ["first --a b", "second more 'x # y'"]
    assert one.shown == "shown\n"
    assert two.commands == ["python - <<'PYTHON'\nprint(1)\nPYTHON"] and two.shown == ""


def test_of_readme_itself(follow: ModuleType) -> None:
    found = list(follow.steps((ROOT / "README.md").read_text(encoding="utf-8")))
    commands = [command for step in found for command in step.commands]
    assert commands[0] == "make demo" and len(commands) > 12
    assert sum(bool(step.shown) for step in found) >= 1
    for rule in follow.RULES:  # a rule that excuses nothing is out of date
        assert any(follow.re.fullmatch(rule.command, command) for command in commands), rule


@pytest.mark.parametrize(
    ("shown", "printed", "equal"),
    [
        ("12 codes made in 0.9 s", "12 codes made in 71.3 s", True),
        ("12 codes made in 0.9 s", "13 codes made in 0.9 s", False),
        ("1  0.7117  id:13  hat", "1  0.7119  id:13  hat", True),
        ("1  0.7117  id:13  hat", "1  0.7419  id:13  hat", False),
        ("1  0.7117  id:13  hat", "1  0.7117  id:14  hat", False),
        ("mAP 0.397 (0.39 to 0.40)", "mAP 0.398 (0.391 to 0.402)", True),
        ("mAP 0.397", "mAP 0.397 more", False),
        ("1,530 new; 14 images/s", "1,530 new; 200 images/s", True),
    ],
)
def test_what_counts_as_the_same(follow: ModuleType, shown: str, printed: str, equal: bool) -> None:
    assert follow.same(shown, printed) is equal


def test_lines_must_follow_each_other(follow: ModuleType, capsys: pytest.CaptureFixture) -> None:
    printed = "zero\none\ntwo\nthree\n"
    follow.compare("one\ntwo\n", printed)
    follow.compare("zero\n…\nthree\n", printed)
    for wrong in ("one\nthree\n", "three\n…\nzero\n", "four\n"):
        with pytest.raises(SystemExit, match="OTHERWISE"):
            follow.compare(wrong, printed)


def test_one_shell_for_all_commands(follow: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    shell = follow.Shell(tmp_path, tmp_path / "home")
    try:
        shell.run("mkdir deep && cd deep && word=kept")
        assert (
            shell.run('echo "$word" in "${PWD##*/}" of "${HOME##*/}"') == "kept in deep of home\n"
        )
        with pytest.raises(SystemExit, match="exit status 3"):
            shell.run("echo wrong >&2; (exit 3)")
    finally:
        shell.process.stdin.close()
        shell.process.wait()
