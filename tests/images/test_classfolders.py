from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuralcodes.common.errors import UserError
from neuralcodes.images.classfolders import class_folders, open_source, short_name
from neuralcodes.images.decode import decode
from neuralcodes.images.imageset import ImageSet
from neuralcodes.images.splits import reference_split

Lay = Callable[..., Path]
Pack = Callable[..., Path]
Encode = Callable[..., bytes]
SIZE = (24, 20)


def listed(images: ImageSet) -> list[tuple[str, str]]:
    labels = images.label_array()
    return [(images.classes[labels[row]].folder, images.key(row)) for row in range(len(images))]


def test_images_of_any_size_and_kind(cache: Path, lay: Lay, cat_and_dog: dict[str, bytes]) -> None:
    images = class_folders(lay(cat_and_dog), SIZE)
    assert images.size == SIZE
    assert listed(images) == [(key.split("/")[0], key) for key in sorted(cat_and_dog)]
    pixels = images.read(range(len(images)))
    for row, key in enumerate(sorted(cat_and_dog)):
        np.testing.assert_array_equal(pixels[row], decode(cat_and_dog[key], SIZE))
    squashed = class_folders(lay(cat_and_dog), SIZE, "squash")
    np.testing.assert_array_equal(
        squashed.read([3])[0], decode(cat_and_dog[squashed.key(3)], SIZE, "squash")
    )


def test_order_of_classes_and_of_names(cache: Path, lay: Lay, encode: Encode) -> None:
    """Classes by folder name, though "a-x/" sorts before "a/" as part of a longer string."""
    data = encode()
    names = ["n_0", "n_1", "n_10", "n_100", "n_11", "n_2"]
    files = {f"{folder}/{name}.jpg": data for folder in ("a", "a-x", "B") for name in names[::-1]}
    images = class_folders(lay(files), SIZE)
    assert [name.folder for name in images.classes] == ["B", "a", "a-x"]
    assert [name.title for name in images.classes] == ["B", "a", "a-x"]
    assert listed(images) == [
        (folder, f"{folder}/{name}.jpg") for folder in ("B", "a", "a-x") for name in names
    ]


def test_folder_its_parent_and_its_zip_are_one(
    cache: Path, lay: Lay, pack: Pack, cat_and_dog: dict[str, bytes]
) -> None:
    nested = {f"Photos 2024/set/{key}": data for key, data in cat_and_dog.items()}
    places = lay(cat_and_dog), lay(nested, "nested"), pack(nested), pack(cat_and_dog, "b.zip")
    sets = [class_folders(place, SIZE) for place in places]
    assert len({images.fingerprint() for images in sets}) == 1
    assert len(list((cache / "pixels").glob("[!.]*"))) == 1
    assert [images.source for images in sets] == [
        "pictures (folder)", "nested (folder)", "pictures (zip)", "b (zip)"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "parts", [("train",), ("train", "val"), ("Training", "validation", "test")]
)
def test_train_and_test_folders_are_looked_through(
    cache: Path, lay: Lay, encode: Encode, parts: tuple[str, ...]
) -> None:
    files = {
        f"{part}/{folder}/{part}_{number}.jpg": encode(seed=number)
        for part in parts for folder in ("cat", "dog") for number in range(2)
    }  # fmt: skip
    images = class_folders(lay(files), SIZE)
    assert [name.folder for name in images.classes] == ["cat", "dog"]
    assert len(images) == len(files)
    assert np.bincount(images.label_array()).tolist() == [2 * len(parts)] * 2


def test_folders_within_a_class_belong_to_it(cache: Path, lay: Lay, encode: Encode) -> None:
    data = encode()
    files = dict.fromkeys(
        ["cat/images/1.jpg", "cat/2.jpg", "dog/images/1.jpg", "dog/garden/3.jpg"], data
    )
    assert listed(class_folders(lay(files), SIZE)) == [
        ("cat", "cat/2.jpg"), ("cat", "cat/images/1.jpg"),
        ("dog", "dog/garden/3.jpg"), ("dog", "dog/images/1.jpg"),
    ]  # fmt: skip


def test_one_class_can_be_read(cache: Path, lay: Lay, encode: Encode) -> None:
    images = class_folders(lay({"cat/1.jpg": encode(), "cat/2.jpg": encode()}), SIZE)
    assert [name.folder for name in images.classes] == ["cat"]
    with pytest.raises(UserError, match="pictures \\(folder\\): 1 class"):
        reference_split(images, 1)


def test_bad_images_are_counted_and_skipped(cache: Path, lay: Lay, encode: Encode) -> None:
    files = {
        "cat/0.jpg": encode(90, 90)[:1500],
        "cat/1.jpg": encode(seed=1),
        "dog/2.jpg": encode(seed=2),
        "dog/3.jpg": b"text",
        "dog/4.jpg": b"",
        "dog/5.jpg": encode(seed=5),
    }
    for _ in range(2):
        images = class_folders(lay(files), SIZE)
        assert [image.key for image in images.bad] == ["cat/0.jpg", "dog/3.jpg", "dog/4.jpg"]
        assert all(image.reason for image in images.bad)
        assert listed(images) == [("cat", "cat/1.jpg"), ("dog", "dog/2.jpg"), ("dog", "dog/5.jpg")]
        assert images.read(range(3)).reshape(3, -1).any(axis=1).all()
        assert images.select([1]).bad == images.bad


def test_own_classes_split_like_the_reference(cache: Path, lay: Lay, encode: Encode) -> None:
    files = {
        f"{folder}/{number}.png": encode(10 + number, 30 - number, seed=number, kind="PNG")
        for folder in ("ant", "bee", "cat", "dog") for number in range(8)
    }  # fmt: skip
    files["bee/bad.jpg"] = b"no"
    images = class_folders(lay(files), SIZE)
    split = reference_split(images, 3)
    assert {name: len(part) for name, part in split.named().items()} == {
        "train": 20, "val": 2, "test": 2, "ood": 8
    }  # fmt: skip
    np.random.seed(42)
    order = np.random.permutation(24)
    np.random.seed(None)
    assert [split.val.key(row) for row in range(2)] == [images.key(row) for row in order[:2]]
    assert {split.ood.key(row).split("/")[0] for row in range(8)} == {"dog"}
    with pytest.raises(UserError, match="--classes 4"):
        reference_split(images, 4)


# Errors


def error_of(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        class_folders(path, SIZE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_folder(cache: Path, tmp_path: Path) -> None:
    assert error_of(tmp_path / "gone") == f"{tmp_path}/gone: no such folder or zip file"
    assert error_of(tmp_path / "gone.zip") == f"{tmp_path}/gone.zip: no such file"


def test_neither_folder_nor_zip(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    assert error_of(tmp_path / "a.txt").endswith("not a folder and not a zip file")
    (tmp_path / "a.zip").write_text("hello")
    assert "not a whole zip file" in error_of(tmp_path / "a.zip")


def test_no_images(cache: Path, lay: Lay, pack: Pack) -> None:
    assert "no images in it" in error_of(lay({"a/notes.txt": b"x"}))
    assert "no images in it" in error_of(pack({"a/notes.txt": b"x"}))


@pytest.mark.parametrize("above", ["", "train/"])
def test_class_folder_without_images(cache: Path, lay: Lay, encode: Encode, above: str) -> None:
    files = {f"{above}cat/1.jpg": encode(), f"{above}dog/2.jpg": encode(), f"{above}elk/a.txt": b""}
    root = lay(files)
    assert error_of(root) == f"{root}: no image in class folder elk; add some or take it away"


def test_class_folder_without_images_in_a_zip(cache: Path, pack: Pack, encode: Encode) -> None:
    path = pack({"x/cat/1.jpg": encode(), "x/dog/2.jpg": encode(), "x/elk/": b""})
    assert error_of(path) == f"{path}: no image in class folder elk; add some or take it away"


def test_class_folder_with_bad_images_only(cache: Path, lay: Lay, encode: Encode) -> None:
    root = lay({"cat/1.jpg": encode(), "dog/2.jpg": b"text", "dog/3.jpg": b""})
    message = error_of(root)
    assert message.startswith(f"{root}: no readable image in class folder dog (dog/2.jpg: not an")


def test_folder_beside_the_class_folders_may_be_empty(
    cache: Path, lay: Lay, encode: Encode
) -> None:
    root = lay({"photos/cat/1.jpg": encode(), "photos/dog/2.jpg": encode(), "docs/a.txt": b""})
    assert len(class_folders(root, SIZE)) == 2


@pytest.mark.parametrize("loose", ["loose.jpg", "photos/loose.jpg"])
def test_images_outside_class_folders(cache: Path, lay: Lay, encode: Encode, loose: str) -> None:
    data = encode()
    root = lay({"photos/cat/1.jpg": data, "photos/dog/2.jpg": data, loose: data})
    message = error_of(root)
    assert "loose.jpg lies outside any class folder" in message
    assert "outside any class folder" in error_of(lay({"1.jpg": data, "2.jpg": data}, "flat"))


def test_short_names_hold_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my photos").mkdir()
    monkeypatch.chdir(tmp_path / "my photos")
    assert short_name(Path(".")) == "my photos (folder)"
    assert short_name(tmp_path / "old.photos.zip") == "old.photos (zip)"


def test_open_source_by_kind(lay: Lay, pack: Pack, encode: Encode) -> None:
    files = {"a/1.jpg": encode()}
    for place in (lay(files), pack(files), pack(files, "UPPER.ZIP", zipfile.ZIP_DEFLATED)):
        source = open_source(place)
        assert source.name == str(place)
        assert source.read(0) == files["a/1.jpg"]


def test_caltech_photographs(cache: Path, caltech_path: Path) -> None:
    images = class_folders(caltech_path, (96, 96))
    assert len(images) == 1530
    assert len(images.classes) == 51
    assert images.bad == ()
    assert np.bincount(images.label_array()).tolist() == [30] * 51
    assert images.key(0) == "Faces/image_0001.jpg"
    with zipfile.ZipFile(caltech_path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(images.key(700)))
        image = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    expected = image.resize(
        (96, 96), Image.Resampling.BICUBIC, (left, top, left + side, top + side)
    )
    difference = np.abs(images.read([700])[0].astype(int) - np.asarray(expected))
    assert difference.mean() < 3
    split = reference_split(images, 40)
    assert len(split.ood) == 330
