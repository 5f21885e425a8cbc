"""Codes in shards judged on two nodes, one of which dies: as by one process, to the bit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray_cluster import two_nodes

from made import unit_rows
from neuralcodes.codes.spec import CodeSpec, Preprocessing
from neuralcodes.codes.store import Codes, load_codes, save_codes
from neuralcodes.common.errors import UserError
from neuralcodes.engines.names import opened_map
from neuralcodes.engines.ray_evaluation import ray_map
from neuralcodes.evaluation import judging_shards
from neuralcodes.evaluation.judging import evaluate_codes
from neuralcodes.evaluation.judging_shards import evaluate_shards
from neuralcodes.evaluation.protocols.registry import get_protocol
from neuralcodes.evaluation.shards import Shard

pytest.importorskip("ray", reason="needs neuralcodes[cluster]")
COUNT, DIMS = 3000, 32


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    spec = CodeSpec(
        "a@L6", "small", "ab" * 16, "relu", "flatten", (), "fp32", Preprocessing((16, 16)), DIMS
    )
    values = unit_rows(COUNT, DIMS)
    for number, rows in enumerate(np.array_split(np.arange(COUNT), 7)):
        keys = tuple(f"{row % 20}/{row}.jpg" for row in rows)
        save_codes(folder / f"{number}", Codes(spec, values[rows], keys, f"{number}"))
    return sorted(path.with_suffix("") for path in folder.glob("*.npy"))


@pytest.mark.lengthy
def test_on_two_nodes_of_which_one_dies(
    shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging_shards, "PIECE_BYTES", 4 * DIMS * 50)
    codes = [load_codes(path) for path in shards]
    keys = tuple(key for part in codes for key in part.keys)
    truth = get_protocol("class-retrieval").open(None, keys)
    here = evaluate_shards(truth, codes).tasks[""]
    values = np.concatenate([part.values for part in codes])
    whole = evaluate_codes(truth, Codes(codes[0].spec, values, keys, "whole")).tasks[""]
    assert here[0].mean == pytest.approx(whole[0].mean, abs=1e-7)  # float32 swaps a few neighbours
    with two_nodes() as (cluster, second):
        done = subprocess.run(
            [
                sys.executable, "-m", "neuralcodes", "evaluate", *shards, "--protocol",
                "class-retrieval", "--engine", "ray", "--address", cluster.address, "--json",
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)["tasks"][""]
        assert [entry["mean"] for entry in told] == [score.mean for score in here]
        seen: list[Any] = []
        with ray_map(cluster.address) as each:

            def dying(work: Callable[[Shard], Any], things: Iterable[Shard]) -> Iterator[Any]:
                for found in each(work, things):
                    seen.append(found)
                    if len(seen) == 40:
                        cluster.remove_node(second, allow_graceful=False)  # SIGKILL
                    yield found

            there = evaluate_shards(truth, codes, each=dying).tasks[""]
        assert len(seen) > 80
        for one, other in zip(here, there, strict=True):
            np.testing.assert_array_equal(one.values, other.values)
        with ray_map(cluster.address) as each:
            truth = get_protocol("class-retrieval").open(None, codes[0].keys)
            lost = load_codes(shards[0])
            shards[0].with_suffix(".npy").rename(tmp_path / "gone.npy")
            with pytest.raises(UserError, match="ray: codes cannot be judged"):
                evaluate_shards(truth, [lost], each=each)


def test_no_cluster_there() -> None:
    with pytest.raises(UserError, match="no Ray cluster there"), opened_map("ray", "127.0.0.1:9"):
        pass
