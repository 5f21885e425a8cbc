"""Searching: what people give, what is found, filters, negatives, the index."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import lay_pictures, paint, picture_file
from PIL import Image, ImageOps

from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError
from neuralcodes.images.decode import to_rgb

Make = Callable[..., Collection]


def brute_force(collection: Collection, code: np.ndarray) -> list[tuple[int, float]]:
    """Ids by distance, in float64."""
    ids = [image.id for image in collection.images()]
    codes = collection.codes(ids).astype(np.float64)
    distances = np.sqrt(((codes - code.astype(np.float64)) ** 2).sum(axis=1))
    return [(ids[row], distances[row]) for row in np.lexsort((ids, distances))]


def test_equals_brute_force(collection: Collection) -> None:
    for number in (1, 5, 12):
        code = collection.codes([number])[0]
        expected = [pair for pair in brute_force(collection, code) if pair[0] != number]
        found = [(match.id, match.distance) for match in collection.search(number, k=20)]
        assert [pair[0] for pair in found] == [pair[0] for pair in expected]
        np.testing.assert_allclose([p[1] for p in found], [p[1] for p in expected], atol=1e-6)
        assert [m.rank for m in collection.search(number, k=20)] == list(range(1, 12))


def test_every_way_to_name_a_picture(collection: Collection, pictures: Path) -> None:
    path = pictures / "a" / "0000.jpg"
    (image,) = collection.images(f'path == "{path}"')
    wanted = [match.id for match in collection.search(image.id, k=5)]
    names = [f"id:{image.id}", str(path), path, path.as_uri(), os.path.relpath(path)]
    for name in [*names, np.int64(image.id), [image.id]]:
        results = collection.search(name, k=5)
        assert [match.id for match in results] == wanted
        assert image.id not in wanted
    # its bytes from elsewhere find the image itself, at exactly zero
    elsewhere = pictures.parent / "elsewhere.jpg"
    shutil.copy(path, elsewhere)
    for copy in (elsewhere, path.read_bytes()):
        first = collection.search(copy, k=1)[0]
        assert (first.id, first.distance) == (image.id, 0.0)


def test_pictures_in_memory_are_one_whatever_holds_them(make: Make, tmp_path: Path) -> None:
    collection = make()
    root = tmp_path / "png"
    root.mkdir()
    for seed in range(5):
        paint(seed).save(root / f"{seed}.png")
    collection.sync([root])
    pixels = np.asarray(paint(2))
    forms = [
        paint(2), pixels, pixels / 255.0, (pixels / 255).astype(np.float32),
        torch.from_numpy(pixels.copy()), torch.from_numpy(pixels.copy()).permute(2, 0, 1),
        torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255,
        np.ascontiguousarray(np.moveaxis(pixels, -1, 0)), paint(2).convert("RGBA"),
    ]  # fmt: skip
    for form in forms:
        results = collection.search(form, k=2)
        assert results[0].path.endswith("2.png") and results[0].distance < 1e-3
    grey = np.asarray(paint(2).convert("L"))
    distances = [collection.search(g, k=1)[0].distance for g in (grey, grey[..., None], grey[None])]
    assert distances[0] == distances[1] == distances[2]
    for wrong in (np.zeros((2, 2, 7), np.uint8), np.zeros(5, np.uint8), pixels.astype(int),
                  pixels * 2.0, {"no": "picture"}, None):  # fmt: skip
        with pytest.raises(UserError):
            collection.search(wrong)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_one_picture_has_one_code_by_every_way_in(make: Make, tmp_path: Path) -> None:
    """Its file, the opened file, its pixels; whatever its kind, size, mode and orientation."""
    grain = np.random.default_rng(0).integers(-60, 60, (900, 1300, 3))
    photo = Image.fromarray((np.asarray(paint(5, 1300, 900)) + grain).clip(0, 255).astype(np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    see_through = photo.convert("RGBA")
    see_through.putalpha(photo.convert("L"))
    deep = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    files = [
        saved(photo, tmp_path / "plain.jpg", quality=90),
        saved(photo, tmp_path / "progressive.jpg", quality=80, progressive=True),
        saved(photo, tmp_path / "turned.jpg", exif=turned),
        saved(photo.convert("L"), tmp_path / "grey.jpg"),
        saved(photo.convert("CMYK"), tmp_path / "cmyk.jpg"),
        saved(photo.resize((48, 40)), tmp_path / "small.jpg"),
        saved(see_through, tmp_path / "see-through.png"),
        saved(photo.quantize(64), tmp_path / "palette.png"),
        saved(see_through.quantize(64), tmp_path / "palette-see-through.png"),
        saved(deep, tmp_path / "deep.png"),
        saved(see_through, tmp_path / "see-through.webp"),
    ]
    collection = make()
    collection.sync(files)
    for file in files:
        with Image.open(file) as opened:
            upright = to_rgb(ImageOps.exif_transpose(opened))
            queries = {"image": opened, "pixels": np.asarray(upright)}
            for way, query in queries.items():
                best = collection.search(query, 1)[0]
                assert (best.path, best.distance < 1e-3) == (str(file), True), (file.name, way)


def test_a_symbolic_link_stands_for_itself(make: Make, pictures: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.jpg"
    target.write_bytes(picture_file(77))
    link = pictures / "a" / "link.jpg"
    link.symlink_to(target)
    way = tmp_path / "way"
    way.symlink_to(pictures)
    collection = make()
    collection.sync([pictures])
    for name in (link, way / "a" / "link.jpg"):
        results = collection.search(name, 20)
        assert len(results) == 12 and results.asked[0].image is not None
    assert [match.path for match in collection.search(target, 1)] == [str(link)]
    assert collection.remove([link]) == 1


def test_several_pictures_are_their_mean(collection: Collection) -> None:
    codes = collection.codes([1, 2, 3]).astype(np.float64)
    mean = codes.mean(axis=0)
    expected = brute_force(collection, mean / np.linalg.norm(mean))
    found = collection.search(["id:1", 2, "id:3"], k=20)
    assert [m.id for m in found] == [i for i, _ in expected if i not in (1, 2, 3)]


def test_a_part_of_a_picture(make: Make, tmp_path: Path) -> None:
    collection = make()
    root = tmp_path / "png"
    root.mkdir()
    paint(7, 40, 40).save(root / "part.png")
    for seed in range(8, 14):
        paint(seed, 40, 40).save(root / f"{seed}.png")
    whole = Image.new("RGB", (200, 100), (90, 90, 90))
    whole.paste(paint(7, 40, 40), (120, 30))
    whole.save(tmp_path / "whole.png")
    collection.sync([root])
    found = collection.search(tmp_path / "whole.png", k=1, crop=(120, 30, 40, 40))
    assert found[0].path.endswith("part.png") and found[0].distance < 1e-3
    assert "[120,30 40×40]" in found.query
    turned = Image.Exif()
    turned[0x0112] = 6  # the crop is of the upright picture
    whole.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=turned)
    assert (
        collection.search(tmp_path / "turned.png", k=1, crop=(120, 30, 40, 40))[0].distance < 1e-3
    )
    for crop in ((300, 0, 5, 5), (0, 0, 0, 5), (-9, 0, 5, 5)):
        with pytest.raises(UserError, match=r"no part of .*whole.png, which is 200×100"):
            collection.search(tmp_path / "whole.png", crop=crop)
    with pytest.raises(UserError, match="with one picture"):
        collection.search(["id:1", "id:2"], crop=(0, 0, 5, 5))
    # an image of the collection, cut, may find itself
    assert collection.search("id:1", k=1, crop=(0, 0, 39, 40))[0].distance < 0.2


def test_negatives_leave_out_what_is_nearer_to_them(collection: Collection) -> None:
    everything = collection.search(1, k=20)
    codes = {i.id: collection.codes([i.id])[0] for i in collection.images()}
    negative = everything[0].id
    found = collection.search(1, k=20, exclude=negative)
    expected = [
        match.id
        for match in everything
        if match.id != negative
        and np.linalg.norm(codes[match.id] - codes[negative]) >= match.distance
    ]
    assert [match.id for match in found] == expected
    assert 0 < len(expected) < 10
    assert len(collection.search(1, k=3, exclude=negative)) == min(3, len(expected))


def test_copies_are_all_found(collection: Collection, pictures: Path) -> None:
    for number in range(3):
        shutil.copy(pictures / "a" / "0000.jpg", pictures / "b" / f"copy{number}.jpg")
    collection.sync()
    results = collection.search(pictures / "a" / "0000.jpg", k=4)
    assert [m.distance for m in results][:3] == [0, 0, 0]
    assert [Path(m.path).name for m in results][:3] == ["copy0.jpg", "copy1.jpg", "copy2.jpg"]
    assert len(collection.search(pictures / "a" / "0000.jpg", k=2)) == 2


def test_filters_give_k_all_the_same(collection: Collection) -> None:
    results = collection.search("id:1", k=3, filter='label == "b"')
    assert [match.image.label for match in results] == ["b", "b", "b"]
    best = [m.id for m in collection.search("id:1", k=20) if m.image.label == "b"]
    assert [match.id for match in results] == best[:3]
    assert len(collection.search("id:1", k=3, filter='label == "none"')) == 0
    with pytest.raises(UserError, match="no column 'colour'"):
        collection.search("id:1", filter="colour == 1")


def test_what_cannot_be_searched_by(collection: Collection, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    for given, reason in (
        (tmp_path / "nowhere.jpg", "nowhere.jpg: no such file"),
        (tmp_path / "text.jpg", "text.jpg: not an image"),
        ("id:999", "no image of that number"),
        ("https://example.org/a.jpg", "download it first"),
        ("file://host/a.jpg", "only files of this machine"),
        (tmp_path, "not a regular file"),
        ([], "nothing to search by"),
    ):
        with pytest.raises(UserError, match=reason):
            collection.search(given)
    with pytest.raises(UserError, match="-k 0"):
        collection.search("id:1", k=0)


def test_a_file_changed_since_is_not_taken_for_what_it_was(
    collection: Collection, pictures: Path
) -> None:
    path = pictures / "a" / "0000.jpg"
    was = path.read_bytes()
    path.write_bytes(picture_file(300))
    assert collection.search(path, k=1)[0].distance > 0
    path.write_bytes(was)
    path.unlink()  # what has gone can be searched by as it was
    assert [m.id for m in collection.search(path, k=3)] == [m.id for m in collection.search(1, k=3)]


def test_results_in_a_notebook_and_as_a_page(collection: Collection, pictures: Path) -> None:
    evil = pictures / "a" / "<script>alert(1)</script>.jpg"
    evil.parent.mkdir(exist_ok=True)
    (pictures / "a" / "&lt;img src=x onerror=y&gt;.jpg").write_bytes(picture_file(1))
    collection.sync()
    results = collection.search("id:1", k=20)
    html = results.to_html()
    assert html.count("data:image/jpeg;base64,") == 13 and "<!doctype html>" in html
    assert "&amp;lt;img" in html and "onerror=y>" not in html.replace("&gt;", ">").split("alt=")[0]
    assert "http" not in html.replace("http-equiv", "")
    assert results._repr_html_().lstrip().startswith("<style>")
    assert "<figure" in collection._repr_html_()
    (pictures / "a" / "0003.jpg").unlink()
    assert "no picture" in collection.search("id:1", k=20).to_html()
    json.dumps(results.to_json())


def test_needs_no_torch_for_what_it_knows(collection: Collection, pictures: Path) -> None:
    collection.close()
    program = (
        "import sys\n"
        "from neuralcodes.collection.collection import Collection\n"
        "with Collection.open(sys.argv[1]) as c:\n"
        "    print(len(c.search(sys.argv[2], k=5)), len(c.search('id:2', k=5)))\n"
        "    c.sync()\n    c.info()\n    c.verify()\n"
        "heavy = ('torch', 'faiss', 'jinja2', 'scipy', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(collection.path), str(pictures / "a" / "0000.jpg")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["5 5", "[]"], done.stdout + done.stderr


@pytest.fixture
def large(make: Make, tmp_path: Path) -> Collection:
    """Some hundred images with a graph as index."""
    collection = make("large", backend="hnsw", recall=0.9)
    collection.sync([lay_pictures(tmp_path / "large", 400)])
    return collection


def test_an_index_is_kept_and_its_recall_measured(large: Collection, tmp_path: Path) -> None:
    about = large.info().index
    assert about["backend"] == "hnsw" and about["count"] == 400
    recall = about["recall"]
    assert recall["met"] and recall["low"] <= recall["mean"] <= recall["high"]
    assert recall["target"] == 0.9 and recall["queries"] == 40
    for number in (1, 50, 200):
        found = [m.distance for m in large.search(number, k=10)]
        exact = [m.distance for m in large.search(number, k=10, exact=True)]
        assert sum(one <= exact[-1] + 1e-6 for one in found) >= 8
    # new codes are found at once, before the index has them
    lay_pictures(tmp_path / "large", 30, first=400)
    large.sync()
    assert large.info().index["count"] == 400
    newest = max(image.id for image in large.images())
    assert large.search(large_bytes(large, newest), k=1)[0].id == newest
    # removed ones are not, and those that come back are
    large.remove([5])
    assert 5 not in [m.id for m in large.search("id:1", k=429)]
    assert len(large.search("id:1", k=429)) == 428
    assert large.verify().whole


def large_bytes(collection: Collection, number: int) -> bytes:
    return Path(collection.image(number).path).read_bytes()


def test_recall_is_measured_again_when_it_has_grown_by_half(
    large: Collection, tmp_path: Path
) -> None:
    lay_pictures(tmp_path / "large", 300, first=1000)
    large.sync()
    about = large.info().index
    assert about["count"] == 700 and about["recall"]["count"] > 600
    assert large.verify().whole


def test_another_promise_builds_it_anew(large: Collection) -> None:
    large.wish(recall=0.99)
    about = large.info().index
    assert about["recall"]["target"] == 0.99 and about["promised_recall"] == 0.99
    large.wish(backend="exact")
    assert large.info().index["recall"] is None
    assert not list((large.path / "index").iterdir())
    with pytest.raises(UserError, match="unknown index 'best'"):
        large.wish(backend="best")
    with pytest.raises(UserError, match="--recall 2"):
        large.wish(recall=2)


def test_a_damaged_index_costs_time_but_no_result(large: Collection) -> None:
    folder = next((large.path / "index").iterdir())
    (folder / "index.faiss").write_bytes(b"damaged")
    with Collection.open(large.path, device="cpu") as opened:
        results = opened.search("id:1", k=10)
        exact = opened.search("id:1", k=10, exact=True)
        assert "without the index" in results.warning
        assert [m.id for m in results] == [m.id for m in exact]
        assert any("index is damaged" in problem for problem in opened.verify().problems)
        opened.verify(repair=True)
        assert opened.verify().whole and not opened.search("id:1", k=3).warning


def test_a_compaction_that_ended_before_its_index_was_made_anew(
    large: Collection, tmp_path: Path
) -> None:
    """As a kill between the two leaves it: the index holds codes that are there no longer."""
    from neuralcodes.collection import adding
    from neuralcodes.collection.writer import writing

    large.remove([3, 77, 399, 400])
    with writing(large._store) as writer:
        adding.compact(writer)
    assert large.info().index["count"] == 400 and large.info().contents == 396
    assert len(large.search("id:1", k=500)) == 395
    lay_pictures(tmp_path / "large", 250, first=2000)
    large.sync()  # measures recall again
    about = large.info().index
    assert about["count"] == 646 and about["recall"]["count"] > 500
    assert large.verify().whole and len(large.search("id:1", k=700)) == 645
