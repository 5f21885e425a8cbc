"""`evaluate` by several processes, and of codes in shards: the figures of one process and file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from test_errors import refused

from made import unit_rows
from neuralcodes.codes.spec import CodeSpec, Preprocessing
from neuralcodes.codes.store import Codes, load_codes, save_codes

Command = Callable[..., subprocess.CompletedProcess[str]]

COUNT, DIMS = 300, 16
CLASSES = ("--protocol", "class-retrieval")


def by_ranks(ranks: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`neuralcodes ARGUMENTS` under torchrun."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "neuralcodes", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codes of images in class folders, in one file."""
    spec = CodeSpec(
        "a@L6", "small", "ab" * 16, "relu", "flatten", (), "fp32", Preprocessing((16, 16)), DIMS
    )
    keys = tuple(f"{number % 7}/{number}.jpg" for number in range(COUNT))
    path = tmp_path_factory.mktemp("codes") / "whole"
    save_codes(path, Codes(spec, unit_rows(COUNT, DIMS), keys, "made"))
    return path


@pytest.fixture(scope="module")
def shards(whole: Path) -> Path:
    """The same in a folder of shards."""
    codes, folder = load_codes(whole), whole.parent / "shards"
    for low, high in pairwise([0, 100, 101, COUNT]):
        part = Codes(codes.spec, codes.values[low:high], codes.keys[low:high], f"{low}")
        save_codes(folder / f"part-{low:03}", part)
    return folder


def figures(path: Path) -> dict[str, Any]:
    """What was written by --out, but for the fingerprint of the files."""
    facts: dict[str, Any] = json.loads(path.read_text())
    return {name: value for name, value in facts.items() if name != "images"}


@pytest.fixture(scope="module")
def expected(whole: Path, command: Command) -> dict[str, Any]:
    out = whole.parent / "whole-figures.json"
    done = command("evaluate", whole, *CLASSES, "--out", out)
    assert done.returncode == 0, done.stderr
    found = figures(out)
    assert len(found["tasks"][""][0]["values"]) == COUNT and found["tasks"][""][0]["mean"] > 0.1
    return found


def test_shards_are_one_database(
    shards: Path, expected: dict[str, Any], command: Command, tmp_path: Path
) -> None:
    """A folder of them; several files, the last ones as what nothing is relevant in."""
    done = command("evaluate", shards, *CLASSES, "--out", tmp_path / "e.json")
    assert done.returncode == 0, done.stderr
    assert f"{COUNT} queries among {COUNT} images" in done.stdout
    assert figures(tmp_path / "e.json") == expected
    keys = load_codes(shards / "part-000").keys
    (tmp_path / "own.csv").write_text(f"query,relevant\n{keys[0]},{keys[7]};{keys[99]}\n")
    own = ("--protocol", "own", "--gnd", tmp_path / "own.csv", "--distractors", shards / "part-101")
    first = (shards / "part-000.npy", shards / "part-100.json")
    done = command("evaluate", *first, *own, "--out", tmp_path / "some.json")
    assert done.returncode == 0, done.stderr
    assert figures(tmp_path / "some.json")["database"] == COUNT


def test_two_ranks_judge_as_one(whole: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    done = by_ranks(2, "evaluate", whole, *CLASSES, "--out", tmp_path / "e.json")
    assert done.stdout.count("average precision") == 1  # one rank tells
    assert figures(tmp_path / "e.json") == expected


@pytest.mark.lengthy
def test_shards_by_ranks_and_reranking_by_the_first(
    whole: Path, shards: Path, expected: dict[str, Any], command: Command, tmp_path: Path
) -> None:
    by_ranks(3, "evaluate", shards, *CLASSES, "--out", tmp_path / "e.json")
    assert figures(tmp_path / "e.json") == expected
    rerank = ("evaluate", whole, *CLASSES, "--rerank", "dba3+kreciprocal5", "--out")
    by_ranks(2, *rerank, tmp_path / "two.json")
    command(*rerank, tmp_path / "one.json")
    one, two = figures(tmp_path / "one.json"), figures(tmp_path / "two.json")
    assert one["tasks"] == two["tasks"] and len(one["steps"]) == 2


@pytest.mark.lengthy
def test_shards_by_ray(shards: Path, expected: dict[str, Any], command: Command, tmp_path: Path):
    pytest.importorskip("ray", reason="needs neuralcodes[cluster]")
    done = command("evaluate", shards, *CLASSES, "--engine", "ray", "--out", tmp_path / "e.json")
    assert done.returncode == 0, done.stderr
    assert figures(tmp_path / "e.json") == expected


@pytest.mark.lengthy
@pytest.mark.parametrize("labels", ["folder", "none"])
def test_ranks_judge_a_run_as_one(
    labels: str, small_run: Path, digit_folders: Path, command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    if labels == "folder":
        shutil.copytree(small_run, run)
    else:
        trained = command(
            "train", "--out", run, "--data", digit_folders, "--labels", "none", "--network",
            "small", "--epochs", 1, "--device", "cpu", "--precision", "fp32",
        )  # fmt: skip
        assert trained.returncode == 0, trained.stderr
    found = []
    for ranks in (1, 2):
        if ranks == 1:
            assert command("evaluate", run, "--data", digit_folders).returncode == 0
        else:
            by_ranks(2, "evaluate", run, "--data", digit_folders)
        files = [run / "metrics.json", *sorted(run.glob("codes/*")), *sorted(run.glob("retr*/*"))]
        found.append({path.name: path.read_bytes() for path in files})
    assert len(found[0]) > 6 and found[0] == found[1]


def test_what_shards_refuse(whole: Path, shards: Path, command: Command, tmp_path: Path) -> None:
    refused(command("evaluate", shards, *CLASSES, "--rerank", "aqe5"), "--rerank", "one file")
    refused(command("evaluate", whole, shards, *CLASSES), "two images are named 0/0.jpg")
    refused(command("evaluate", whole, shards), "one run folder at a time")
    refused(command("evaluate", whole, *CLASSES, "--engine", "spark"), "choose local or ray")
    refused(command("evaluate", whole, *CLASSES, "--address", "auto"), "--engine ray")
