"""docs/extend.md: a network, a protocol and an index from a package outside, at work together."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "extend.md").read_text(encoding="utf-8")


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


def test_three_files_from_outside(tmp_path: Path) -> None:
    install(tmp_path)
    work = tmp_path / "work"
    shutil.copytree(str(files("neuralcodes.images") / "clothing"), work / "my-pictures")
    [commands] = re.findall(r"^```run\n(.*?)^```$", PAGE, re.DOTALL | re.M)
    binaries = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=work,
        env={
            **os.environ,
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PYTHONPATH": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\bcode\b.*\b64\b", done.stdout), done.stdout  # the network's layers
    assert "brute" in done.stdout, done.stdout
    mean = re.search(r"pairs.*?(\d\.\d+)", done.stdout, re.DOTALL)
    assert mean is not None and float(mean[1]) > 0.99, done.stdout  # the second shows the same
