"""Extraction by Ray gives what one process gives, to the bit, also when a machine dies."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from painted import lay_pictures, picture_file, save_small
from ray_cluster import two_nodes

from neuralcodes.collection import sync
from neuralcodes.collection.collection import Collection
from neuralcodes.collection.reading import Job, Ready
from neuralcodes.common.errors import UserError
from neuralcodes.engines import ray_engine
from neuralcodes.engines.names import opened_engine, require_engine
from neuralcodes.engines.ray_engine import RayEngine

pytest.importorskip("ray", reason="needs neuralcodes[cluster]")
COUNT = 300


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of them twice, some damaged: passes do not fall on whole tasks."""
    root = lay_pictures(tmp_path_factory.mktemp("made") / "pictures", COUNT)
    for number in range(0, 40, 3):
        shutil.copy(next(root.glob(f"*/{number:04}.jpg")), root / "b" / f"again-{number}.jpg")
        (root / "a" / f"bad-{number:04}.jpg").write_bytes(picture_file(number)[:200])
    return root


@pytest.fixture(scope="module")
def local(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection made by this process alone."""
    folder = tmp_path_factory.mktemp("local")
    code = f"{save_small(folder / 'small.safetensors')}@L6"
    with Collection.create(folder / "collection", code, device="cpu") as made:
        made.sync([pictures])
    return folder / "collection"


def content(path: Path) -> tuple[list[Any], list[Any], bytes]:
    """Images, contents, and the stored codes' bytes."""
    with Collection.open(path) as opened:
        images = [(i.id, i.path, i.size, i.width) for i in opened.images()]
        bad = sorted(opened.bad())
        codes = opened.codes([image[0] for image in images])
        assert opened.verify().whole
    with sqlite3.connect(path / "collection.sqlite") as database:
        hashes = database.execute("SELECT id, hash FROM codes ORDER BY id").fetchall()
    return images + bad, hashes, codes.tobytes()


def by_ray(local: Path, pictures: Path, path: Path, address: str) -> tuple[Any, ...]:
    code = f"{local.parent / 'small.safetensors'}@L6"
    with (
        Collection.create(path, code, device="cpu") as made,
        opened_engine("ray", made, address, 2) as engine,
    ):
        report = made.sync([pictures], engine=engine)
    assert report.added == COUNT + 28 and report.computed == COUNT and len(report.bad) == 14
    return content(path)


@pytest.mark.lengthy
def test_two_nodes_make_the_codes_of_one_process_and_one_may_die(
    local: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = content(local)
    with two_nodes() as (cluster, second):
        assert by_ray(local, pictures, tmp_path / "whole", cluster.address) == expected
        # again, with the second node killed (SIGKILL) in the middle, and a new one joining
        monkeypatch.setattr(ray_engine, "CHUNK", 16)
        whole, taken = RayEngine.read, []

        def read(self: RayEngine, jobs: Sequence[Job]) -> Iterator[Ready]:
            for ready in whole(self, jobs):
                taken.append(ready)
                if len(taken) == 150:
                    cluster.remove_node(second, allow_graceful=False)
                if len(taken) == 250:
                    cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
                yield ready

        monkeypatch.setattr(RayEngine, "read", read)
        assert by_ray(local, pictures, tmp_path / "broken", cluster.address) == expected
        assert len(taken) == COUNT + 28


def test_what_there_is_not() -> None:
    with pytest.raises(UserError, match="--engine spark: choose local or ray"):
        require_engine("spark", None, None)
    with pytest.raises(UserError, match="go with --engine ray"):
        require_engine("local", "auto", None)
    with pytest.raises(UserError, match="--workers 0"):
        require_engine("ray", None, 0)
    with pytest.raises(UserError, match="no Ray cluster there"):
        ray_engine.start_ray("127.0.0.1:9")


def test_passes_do_not_hang_on_the_clock(
    pictures: Path, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk, for which commits come early, gives the same codes to the bit."""
    monkeypatch.setattr(sync.LocalEngine, "commit_seconds", 0.0)
    code = f"{local.parent / 'small.safetensors'}@L6"
    with Collection.create(tmp_path / "slow", code, device="cpu") as made:
        made.sync([pictures])
    assert content(tmp_path / "slow")[2] == content(local)[2]
    assert np.frombuffer(content(local)[2], np.float32).any()
