"""`kill -9` at random moments of indexing, updating and compacting; the seeds are written here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from quantised import fit_quantisers

HERE = Path(__file__).parent
KILLS = 26


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("seed", "kills"), [(11, KILLS), (12, KILLS), (13, 10)])
def test_killed_at_any_moment_nothing_is_damaged_or_lost(
    seed: int, kills: int, tmp_path: Path, code: str
) -> None:
    if kills < KILLS:  # a few times over quantised codes
        fit_quantisers(code, ("pq16",))
        code = f"{code}/pq16"
    done = subprocess.run(
        [sys.executable, str(HERE / "kill_worker.py"), str(tmp_path), code, str(seed), str(kills)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    killed = Counter(turn["kind"] for turn in report["turns"] if turn["ended"] == "killed")
    for turn in report["turns"]:
        assert not turn["ended"].startswith("error"), turn
        assert not turn["check"].startswith("error"), turn
        check = json.loads(turn["check"])
        assert check["problems"] == [], turn
        assert check["found"] == (5 if check["images"] > 5 else 0)
    assert all(not text.startswith("error") for text in report["last"]), report["last"]
    assert json.loads(report["last"][2])["problems"] == []
    assert report["difference"] == []
    assert sum(killed.values()) == kills and len(killed) == 3, killed
