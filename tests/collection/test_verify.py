"""Every kind of damage is found, named and, where it can be, mended."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from painted import picture_file

from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError


def segment_file(collection: Collection) -> Path:
    (path,) = (collection.path / "codes").iterdir()
    return path


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def mended(collection: Collection, before: np.ndarray) -> None:
    assert collection.verify().whole
    np.testing.assert_allclose(collection.codes(range(1, 13)), before, atol=1e-6)


def test_a_whole_collection_is_whole(collection: Collection) -> None:
    report = collection.verify(images=True)
    assert report.whole and (report.checked_codes, report.checked_images) == (12, 12)
    assert report.summary() == "12 codes checked, 12 pictures read: all is well"


def test_one_flipped_bit_is_found_and_only_that_code_computed_again(
    collection: Collection,
) -> None:
    before = collection.codes(range(1, 13))
    row_bytes = 4 * collection.spec.dims
    flip(segment_file(collection), 128 + 3 * row_bytes + 5)
    report = collection.verify()
    assert len(report.damaged) == 1
    (image,) = (i for i in collection.images() if i.code == report.damaged[0])
    assert "1 of its 12 codes are not what was stored" in report.problems[0]
    assert image.path in report.problems[0]
    assert collection.verify(repair=True).repaired == 1
    mended(collection, before)


@pytest.mark.parametrize("damage", ["cut", "gone", "header", "empty", "rubbish"])
def test_a_damaged_file_of_codes(collection: Collection, damage: str) -> None:
    before = collection.codes(range(1, 13))
    path = segment_file(collection)
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "header":
        flip(path, 127)  # a space of the header's padding: the numbers are whole
    else:
        path.write_bytes({"cut": data[:-100], "empty": b"", "rubbish": b"x" * len(data)}[damage])
    with Collection.open(collection.path, device="cpu") as opened:
        report = opened.verify()
        assert not report.whole and str(path) in report.problems[0]
        if damage != "header":
            with pytest.raises(UserError, match="verify --repair"):
                opened.search("id:1")
        opened.verify(repair=True)
        mended(opened, before)


def test_what_cannot_be_computed_again_is_said(collection: Collection, pictures: Path) -> None:
    (pictures / "a" / "0000.jpg").unlink()
    (pictures / "b" / "0001.jpg").write_bytes(picture_file(400))
    segment_file(collection).write_bytes(b"")
    with Collection.open(collection.path, device="cpu") as opened:
        report = opened.verify(repair=True)
        assert (report.repaired, report.to_read) == (10, 2)
        assert opened.verify().whole and len(opened) == 10
        assert "its code was damaged" in opened.bad()[0][1]
        after = opened.sync()
        assert (after.removed, after.changed, after.computed) == (1, 1, 1)
        assert len(opened) == 11 and opened.bad() == []


def test_pictures_that_changed_are_told(collection: Collection, pictures: Path) -> None:
    (pictures / "a" / "0000.jpg").unlink()
    (pictures / "b" / "0001.jpg").write_bytes(picture_file(400))
    assert collection.verify().whole
    report = collection.verify(images=True)
    assert len(report.problems) == 2
    assert any("0000.jpg: No such file" in problem for problem in report.problems)
    assert any("0001.jpg: changed since" in problem for problem in report.problems)


def test_a_database_that_disagrees_with_itself(collection: Collection) -> None:
    path = collection.path
    collection.close()
    database = sqlite3.connect(path / "collection.sqlite")
    database.execute("UPDATE codes SET row = row + 1 WHERE id = 3")
    database.execute("UPDATE codes SET dead = 1 WHERE id = 4")
    database.execute("UPDATE images SET code = 777 WHERE id = 5")
    database.commit()
    database.close()
    with Collection.open(path) as opened:
        problems = " ".join(opened.verify().problems)
        assert "places of 1 codes do not agree" in problems
        assert "wrongly marked" in problems and "leads nowhere" in problems
        with pytest.raises(UserError, match="cannot be mended; restore it from a copy"):
            opened.verify(repair=True)


def test_damage_in_the_database_file(make: Callable[..., Collection], pictures: Path) -> None:
    collection = make()
    collection.sync([pictures])
    collection.compact()  # all of it in the file, nothing in the log
    path = collection.path / "collection.sqlite"
    collection.close()
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    data = bytearray(path.read_bytes())
    for place in range(3 * 8192, len(data), 8192):
        data[place : place + 2000] = b"\xff" * 2000
    path.write_bytes(data)
    try:
        with Collection.open(collection.path) as opened:
            assert any(p.startswith("database") for p in opened.verify().problems)
    except UserError as error:
        assert "damaged" in str(error)
