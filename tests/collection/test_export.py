from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from neuralcodes.codes.store import load_codes
from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError


def test_codes_and_a_csv_table(collection: Collection, tmp_path: Path) -> None:
    collection.set_metadata([{"id": 2, "note": 'a, "b"\nc'}])
    files = collection.export(tmp_path / "out", table="csv")
    assert [path.name for path in files] == ["codes.npy", "codes.json", "images.csv"]
    codes = load_codes(tmp_path / "out" / "codes")
    assert codes.spec == collection.spec
    with open(files[2], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == list(codes.keys)
    for row, code in zip(rows, codes.values, strict=True):
        np.testing.assert_array_equal(collection.codes([int(row["id"])])[0], code)
    assert rows[1]["note"] == 'a, "b"\nc' and rows[0]["label"] == "a"


def test_parquet_and_a_filter(collection: Collection, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (the parquet extra)")
    collection.set_metadata([{"id": 1, "mixed": 3}, {"id": 4, "mixed": "three"}])
    collection.export(tmp_path / "out", filter='label == "a"')
    table = parquet.read_table(tmp_path / "out" / "images.parquet")
    assert table.num_rows == 4 and set(table["label"].to_pylist()) == {"a"}
    assert table["mixed"].to_pylist().count(None) == 4 - sum(
        i.id in (1, 4) for i in collection.images('label == "a"')
    )
    assert np.load(tmp_path / "out" / "codes.npy").shape == (4, 128)


def test_nothing_to_export(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image to export"):
        collection.export(tmp_path / "out", filter="width > 5000", table="csv")
    with pytest.raises(UserError, match="--table xlsx"):
        collection.export(tmp_path / "out", table="xlsx")
