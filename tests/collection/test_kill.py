"""`kill -9` at random moments of indexing, updating and compacting; the seeds are written here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from quantised import fit_quantisers

HERE = Path(__file__).parent


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("seed", "kills", "backend", "transform"),
    [
        (11, 26, "hnsw", ""),
        (12, 26, "hnsw", ""),
        (13, 10, "hnsw", "pq16"),
        (14, 14, "fastscan", ""),
    ],
)
def test_killed_at_any_moment_nothing_is_damaged_or_lost(
    seed: int, kills: int, backend: str, transform: str, tmp_path: Path, code: str
) -> None:
    if transform:
        fit_quantisers(code, (transform,))
        code = f"{code}/{transform}"
    arguments = [str(tmp_path), code, backend, str(seed), str(kills)]
    done = subprocess.run(
        [sys.executable, str(HERE / "kill_worker.py"), *arguments],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    killed = Counter(turn["kind"] for turn in report["turns"] if turn["ended"] == "killed")
    for turn in report["turns"]:
        assert not turn["ended"].startswith("error"), turn
        assert not turn["check"].startswith("error"), turn
        assert_right(json.loads(turn["check"]))
    assert all(not text.startswith("error") for text in report["last"]), report["last"]
    last = json.loads(report["last"][2])
    assert_right(last)
    assert last["index"] == backend
    assert sum(json.loads(turn["check"])["stay"] for turn in report["turns"]) > 20 * kills
    assert report["difference"] == []
    assert sum(killed.values()) == kills and len(killed) == 3, killed


def assert_right(check: dict[str, Any]) -> None:
    """Whole, nothing gone that was there, and the index answers as it promises."""
    assert check["problems"] == [], check
    assert check["lost"] == [], check
    if check["images"] > 5:
        assert check["searches"] > 0 and check["wrong"] == 0, check
        assert check["recall"] >= 0.95, check
