"""Pictures in object stores and in shards: the same contents as from a folder."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from painted import lay_pictures, picture_file

from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError

fsspec = pytest.importorskip("fsspec", reason="needs neuralcodes[cluster]")
pa = pytest.importorskip("pyarrow", reason="needs neuralcodes[parquet]")
parquet = pytest.importorskip("pyarrow.parquet")

Make = Callable[..., Collection]
COUNT = 24


@pytest.fixture
def store() -> str:
    """A folder in memory, as a bucket of an object store."""
    memory = fsspec.filesystem("memory")
    for number in range(COUNT):
        memory.pipe_file(
            f"/bucket/pictures/{'abc'[number % 3]}/{number:04}.jpg", picture_file(number)
        )
    memory.pipe_file("/bucket/pictures/a/note.txt", b"no picture")
    memory.pipe_file("/bucket/pictures/.hidden/x.jpg", picture_file(99))
    yield "memory://bucket/pictures"
    memory.rm("/bucket", recursive=True)


def codes(collection: Collection) -> list[bytes]:
    return sorted(collection.codes([image.id])[0].tobytes() for image in collection.images())


def rows(how: str) -> dict[str, object]:
    files = [picture_file(number) for number in range(COUNT)]
    if how == "struct":
        return {
            "image": [{"bytes": file, "path": None} for file in files],
            "id": list(range(COUNT)),
        }
    return {"jpg": files, "label": [f"class {number % 3}" for number in range(COUNT)]}


def tar_of_pictures() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for number in range(COUNT):
            data = picture_file(number)
            info = tarfile.TarInfo(f"{number:06}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            note = tarfile.TarInfo(f"{number:06}.json")
            tar.addfile(note, io.BytesIO())
    return file.getvalue()


@pytest.fixture
def expected(make: Make, tmp_path: Path) -> list[bytes]:
    folder = make("from-folder")
    folder.sync([lay_pictures(tmp_path / "pictures", COUNT)])
    return codes(folder)


def test_an_object_store_is_a_folder(make: Make, store: str, expected: list[bytes]) -> None:
    collection = make()
    assert collection.sync([store]).added == COUNT
    assert codes(collection) == expected
    image = next(iter(collection.images()))
    assert (image.path, image.label) == (f"{store}/a/0000.jpg", "a")
    assert collection.search(f"{store}/a/0000.jpg", k=3)[0].id != image.id
    assert collection.search(image.id, k=1).to_html()  # pictures are fetched from there
    assert collection.verify(images=True).whole
    # unchanged, changed, gone, new
    memory = fsspec.filesystem("memory")
    report = collection.sync()
    assert (report.unchanged, report.added, report.computed) == (COUNT, 0, 0)
    memory.pipe_file("/bucket/pictures/a/0000.jpg", picture_file(500))
    memory.rm_file("/bucket/pictures/b/0001.jpg")
    memory.pipe_file("/bucket/pictures/d/0100.jpg", picture_file(100))
    report = collection.sync()
    assert (report.changed, report.removed, report.added, report.computed) == (1, 1, 1, 2)
    assert collection.remove(f"{store}/d") == 1
    assert collection.sync([store]).added == 0  # it stays out
    with pytest.raises(UserError, match="no such file or folder"):
        collection.sync(["memory://bucket/nothing"])
    with pytest.raises(UserError, match="nowhere://x"):
        collection.sync(["nowhere://x/y"])


@pytest.mark.parametrize("how", ["struct", "binary"])
@pytest.mark.parametrize("where", ["file", "store"])
def test_parquet(
    how: str, where: str, make: Make, tmp_path: Path, store: str, expected: list[bytes]
) -> None:
    path = tmp_path / "shard.parquet"
    parquet.write_table(pa.table(rows(how)), path, row_group_size=7)
    place = str(path)
    if where == "store":
        place = "memory://bucket/shard.parquet"
        fsspec.filesystem("memory").pipe_file("/bucket/shard.parquet", path.read_bytes())
    collection = make()
    assert collection.sync([place]).added == COUNT
    assert codes(collection) == expected
    labels = {image.label for image in collection.images()}
    assert labels == ({""} if how == "struct" else {"class 0", "class 1", "class 2"})
    assert collection.sync().unchanged == COUNT
    first = next(iter(collection.images()))
    assert collection.search(first.path, k=2)[0].id != first.id


def test_a_webdataset_shard_in_a_store(make: Make, store: str, expected: list[bytes]) -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/shard-000.tar", tar_of_pictures())
    collection = make()
    assert collection.sync(["memory://bucket/shard-000.tar"]).added == COUNT
    assert codes(collection) == expected


def test_what_cannot_be_read(make: Make, tmp_path: Path, store: str) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/a.zip", b"x")
    memory.pipe_file("/bucket/a.tar", b"x" * 600)
    memory.pipe_file("/bucket/a.parquet", b"x")
    parquet.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "no.parquet")
    collection = make()
    for place, reason in {
        "memory://bucket/a.zip": "only plain .tar and .parquet",
        "memory://bucket/a.tar": "not a whole tar file",
        "memory://bucket/a.parquet": "not a whole Parquet file",
        str(tmp_path / "no.parquet"): r"no column of image files .*\(columns: a, b\)",
    }.items():
        with pytest.raises(UserError, match=reason):
            collection.sync([place])
