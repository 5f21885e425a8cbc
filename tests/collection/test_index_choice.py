"""The index that a collection has by itself, when the automatic choice has changed since."""

from collections.abc import Callable
from pathlib import Path

import pytest
from painted import lay_pictures, picture_file

from neuralcodes.collection.collection import Collection
from neuralcodes.index import choose


def test_a_collection_with_a_graph_keeps_it_until_it_has_doubled(
    make: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "EXACT_BELOW", 50)
    with monkeypatch.context() as before:
        before.setattr(choose, "FASTSCAN_UPTO", 0)  # as the choice was: a graph where it fits
        place = lay_pictures(tmp_path / "pictures", 120)
        old = make("old")
        old.sync([place])
        assert old.info().index["backend"] == "hnsw"
        old.close()

    def look(collection: Collection, backend: str) -> None:
        about = collection.info().index
        assert about["backend"] == backend and about["recall"]["met"]
        found = collection.search(picture_file(900), k=10)
        exact = collection.search(picture_file(900), k=10, exact=True)
        assert not found.warning
        assert [m.distance for m in found] == pytest.approx([m.distance for m in exact], abs=0.05)

    with Collection.open(tmp_path / "old", device="cpu") as collection:
        look(collection, "hnsw")
        lay_pictures(place, 30, first=120)
        collection.sync()
        look(collection, "hnsw")  # nobody rebuilds an index that still fits
        lay_pictures(place, 150, first=150)
        collection.sync()
        look(collection, "fastscan")
        assert collection.verify().whole
