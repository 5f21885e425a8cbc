"""Exact copies, near-duplicates, the measured threshold, and pairs marked as different."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painted import lay_pictures, paint
from PIL import Image, ImageOps

from neuralcodes.collection import calibration, duplicates
from neuralcodes.collection.calibration import pair_distances
from neuralcodes.collection.collection import Collection
from neuralcodes.collection.duplicates import join
from neuralcodes.collection.searching import Searcher
from neuralcodes.common.errors import UserError

Make = Callable[..., Collection]


@pytest.fixture
def doubled(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """Forty pictures, one of them three times, five of them also as small strongly packed JPEGs."""
    monkeypatch.setattr(calibration, "SAMPLE", 25)
    root = lay_pictures(tmp_path / "doubled", 40)
    for name in ("one", "two"):
        shutil.copy(root / "a" / "0000.jpg", root / "b" / f"{name}.jpg")
    for number in (1, 2, 4, 5, 7):
        paint(number, 48, 32).save(root / "c" / f"small{number}.jpg", quality=50)
    collection = make()
    collection.sync([root])
    return collection


def names(collection: Collection, threshold: float | None = None) -> list[list[str]]:
    found = collection.duplicates(threshold)
    return [[Path(image.path).name for image in group.images] for group in found.groups]


def test_exact_copies_and_near_ones_are_found(doubled: Collection) -> None:
    found = doubled.duplicates()
    exact, *near = found.groups
    assert exact.kind == "exact" and exact.distance == 0
    assert sorted(Path(i.path).name for i in exact.images) == ["0000.jpg", "one.jpg", "two.jpg"]
    pairs = [[Path(image.path).name for image in group.images] for group in near]
    for number in (1, 2, 4, 5, 7):
        assert [f"{number:04}.jpg", f"small{number}.jpg"] in pairs
    assert len(pairs) <= 6
    for group in near:
        assert 0 < group.distance <= found.threshold
        assert group.reason == "most pixels (60×40)"  # the larger is kept
    assert "data:image/jpeg" in found.to_html() and 'class="keep"' in found.to_html()
    assert found.to_json()["groups"][0]["keep"] == exact.images[0].path


def test_the_threshold_is_measured_and_told(doubled: Collection) -> None:
    measured = doubled.calibrate()
    contents = 45
    assert measured["contents"] == contents and measured["images"] == 25
    # five pairs are one picture each, and no false match
    assert measured["same_pairs"] == 5
    assert measured["pairs"] == contents * (contents - 1) // 2 - 5
    codes = doubled.codes(sorted({i.code: i.id for i in doubled.images()}.values()))
    distances, _ = pair_distances(codes)
    within = int((distances <= measured["threshold"]).sum())
    assert measured["false_rate"] == pytest.approx((within - 5) / measured["pairs"])
    assert measured["false_rate"] <= measured["false_rate_high"] < 0.05
    assert set(measured["alterations"]) == set(calibration.alterations(False))
    assert 0 < measured["found"] <= 1
    assert doubled.info().calibration == measured
    assert doubled.duplicates().calibration == measured  # not measured twice
    assert "mirrored" in doubled.calibrate(flip=True)["alterations"]


def test_no_more_false_matches_than_allowed(make: Make, tmp_path: Path) -> None:
    """Pictures that all have nearly one code: few altered copies can be told from the others."""
    root = tmp_path / "pale"
    root.mkdir()
    for number in range(30):
        pale = np.asarray(paint(number, 64, 48)) * 0.02 + 120
        Image.fromarray(pale.astype(np.uint8)).save(root / f"{number}.png")
    collection = make()
    collection.sync([root])
    measured = collection.calibrate()
    assert measured["false_rate"] == 0 and measured["found"] < 0.95 and not measured["same_pairs"]
    assert collection.duplicates().groups == ()


def test_pairs_marked_as_different_never_come_back(doubled: Collection, tmp_path: Path) -> None:
    found = doubled.duplicates()
    near = next(group for group in found.groups if group.kind == "near")
    one, other = near.images
    doubled.not_duplicates(f"id:{one.id}", other.path)
    assert len(doubled.duplicates()) == len(found) - 1
    # also when one of them has moved, and in a larger group
    Path(other.path).rename(tmp_path / "doubled" / "moved.jpg")
    doubled.sync()
    assert not any({"moved.jpg", Path(one.path).name} <= set(group) for group in names(doubled))
    assert len(doubled.duplicates()) == len(found) - 1
    # copies of one content may be wanted
    first, second, _ = found.groups[0].images
    doubled.not_duplicates(first.id, second.id)
    assert all(group.kind == "near" for group in doubled.duplicates().groups)
    with pytest.raises(UserError, match="the same image twice"):
        doubled.not_duplicates(one.id, one.id)
    with pytest.raises(UserError, match="not an image of"):
        doubled.not_duplicates(one.id, paint(999))


def test_a_threshold_of_ones_own(doubled: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(names(doubled, 0.0)) == 1  # the exact copies
    assert len(max(names(doubled, 2.0), key=len)) == 47
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 10)
    with pytest.raises(UserError, match="more than 10 pairs"):
        doubled.duplicates(2.0)


def test_too_few_pictures_to_measure_on(make: Make, tmp_path: Path) -> None:
    collection = make()
    collection.sync([lay_pictures(tmp_path / "few", 4)])
    with pytest.raises(UserError, match=r"only 4 pictures can be read.*--threshold"):
        collection.duplicates()


def test_the_index_finds_the_same_pairs(
    doubled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold = doubled.duplicates().threshold
    all_pairs = names(doubled, threshold)
    monkeypatch.setattr(duplicates, "EXACT_UP_TO", 10)
    assert names(doubled, threshold) == all_pairs


def test_tiles_miss_no_pair_and_find_none_twice(
    doubled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """45 codes in tiles of 12, cut into blocks of 4, against all their distances."""
    monkeypatch.setattr(duplicates, "BLOCK", 4)
    monkeypatch.setattr(duplicates, "TILE_BLOCKS", 3)
    snapshot = doubled.store.snapshot()
    ids = snapshot.alive
    distances, rows = pair_distances(snapshot.vectors(ids))
    threshold = float(np.median(distances))
    found = duplicates.near_pairs(snapshot, Searcher(doubled.store), threshold)
    within = distances <= threshold
    assert {(one, two) for _, one, two in found} == set(map(tuple, ids[rows[within]].tolist()))
    assert len(found) == within.sum() > 400
    np.testing.assert_allclose(
        [apart for apart, *_ in found], np.sort(distances[within]), atol=1e-6
    )


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.integers(13, 25)), max_size=40),
    st.sets(st.tuples(st.integers(0, 12), st.integers(13, 25)), max_size=10),
)
def test_joining(pairs: list[tuple[float, int, int]], different: set[tuple[int, int]]) -> None:
    """Marked pairs never share a group; without marks groups are what links connect."""
    pairs = sorted(pairs)
    groups = [set(members) for _, members in join(pairs, different)]
    for one, other in different:
        assert not any({one, other} <= group for group in groups)
    assert sum(map(len, groups)) == len(set().union(*groups))
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    free = [set(members) for _, members in join(pairs, set())]
    links = np.array([(a, b) for _, a, b in pairs]).reshape(-1, 2)
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(26, 26))
    _, labels = connected_components(graph, directed=False)
    expected = [set(np.flatnonzero(labels == label)) for label in set(labels.tolist())]
    assert sorted(map(sorted, free)) == sorted(sorted(g) for g in expected if len(g) > 1)


def test_blank_pages_look_the_same_and_others_by_their_pattern(make: Make, tmp_path: Path) -> None:
    root = tmp_path / "pages"
    root.mkdir()
    pages = {
        "white": Image.new("RGB", (60, 40), "white"),
        "clear": Image.new("RGBA", (90, 90), (0, 0, 0, 0)),
        "black": Image.new("RGB", (60, 40), "black"),
        "painted": paint(1),
        "darker": paint(1).point(lambda value: value * 0.8),
        "mirrored": ImageOps.mirror(paint(1)),
    }
    for name, page in pages.items():
        page.save(root / f"{name}.png")
    collection = make()
    collection.sync([root])
    codes = {Path(image.path).stem: image.code for image in collection.images()}
    look = calibration.Look(collection.store, collection.pictures, flip=False)
    turned = calibration.Look(collection.store, collection.pictures, flip=True)

    def alike(one: str, other: str, by: calibration.Look = look) -> bool:
        first, second = codes[one], codes[other]
        assert first is not None and second is not None
        return by.same(first, second)

    assert alike("white", "clear") and alike("painted", "darker")
    assert not alike("white", "black") and not alike("white", "painted")
    assert not alike("painted", "mirrored") and alike("painted", "mirrored", turned)
