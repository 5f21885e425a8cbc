"""The filter language: what it lets through, what it refuses, and that nothing gets past it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.filters import parse_filter
from neuralcodes.common.errors import UserError


@pytest.fixture
def filled(collection: Collection) -> Collection:
    rows = [
        {"path": f"{'abc'[n % 3]}/{n:04}.jpg", "stars": n, "note": f"it's {n}"} for n in range(10)
    ]
    assert collection.set_metadata(rows) == (10, 0)
    return collection


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('label == "a"', 4),
        ("label = 'a'", 4),
        ('label != "a"', 8),
        ('label in ("a", "b")', 8),
        ('label not in ("a", "b")', 4),
        ('not label in ("a", "b")', 4),
        ('name ~ "000?.jpg"', 10),
        ('name ~ "*1*.jpg" and label == "b"', 2),
        ('name ~ "[0]*"', 0),
        ("width >= 60 and height < 41", 12),
        ("width > 60 or height > 40", 0),
        ("stars >= 8", 2),
        ("stars < 2.5", 3),
        ("not stars >= 8", 10),  # of which two have no stars at all
        ("stars == none", 2),
        ("stars != none and (stars == 1 or stars == 2)", 2),
        ('note == "it\'s 3"', 1),
        (r'note == "it\'s 3"', 1),
        ("date > 2020-01-01", 12),
        ("date < 2020-01-01T12:00", 0),
        ("kind == 'JPEG' and size > 100", 12),
        ("id in (1, 2, 99)", 2),
        ("LABEL == 'a'", None),
    ],
)
def test_lets_through(text: str, count: int | None, filled: Collection) -> None:
    if count is None:
        with pytest.raises(UserError, match=r"no column 'LABEL'; there are: .*stars"):
            list(filled.images(text))
    else:
        assert len(list(filled.images(text))) == count


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("label", "a comparison is missing"),
        ("label ==", "a value is missing"),
        ("label == cat", "put 'cat' in quotes"),
        ("label = 'a' extra", "not expected"),
        ("label in 'a'", "'\\(' is missing"),
        ("(label == 'a'", "'\\)' is missing"),
        ("label == 'a", "cannot read"),
        ("date > 'yesterday'", "no date"),
        ("date > 2024-13-01", "no date"),
        ("stars < none", "only be compared by"),
        ("1 == 1", "a column should stand"),
        ("label == 'a'; DROP TABLE images", "cannot read"),
        ("label == 'a' -- ", "cannot read"),
        ("(" * 200 + "label == 'a'" + ")" * 200, "too many parentheses"),
        ("length(label) > 1", "no column 'length'"),
    ],
)
def test_refuses(text: str, reason: str, filled: Collection) -> None:
    with pytest.raises(UserError, match=f"--filter .*{reason}"):
        list(filled.images(text))


@given(st.text(max_size=60))
def test_any_text_is_compiled_or_refused_in_one_line(text: str) -> None:
    try:
        condition = parse_filter(text, ["stars"])
    except UserError as error:
        assert str(error).startswith("--filter")
    else:
        assert condition.sql.count("?") == len(condition.values)


@given(st.text(max_size=30))
def test_text_reaches_sql_as_a_value_only(value: str) -> None:
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    condition = parse_filter(f"label == {quoted} or name ~ {quoted}")
    assert condition.values[0] == value
    assert set(condition.sql) <= set("coalescimgnmOR()., _=?GLB0ablimagesnamelabel ")


def test_columns_from_csv_and_parquet(filled: Collection, tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text("image;price;code\n0000.jpg;1.5;007\n0001.jpg;;x\nnowhere.jpg;3;y\n")
    assert filled.set_metadata(table) == (2, 1)
    assert filled.image(1).metadata == {"stars": 0, "note": "it's 0", "price": 1.5, "code": "007"}
    assert filled.info().columns == ["stars", "note", "price", "code"]
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (the parquet extra)")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = pyarrow.table({"id": [1, 2], "ok": [True, False]})
    parquet.write_table(rows, tmp_path / "own.parquet")
    assert filled.set_metadata(tmp_path / "own.parquet") == (2, 0)
    assert [image.id for image in filled.images("ok == true")] == [1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stars,price\n1,2\n", "no column names the images"),
        ("path,width\na,1\n", "cannot be called 'width'"),
        ("path,a b\na,1\n", "cannot be called 'a b'"),
        ("path,price\na,1,2\n", "line 2: not as many values"),
        ("path,price\na\n", "line 2: not as many values"),
    ],
)
def test_tables_that_are_none(
    text: str, reason: str, collection: Collection, tmp_path: Path
) -> None:
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(UserError, match=f"own.csv.*{reason}"):
        collection.set_metadata(tmp_path / "own.csv")


def test_metadata_stays_with_a_moved_image(
    filled: Collection, pictures: Path, make: Callable[..., Collection]
) -> None:
    (pictures / "a" / "0003.jpg").rename(pictures / "c" / "new.jpg")
    filled.sync()
    (image,) = filled.images('name == "new.jpg"')
    assert image.metadata["stars"] == 3 and image.label == "c"
    filled.remove(image.id)
    assert not list(filled.images("stars == 3"))
