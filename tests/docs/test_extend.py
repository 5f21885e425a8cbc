"""docs/extend.md: a network, a protocol and an index from a package outside, at work together."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pages import DOCS, lay_photographs, run_shell

PAGE = (DOCS / "extend.md").read_text(encoding="utf-8")


def install(folder: Path) -> None:
    """The page's files as pip would leave them: modules, and the metadata that declares them."""
    modules = re.findall(r'^```python title="(\w+\.py)"\n(.*?)^```$', PAGE, re.DOTALL | re.M)
    assert len(modules) == 3
    for name, text in modules:
        (folder / name).write_text(text)
    [declared] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.M)
    info = folder / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    lines: list[str] = []
    for group, entries in tomllib.loads(declared)["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {module}" for name, module in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.mark.slow
def test_three_files_from_outside(tmp_path: Path) -> None:
    install(tmp_path)
    work = tmp_path / "work"
    lay_photographs(work)
    [commands] = re.findall(r"^```run\n(.*?)^```$", PAGE, re.DOTALL | re.M)
    done = run_shell(commands, work, PYTHONPATH=str(tmp_path))
    assert re.search(r"\bcode\b.*\b64\b", done.stdout), done.stdout  # the network's layers
    assert "brute" in done.stdout, done.stdout
    mean = re.search(r"pairs.*?(\d\.\d+)", done.stdout, re.DOTALL)
    assert mean is not None and float(mean[1]) > 0.99, done.stdout  # the second shows the same
