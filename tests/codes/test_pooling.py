"""Each pooling against loops written from its definition, and the regions of R-MAC."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuralcodes.codes.pooling import pool, rmac_regions
from neuralcodes.codes.pooling_names import POOLINGS, pooling_name
from neuralcodes.common.errors import UserError

SIZES = [(6, 6), (5, 9), (8, 3), (1, 1), (2, 7)]


def maps(height, width, channels=7, count=3, seed=0):
    """What stands behind a ReLU: about half of it zero, one channel and one place all zero."""
    values = np.random.default_rng(seed).normal(size=(count, channels, height, width))
    values = np.maximum(values, 0)
    values[:, 2] = 0
    if height > 1:
        values[:, :, 0, 0] = 0
    return values


def pooled(name, values):
    return pool(name, torch.from_numpy(values).float(), "conv").numpy()


def loop_gem(values, power):
    count, channels, height, width = values.shape
    out = np.zeros((count, channels))
    for n in range(count):
        for c in range(channels):
            total = 0.0
            for y in range(height):
                for x in range(width):
                    total += max(values[n, c, y, x], 1e-6) ** power
            out[n, c] = (total / (height * width)) ** (1 / power)
    return out


def loop_crow(values):
    count, channels, height, width = values.shape
    out = np.zeros((count, channels))
    for n in range(count):
        strength = [[values[n, :, y, x].sum() for x in range(width)] for y in range(height)]
        length = math.sqrt(sum(s * s for row in strength for s in row))
        share = [np.count_nonzero(values[n, c]) / (height * width) for c in range(channels)]
        for c in range(channels):
            rarity = math.log(sum(share) / share[c]) if share[c] else 0.0
            for y in range(height):
                for x in range(width):
                    place = math.sqrt(strength[y][x] / length) if length else 0.0
                    out[n, c] += place * values[n, c, y, x] * rarity
    return out


def loop_rmac(values):
    """The steps of the published code (floats and centres), without its extra whole-map region."""
    count, channels, height, width = values.shape
    short = min(height, width)
    overlaps = []
    for regions in range(2, 8):
        step = (max(height, width) - short) / (regions - 1)
        overlaps.append(abs((short**2 - short * step) / short**2 - 0.4))
    extra = int(np.argmin(overlaps)) + 1
    down, across = (extra if height > width else 0), (extra if width > height else 0)
    out = np.zeros((count, channels))
    for scale in (1, 2, 3):
        side = math.floor(2 * short / (scale + 1))
        half = math.floor(side / 2 - 1)
        places = []
        for length, more in ((height, down), (width, across)):
            regions = scale + more
            step = (length - side) / (regions - 1) if regions > 1 else 0
            places.append([math.floor(half + i * step + 1e-9) - half for i in range(regions)])
        for top in places[0]:
            for left in places[1]:
                if side == 0:
                    continue
                region = values[:, :, top : top + side, left : left + side]
                assert region.shape[2:] == (side, side)
                peaks = region.max(axis=(2, 3))
                lengths = np.linalg.norm(peaks, axis=1, keepdims=True)
                out += np.divide(peaks, lengths, out=np.zeros_like(peaks), where=lengths > 0)
    return out


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "loop"),
    [
        ("flatten", lambda v: v.reshape(len(v), -1)),
        ("mac", lambda v: np.array([[c.max() for c in n] for n in v])),
        ("spoc", lambda v: np.array([[c.sum() / c.size for c in n] for n in v])),
        ("gem", lambda v: loop_gem(v, 3)),
        ("gem2.5", lambda v: loop_gem(v, 2.5)),
        ("crow", loop_crow),
        ("rmac", loop_rmac),
    ],
)
def test_pooling_equals_its_definition(name, loop, size):
    values = maps(*size)
    np.testing.assert_allclose(pooled(name, values), loop(values), rtol=2e-5, atol=1e-6)


def test_gem_lies_between_mean_and_maximum():
    values = maps(6, 6)
    by_power = [pooled(name, values) for name in ("gem1", "gem", "gem10", "gem60")]
    for less, more in itertools.pairwise(by_power):
        assert (less <= more + 1e-6).all()
    np.testing.assert_allclose(by_power[0], pooled("spoc", values), atol=2e-6)
    np.testing.assert_allclose(by_power[-1], pooled("mac", values), rtol=0.07, atol=2e-6)


@pytest.mark.parametrize("name", ["gem", "crow", "rmac", "mac", "spoc", "flatten"])
def test_a_map_of_zeros_and_negative_values_gives_finite_codes(name):
    assert np.isfinite(pooled(name, np.zeros((2, 4, 5, 5)))).all()
    assert np.isfinite(pooled(name, -np.ones((2, 4, 5, 5)))).all()


def test_the_regions_of_a_square_map():
    assert rmac_regions(6, 6) == [
        (0, 0, 6),
        *[(y, x, 4) for y in (0, 2) for x in (0, 2)],
        *[(y, x, 3) for y in (0, 1, 3) for x in (0, 1, 3)],
    ]


def test_the_regions_of_an_oblong_map():
    # 12×8: two squares of 8 along 12 overlap by 50 %, three by 75 %: two are nearest to 40 %
    regions = rmac_regions(12, 8)
    assert [r for r in regions if r[2] == 8] == [(0, 0, 8), (4, 0, 8)]
    assert len([r for r in regions if r[2] == 5]) == 3 * 2
    assert len([r for r in regions if r[2] == 4]) == 4 * 3


@given(st.integers(1, 40), st.integers(1, 40))
def test_regions_lie_within_and_turn_with_the_map(height, width):
    regions = rmac_regions(height, width)
    for top, left, side in regions:
        assert side >= 1
        assert 0 <= top <= height - side
        assert 0 <= left <= width - side
    assert {(left, top, side) for top, left, side in regions} == set(rmac_regions(width, height))
    # the corners of the map belong to some region
    assert min(r[0] for r in regions) == 0
    assert max(r[0] + r[2] for r in regions) == height


def test_tokens_are_the_map_that_they_make_up():
    values = maps(4, 4)
    tokens = values.reshape(3, 7, 16).transpose(0, 2, 1)
    special = np.full((3, 1, 7), 99.0)
    for front in ([], [special], [special] * 5):
        sequence = np.concatenate([*front, tokens], axis=1)
        for name in ("mac", "spoc", "gem", "crow", "rmac"):
            np.testing.assert_allclose(pooled(name, sequence), pooled(name, values), rtol=1e-5)
    np.testing.assert_allclose(pooled("flatten", sequence), sequence.reshape(3, -1))


def test_tokens_are_laid_out_in_the_grid_of_the_networks_patches():
    values = maps(6, 2)
    tokens = values.reshape(3, 7, 12).transpose(0, 2, 1)
    special = np.full((3, 4, 7), 99.0)  # with them, 16 tokens would be a square
    sequence = torch.from_numpy(np.concatenate([special, tokens], axis=1)).float()
    for name in ("mac", "spoc", "gem", "crow", "rmac"):
        found = pool(name, sequence, "block", (6, 2)).numpy()
        np.testing.assert_allclose(found, pooled(name, values), rtol=1e-5)
    # a layer with fewer tokens than patches, as where Swin has joined them: a square
    joined = torch.from_numpy(maps(2, 2).reshape(3, 7, 4).transpose(0, 2, 1)).float()
    found = pool("mac", joined, "block", (8, 8)).numpy()
    np.testing.assert_allclose(found, pooled("mac", maps(2, 2)), rtol=1e-6)


def test_the_class_token():
    sequence = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 17, 8)))
    for patches in (None, (4, 4)):
        found = pool("cls", sequence, "block", patches)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, sequence[:, 0].float())
    for values, patches in ((sequence[:, 1:], (4, 4)), (torch.zeros(2, 8, 4, 4), None)):
        with pytest.raises(UserError, match=r"layer 'block' gives .* without a class token"):
            pool("cls", values, "block", patches)


def test_what_has_no_map_is_refused():
    for name in ("mac", "spoc", "gem", "crow", "rmac"):
        with pytest.raises(UserError, match=f"pooling {name}: layer 'relu6' gives 128 values"):
            pool(name, torch.zeros(2, 128), "relu6")
    with pytest.raises(UserError, match="the 47 tokens of layer 'block'"):
        pool("gem", torch.zeros(2, 47, 8), "block")


def test_half_precision_maps_are_pooled_in_single():
    values = torch.from_numpy(maps(6, 6)).to(torch.bfloat16)
    for name in ("flatten", "mac", "spoc", "gem", "crow", "rmac"):
        found = pool(name, values, "conv")
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, pool(name, values.float(), "conv"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("gem", "gem"), ("gem3", "gem"), ("gem3.0", "gem"), ("gem4", "gem4"),
        ("gem2.50", "gem2.5"), ("mac", "mac"), ("gem0", None), ("gemP", None), ("gem-1", None),
        ("pca8", None), ("", None), ("MAC", None),
    ],
)  # fmt: skip
def test_names(text, name):
    assert pooling_name(text) == name


def test_all_listed_names_are_known():
    assert all(pooling_name(name.replace("P", "5")) for name in POOLINGS)
