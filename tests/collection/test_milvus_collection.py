"""A collection whose index Milvus keeps: the collection's own files are the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from painted import lay_pictures

from neuralcodes.collection import indexing
from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError
from neuralcodes.index.backend import get_backend
from neuralcodes.index.milvus_server import Server

pytest.importorskip("milvus_lite", reason="needs neuralcodes[cluster]")

Make = Callable[..., Collection]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


def collections_in(place: Path) -> list[str]:
    return Server(str(place)).collections()


def found(
    collection: Collection, first: int = 1, **options: object
) -> list[list[tuple[int, float]]]:
    """Ids and distances of what is found for every fifth image."""
    return [
        [(match.id, match.distance) for match in collection.search(number, k=8, **options)]  # type: ignore[arg-type]
        for number in range(first, 40, 5)
    ]


def test_searches_as_the_exact_one_does(make: Make, tmp_path: Path, place: Path) -> None:
    lay_pictures(tmp_path / "pictures", 40)
    collection = make(backend=f"milvus:{place}")
    collection.sync([tmp_path / "pictures"])
    assert collection.info().index["backend"] == f"milvus:{place}"
    assert collection.info().index["recall"]["mean"] == 1.0
    assert found(collection) == found(collection, exact=True)
    filtered = {"filter": 'folder == "a"'}
    assert found(collection, **filtered) == found(collection, exact=True, **filtered)
    assert collection.verify().whole and not collection.warning
    # anew, in a collection of its own: the one before is gone
    first = collections_in(place)
    collection.wish(recall=0.9)
    assert len(first) == len(collections_in(place)) == 1 and first != collections_in(place)
    collection.wish(backend="exact")
    assert collections_in(place) == []


def test_it_grows_in_place(
    make: Make, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "TAIL_LEAST", 3)
    lay_pictures(tmp_path / "pictures", 40)
    collection = make(backend=f"milvus:{place}")
    collection.sync([tmp_path / "pictures"])
    before = collections_in(place)
    lay_pictures(tmp_path / "pictures", 8, first=40)
    (tmp_path / "pictures" / "a" / "0000.jpg").unlink()
    collection.sync([tmp_path / "pictures"])
    assert collections_in(place) == before
    assert collection.info().index["count"] == 47
    assert found(collection, first=6) == found(collection, first=6, exact=True)


@pytest.mark.parametrize("moment", ["add", "save"])
def test_what_a_broken_build_leaves_does_no_harm(
    moment: str, make: Make, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_pictures(tmp_path / "pictures", 40)
    collection = make()
    collection.sync([tmp_path / "pictures"])
    kind = get_backend(f"milvus:{place}")
    whole = getattr(kind, moment)

    def breaks(self: object, *values: object) -> None:
        whole(self, *values)
        raise ConnectionAbortedError("the machine stops here")

    with monkeypatch.context() as broken:
        broken.setattr(kind, moment, breaks)
        with pytest.raises(ConnectionAbortedError):
            collection.wish(backend=f"milvus:{place}")
    assert len(collections_in(place)) == 1
    assert found(collection) == found(collection, exact=True)  # goes on without
    collection.sync([tmp_path / "pictures"])
    assert len(collections_in(place)) == 1
    assert collection.info().index["backend"] == f"milvus:{place}"
    assert found(collection) == found(collection, exact=True)


def test_an_index_that_milvus_has_lost_is_built_anew(
    make: Make, tmp_path: Path, place: Path
) -> None:
    lay_pictures(tmp_path / "pictures", 40)
    collection = make(backend=f"milvus:{place}")
    collection.sync([tmp_path / "pictures"])
    (name,) = collections_in(place)
    Server(str(place)).drop(name)
    other = Collection.open(collection.path)
    assert found(other) == found(other, exact=True)
    assert "holds none" in other.warning and "build it again" in other.warning
    assert "holds none" in other.verify().problems[0]
    other.close()
    collection.sync([tmp_path / "pictures"])
    assert collection.verify().whole and len(collections_in(place)) == 1


def test_a_copied_collection_builds_its_own(make: Make, tmp_path: Path, place: Path) -> None:
    lay_pictures(tmp_path / "pictures", 40)
    collection = make(backend=f"milvus:{place}")
    collection.sync([tmp_path / "pictures"])
    expected = found(collection)
    shutil.copytree(collection.path, tmp_path / "copy")
    with Collection.open(tmp_path / "copy") as copy:
        copy.wish(recall=0.9)
        assert found(copy) == expected
    assert found(collection) == expected
    with Collection.open(collection.path) as again:  # the copy may have dropped the old one
        assert found(again) == expected


def test_a_server_that_is_away(
    make: Make, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PATIENCE", "READ_PATIENCE", "CONNECT_SECONDS"):
        monkeypatch.setattr(f"neuralcodes.index.milvus_server.{name}", 0.5)
    lay_pictures(tmp_path / "pictures", 40)
    collection = make()
    with pytest.raises(UserError, match=r"milvus:http://127.0.0.1:9: .*is Milvus running"):
        collection.wish(backend="milvus:http://127.0.0.1:9")
        collection.sync([tmp_path / "pictures"])
    assert len(collection) == 40  # the codes are there
    assert np.isfinite(found(collection)[0][0][1])


@pytest.mark.parametrize("place", ["", "somewhere", "ftp://x.db", "http:/x"])
def test_no_place(place: str) -> None:
    with pytest.raises(UserError, match=r"say where, milvus:FILE\.db"):
        get_backend(f"milvus:{place}")
    with pytest.raises(UserError, match="takes no place"):
        get_backend("hnsw:x.db")
