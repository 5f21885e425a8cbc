"""The page about other tools: its Python blocks, word for word, in one process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCS, lay_photographs

PAGE = DOCS / "ecosystem.md"


@pytest.mark.slow
def test_every_python_block_runs(tmp_path: Path) -> None:
    for needed in ("pyarrow", "datasets", "pandas"):
        pytest.importorskip(needed, reason=f"needs {needed}")
    lay_photographs(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(blocks) >= 6
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path, env={**os.environ, "HF_HOME": str(tmp_path / "hf")},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    count = len(list((tmp_path / "my-pictures").glob("*/*.jpg")))
    assert f"({count}, 128) float32" in said
    accuracy = re.search(r"accuracy (0\.\d+)", said)
    kinds = len([one for one in (tmp_path / "my-pictures").iterdir() if one.is_dir()])
    assert accuracy and float(accuracy[1]) > 2 / kinds  # twice as good as guessing
    assert "fixed_size_list<item: float>[128]" in said
    assert re.search(r"^\d\.\d+ hat$", said, re.M)
    assert "codes 0 of 3" in said and "codes 3 of 3" in said
    assert "INFO:neuralcodes.collection.adding:" in done.stderr  # once someone listens
    before = done.stderr.partition("INFO:")[0]
    assert "\r" not in before and "neuralcodes." not in before
