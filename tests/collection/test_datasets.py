"""In from a Hugging Face data set and out again, with the real library."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from painted import lay_pictures, paint, picture_file

from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError

datasets = pytest.importorskip("datasets", reason="needs datasets (the datasets extra)")
Make = Callable[..., Collection]


def bytes_dataset(count: int = 8) -> datasets.Dataset:
    """JPEG files in memory, the last one as the first, with columns of several types."""
    files = [picture_file(seed) for seed in range(count - 1)]
    files.append(files[0])
    return datasets.Dataset.from_dict(
        {
            "image": [{"bytes": data, "path": f"{n}.jpg"} for n, data in enumerate(files)],
            "label": [n % 2 for n in range(count)],
            "caption": [f"picture {n}" for n in range(count)],
            "score": [n / 4 for n in range(count)],
            "taken": [date(2024, 1, 1 + n) for n in range(count)],
            "boxes": [[1, 2]] * count,
        },
        features=datasets.Features(
            {
                "image": datasets.Image(),
                "label": datasets.ClassLabel(names=["cat", "dog"]),
                "caption": datasets.Value("string"),
                "score": datasets.Value("float32"),
                "taken": datasets.Value("date32"),
                "boxes": datasets.List(datasets.Value("int32")),
            }
        ),
    )


def test_rows_become_images_with_their_columns(make: Make) -> None:
    collection = make()
    dataset = bytes_dataset()
    report = collection.add_dataset(dataset.with_format("numpy"))  # its format does not matter
    assert (report.added, report.computed, report.bad) == (7, 7, [])
    assert len(collection) == 7  # equal pictures once
    found = {image.metadata["row"]: image.metadata for image in collection.images()}
    assert found[3] == {
        "row": 3, "dataset_label": "dog", "caption": "picture 3", "score": 0.75,
        "taken": "2024-01-04",
    }  # fmt: skip
    assert set(found) == {1, 2, 3, 4, 5, 6, 7}  # of equal pictures the last row
    results = collection.search(picture_file(5), k=2, filter='dataset_label == "dog"')
    assert results[0].image.metadata["row"] == 5 and results[0].distance < 1e-6
    # codes are those of the files on their own
    other = make("other")
    other.add(picture_file(5))
    (image,) = other.images()
    mine = next(i.id for i in collection.images() if i.metadata["row"] == 5)
    np.testing.assert_allclose(collection.codes([mine]), other.codes([image.id]), atol=1e-6)
    again = collection.add_dataset(dataset)
    assert (again.added, again.computed, again.unchanged) == (0, 0, 8)


def test_a_stream_of_files_on_disk(make: Make, tmp_path: Path) -> None:
    """Files are indexed where they lie; no column but the one asked for."""
    root = lay_pictures(tmp_path / "pictures", 9)
    stream = datasets.load_dataset(
        "imagefolder", data_dir=str(root), split="train", cache_dir=str(tmp_path / "cache")
    ).to_iterable_dataset()
    collection = make()
    report = collection.add_dataset(stream, columns={"label": "sort"}, row=None)
    assert report.added == 9
    for image in collection.images():
        assert image.path.startswith(str(root))
        assert image.metadata == {"sort": image.label}
    assert not list(collection.path.glob("pictures/*"))


def test_many_batches_are_one_report(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralcodes.collection.datasets.BATCH", 3)
    collection = make()
    report = collection.add_dataset(bytes_dataset())
    assert (report.added, report.computed, report.unchanged) == (7, 7, 1)
    assert {image.metadata["row"] for image in collection.images()} == set(range(1, 8))


def test_rows_without_a_picture_are_named(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "one.jpg"
    path.write_bytes(picture_file(1))
    dataset = datasets.Dataset.from_dict({"file": [str(path), None, str(tmp_path / "none.jpg")]})
    report = make().add_dataset(dataset, "file")
    assert report.added == 1
    assert [bad.path for bad in report.bad] == ["row 1", "row 2"]
    broken = datasets.Dataset.from_dict({"image": [b"no picture"]})
    report = make("broken").add_dataset(broken)
    assert (report.computed, len(report.bad)) == (0, 1)


def test_arrays(make: Make) -> None:
    array = np.asarray(paint(3))
    dataset = datasets.Dataset.from_dict(
        {"image": [array]},
        features=datasets.Features({"image": datasets.Array3D(array.shape, "uint8")}),
    )
    collection = make()
    collection.add_dataset(dataset)
    assert collection.search(paint(3), k=1)[0].distance < 1e-6


def test_what_cannot_be(make: Make) -> None:
    collection, dataset = make(), bytes_dataset(2)
    with pytest.raises(UserError, match="several splits \\(train\\)"):
        collection.add_dataset(datasets.DatasetDict({"train": dataset}))
    with pytest.raises(UserError, match="no column 'picture'"):
        collection.add_dataset(dataset, "picture")
    with pytest.raises(UserError, match="no column 'price'"):
        collection.add_dataset(dataset, columns=["price"])
    with pytest.raises(UserError, match="'caption' already"):
        collection.add_dataset(dataset, row="caption")
    with pytest.raises(UserError, match="two columns would be called 'a_b'"):
        collection.add_dataset(dataset.add_column("a b", [1, 2]).add_column("a_b", [1, 2]))
    with pytest.raises(UserError, match="cannot be called 'file' here; 'dataset_file' can"):
        collection.add_dataset(dataset, columns={"caption": "file"})
    rows = [{"picture": picture_file(1), "number": 1}]
    stream = datasets.IterableDataset.from_generator(lambda: iter(rows))
    with pytest.raises(UserError, match="no column 'image' in the data set; it has picture"):
        collection.add_dataset(stream)
    collection.add_dataset(stream, "picture", columns=["number"])
    assert [image.metadata for image in collection.images()] == [{"number": 1, "row": 0}]
    with pytest.raises(UserError, match="a list is no data set"):
        collection.add_dataset([1])


def test_out_again(collection: Collection) -> None:
    collection.set_metadata([{"id": 2, "note": "blue"}])
    made = collection.to_dataset()
    assert isinstance(made, datasets.Dataset) and len(made) == 12
    rows = made.with_format("numpy", columns=["id", "code"])
    np.testing.assert_array_equal(rows["code"][:], collection.codes([int(n) for n in made["id"]]))
    one = next(row for row in made if row["id"] == 2)
    assert one["note"] == "blue"
    assert one["image"].size == (one["width"], one["height"])
    fewer = collection.to_dataset('label == "a"', images=False)
    assert len(fewer) == 4 and "image" not in fewer.column_names
    assert len(collection.to_dataset("width > 9999")) == 0
    # and in again: the same files, known already
    again = collection.add_dataset(made, columns=[], row=None)
    assert (again.added, again.unchanged) == (0, 12)


def test_pictures_in_archives_come_by_their_bytes(make: Make, tmp_path: Path) -> None:
    from painted import zip_pictures

    collection = make()
    collection.sync([zip_pictures(tmp_path / "some.zip", 2)])
    made = collection.to_dataset()
    assert [row["image"].size for row in made] == [(60, 40), (60, 40)]


def test_as_an_arrow_table(collection: Collection) -> None:
    table = collection.to_arrow('label == "b"')
    assert table.num_rows == 4 and set(table["label"].to_pylist()) == {"b"}
    codes = table["code"].combine_chunks().flatten().to_numpy().reshape(4, -1)
    np.testing.assert_array_equal(codes, collection.codes(table["id"].to_pylist()))
    assert table.schema.metadata[b"fingerprint"].decode() == collection.spec.fingerprint()
    assert collection.to_arrow("width > 9999").num_rows == 0
