from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from neuralcodes.common.errors import UserError
from neuralcodes.images import tinyimagenet
from neuralcodes.images.decode import decode
from neuralcodes.images.splits import reference_split
from neuralcodes.images.tinyimagenet import holds_tiny_imagenet, tiny_imagenet

Lay = Callable[..., Path]
Pack = Callable[..., Path]
Encode = Callable[..., bytes]

WNIDS = ("n01443537", "n01629819", "n02002724")
NUMBERS = (0, 1, 10, 100, 2)


@pytest.fixture(scope="module")
def official(encode: Encode) -> dict[str, bytes]:
    """A small copy of the official layout, with its other parts."""
    files = {
        f"tiny-imagenet-200/train/{wnid}/images/{wnid}_{number}.JPEG": encode(
            64, 64, seed=number + 7 * place, mode="L" if number == 10 else "RGB"
        )
        for place, wnid in enumerate(WNIDS) for number in reversed(NUMBERS)
    }  # fmt: skip
    for wnid in WNIDS:
        files[f"tiny-imagenet-200/train/{wnid}/{wnid}_boxes.txt"] = b"x\t0\t0\t9\t9"
    files["tiny-imagenet-200/val/images/val_0.JPEG"] = encode(64, 64, seed=91)
    files["tiny-imagenet-200/test/images/test_0.JPEG"] = encode(64, 64, seed=92)
    files["tiny-imagenet-200/words.txt"] = (
        b"n00001740\tentity\nn01443537\tgoldfish, Carassius auratus\nn01629819\tsalamander\n"
    )
    files["tiny-imagenet-200/wnids.txt"] = "\n".join(WNIDS).encode()
    return files


def expected_keys() -> list[str]:
    return [
        f"tiny-imagenet-200/train/{wnid}/images/{wnid}_{number}.JPEG"
        for wnid in WNIDS for number in NUMBERS
    ]  # fmt: skip


def test_official_layout(cache: Path, lay: Lay, official: dict[str, bytes]) -> None:
    root = lay(official)
    images = tiny_imagenet(root)
    assert images.size == (64, 64)
    assert [images.key(row) for row in range(len(images))] == expected_keys()
    assert images.label_array().tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert [(name.folder, name.title) for name in images.classes] == [
        ("n01443537", "goldfish, Carassius auratus"),
        ("n01629819", "salamander"),
        ("n02002724", "n02002724"),
    ]
    pixels = images.read(range(len(images)))
    for row, key in enumerate(expected_keys()):
        np.testing.assert_array_equal(pixels[row], simplejpeg.decode_jpeg(official[key], "RGB"))
    grey = (pixels == pixels[..., :1]).all(axis=(1, 2, 3))
    assert np.flatnonzero(grey).tolist() == [2, 7, 12]
    assert images.source == "tiny-imagenet-200 (folder)"


def test_another_size(cache: Path, lay: Lay, official: dict[str, bytes]) -> None:
    root = lay(official)
    images = tiny_imagenet(root, (80, 80))
    assert images.size == (80, 80)
    for row, key in enumerate(expected_keys()):
        wanted = decode(official[key], (80, 80))
        np.testing.assert_array_equal(images.read([row])[0], wanted)
    own = tiny_imagenet(root)
    assert own.size == (64, 64) and own.keys == images.keys and own.classes == images.classes
    assert own.fingerprint() != images.fingerprint()


def test_every_form_gives_the_same_and_is_decoded_once(
    cache: Path, lay: Lay, pack: Pack, official: dict[str, bytes], tmp_path: Path
) -> None:
    root = lay(official)
    renamed = shutil.copytree(root / "tiny-imagenet-200", tmp_path / "my copy")
    whole = pack(official, "tiny-imagenet-200.zip", zipfile.ZIP_DEFLATED)
    parts = tmp_path / "parts"
    parts.mkdir()
    for number, wnid in enumerate(WNIDS, 1):
        part = {
            key: data for key, data in official.items()
            if wnid in key or (number == 1 and key.count("/") == 1)
        }  # fmt: skip
        pack(part, f"parts/tiny-imagenet-200.train-{number}of3.zip")
    forms = [root, root / "tiny-imagenet-200", renamed, whole, parts]
    sets = [tiny_imagenet(form) for form in forms]
    assert len({images.fingerprint() for images in sets}) == 1
    assert [images.keys == sets[0].keys for images in sets] == [True] * 5
    assert [images.classes == sets[0].classes for images in sets] == [True] * 5
    assert len(list((cache / "pixels").glob("[!.]*"))) == 1
    assert [images.source.split("(")[1] for images in sets] == ["folder)"] * 3 + ["zip)"] * 2
    assert all(holds_tiny_imagenet(form) for form in forms)
    # a zip need not be opened the second time
    facts = whole.stat()
    whole.write_bytes(bytes(facts.st_size))
    os.utime(whole, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    again = tiny_imagenet(whole)
    assert again.fingerprint() == sets[0].fingerprint()
    assert again.classes == sets[0].classes


def test_what_is_not_tiny_imagenet(
    cache: Path, lay: Lay, pack: Pack, cat_and_dog: dict[str, bytes], tmp_path: Path
) -> None:
    trained = {f"train/{key}": data for key, data in cat_and_dog.items()}
    for place in (
        tmp_path / "gone", lay(cat_and_dog), lay(trained, "trained"), pack(cat_and_dog),
        tmp_path / "pictures" / "cat" / "cat_0.jpg",
    ):  # fmt: skip
        assert not holds_tiny_imagenet(place)
        with pytest.raises(UserError) as caught:
            tiny_imagenet(place)
        assert str(place) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="leave --data out to download it"):
        tiny_imagenet(tmp_path / "gone")


def test_class_without_images(cache: Path, lay: Lay, official: dict[str, bytes]) -> None:
    root = lay(official)
    images = root / "tiny-imagenet-200/train" / WNIDS[1] / "images"
    for path in images.iterdir():
        path.unlink()
    with pytest.raises(UserError, match=f"no image in class folder train/{WNIDS[1]}; add some"):
        tiny_imagenet(root)


def test_truncated_picture_is_listed(cache: Path, lay: Lay, official: dict[str, bytes]) -> None:
    key = expected_keys()[3]
    images = tiny_imagenet(lay({**official, key: official[key][:500]}))
    assert len(images) == 14
    assert [image.key for image in images.bad] == [key]


@pytest.mark.slow
def test_the_real_one(cache: Path, tiny_imagenet_path: Path) -> None:
    images = tiny_imagenet(tiny_imagenet_path)
    assert len(images) == 100_000
    assert len(images.classes) == 200
    assert images.bad == ()
    assert (np.bincount(images.label_array()) == 500).all()
    # Trainings and their checkpoints are bound to these two: they must never change.
    assert images.content == "0ccafcea40e58c009429e5845123a4da"
    assert images.fingerprint() == (
        "305df438ab0a9d2d82c983edf7ec421564e4c25d0ec891c1c9285f2fd2aa3908"
    )
    assert images.classes[0].folder == "n01443537"
    assert images.classes[0].title == "goldfish, Carassius auratus"
    assert all(name.title != name.folder for name in images.classes)
    names = [images.key(row).rsplit("_", 1)[1] for row in range(500)]
    assert names[:4] == ["0.JPEG", "1.JPEG", "10.JPEG", "100.JPEG"]
    assert names == sorted(names)
    # 1,821 files are stored grey; 116 more are stored in colour and show no colour
    blocks = (images.read(range(start, start + 1000)) for start in range(0, 100_000, 1000))
    equal = np.concatenate([(block == block[..., :1]).all(axis=(1, 2, 3)) for block in blocks])
    assert equal.sum() == 1_937
    archives = tinyimagenet._archives_in(tiny_imagenet_path)
    if archives:
        source = tinyimagenet._open(None, archives)
        grey = [
            row for row in np.flatnonzero(equal)
            if simplejpeg.decode_jpeg_header(source.read(row))[2] == "Gray"
        ]  # fmt: skip
        assert len(grey) == 1_821
    split = reference_split(images, 190)
    assert {name: len(part) for name, part in split.named().items()} == {
        "train": 76_000, "val": 9_500, "test": 9_500, "ood": 5_000
    }  # fmt: skip
    assert split.train.fingerprint().startswith("ec8c1019ba88e23f")
    shutil.rmtree(cache)
