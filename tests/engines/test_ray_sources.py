"""Pictures from an object store and from shards: told alike, and coded alike, by every engine.

The store is a real one that speaks S3 (moto's server, on loopback), read by fsspec's own driver.
"""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from painted import picture_file, save_small
from ray_cluster import two_nodes
from test_ray_engine import content

from neuralcodes.collection.collection import Collection

fsspec = pytest.importorskip("fsspec", reason="needs neuralcodes[cluster]")
pa = pytest.importorskip("pyarrow", reason="needs neuralcodes[cluster]")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("s3fs", reason="needs the driver of S3")
moto_server = pytest.importorskip("moto.server", reason="needs moto, a stand-in for S3")

EACH = 45  # whole pictures a source: neither tasks nor passes end where sources do


@dataclass
class Sources:
    """Places with pictures, all different ones, and what in them is none."""

    places: list[str]
    bad: dict[str, str]


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An empty bucket. Who starts later, as Ray's processes, finds it by the environment."""
    import s3fs

    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of each request
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "me")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.delenv("AWS_PROFILE", raising=False)
        s3fs.S3FileSystem.clear_instance_cache()
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def rows_of_pictures(first: int) -> bytes:
    """A Parquet shard; a row is cut off, one is empty, one is null."""
    files: list[bytes | None] = [picture_file(first + number) for number in range(EACH)]
    files[7:7] = [picture_file(first)[:200], b"", None]
    labels = [f"class {number % 3}" for number in range(len(files))]
    out = io.BytesIO()
    parquet.write_table(pa.table({"image": files, "label": labels}), out, row_group_size=20)
    return out.getvalue()


def samples_of_pictures(first: int) -> bytes:
    """A WebDataset shard: each picture with its class; one is cut off, one is no picture."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:

        def add(name: str, data: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

        for number in range(EACH):
            add(f"{number:06}.jpg", picture_file(first + number))
            add(f"{number:06}.cls", b"3")
            if number == 20:
                add("cut.jpg", picture_file(first)[:200])
                add("text.jpg", b"no picture")
    return out.getvalue()


@pytest.fixture(scope="module")
def sources(store: str, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    here = tmp_path_factory.mktemp("shards")
    s3 = fsspec.filesystem("s3")
    for number in range(EACH):
        s3.pipe_file(f"bucket/pictures/{'abc'[number % 3]}/{number:04}.jpg", picture_file(number))
    s3.pipe_file("bucket/pictures/b/cut.jpg", picture_file(0)[:200])
    s3.pipe_file("bucket/pictures/b/text.png", b"no picture")
    s3.pipe_file("bucket/rows.parquet", rows_of_pictures(1000))
    s3.pipe_file("bucket/samples-000.tar", samples_of_pictures(2000))
    (here / "rows.parquet").write_bytes(rows_of_pictures(3000))
    (here / "samples-000.tar").write_bytes(samples_of_pictures(4000))
    bad = {f"{store}/pictures/b/cut.jpg": "damaged image", f"{store}/pictures/b/text.png": "not an"}
    for place in (store, str(here)):
        bad |= {
            f"{place}/rows.parquet/class 1/000000007": "damaged image",
            f"{place}/rows.parquet/class 2/000000008": "no bytes in this row",
            f"{place}/rows.parquet/class 0/000000009": "no bytes in this row",
            f"{place}/samples-000.tar/cut.jpg": "damaged image",
            f"{place}/samples-000.tar/text.jpg": "not an",
        }
    shards = [f"{place}/{name}" for place in (store, here) for name in
              ("rows.parquet", "samples-000.tar")]  # fmt: skip
    return Sources([f"{store}/pictures", *shards], bad)


@pytest.fixture(scope="module")
def local(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of all sources, made by this process alone."""
    folder = tmp_path_factory.mktemp("local")
    code = f"{save_small(folder / 'small.safetensors')}@L6"
    with Collection.create(folder / "collection", code, device="cpu") as made:
        report = made.sync(sources.places)
        assert (report.added, report.computed) == (5 * EACH + len(sources.bad), 5 * EACH)
    return folder / "collection"


def test_what_is_bad_in_a_source_is_told(local: Path, sources: Sources) -> None:
    with Collection.open(local) as opened:
        told = dict(opened.bad())
        assert told.keys() == sources.bad.keys()
        for path, reason in sources.bad.items():
            assert reason in told[path], path
        assert len(opened) == 5 * EACH and opened.verify(images=True).whole
        assert opened.sync().unchanged == 5 * EACH + len(sources.bad)


@pytest.mark.lengthy
def test_rays_machines_read_them_too(local: Path, sources: Sources, tmp_path: Path) -> None:
    with two_nodes() as (cluster, _):
        done = subprocess.run(
            [
                sys.executable, "-m", "neuralcodes", "index", *sources.places,
                "--collection", tmp_path / "by-ray", "--code",
                f"{local.parent / 'small.safetensors'}@L6", "--device", "cpu",
                "--engine", "ray", "--address", cluster.address, "--workers", "2",
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "by-ray") == content(local)
    told = [line for line in done.stderr.splitlines() if line.startswith("bad: ")]
    assert len(told) == len(sources.bad)
    for path, reason in sources.bad.items():
        assert any(line.startswith(f"bad: {path}: ") and reason in line for line in told), path
