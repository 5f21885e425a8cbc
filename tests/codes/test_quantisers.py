"""int8, half, binary and product quantisation against loops; stored and searched forms."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from transform_data import class_codes, mean_ap

from made import unit_rows
from neuralcodes.codes.transforms.binary import Binary
from neuralcodes.codes.transforms.half import Half
from neuralcodes.codes.transforms.int8 import Int8
from neuralcodes.codes.transforms.pq import ProductQuantiser
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError

VALUES, LABELS = class_codes(600, 32)


@functools.cache
def fitted(name):
    return fit(name, VALUES)


def fit(name, values):
    kind, number = get_transform(name)
    return kind.fit(Training(values), number)


@pytest.mark.parametrize(
    ("name", "size"), [("int8", 32), ("half", 64), ("binary", 4), ("pq8", 8), ("opq8", 8)]
)
def test_forms(name, size):
    quantiser = fitted(name)
    new, _ = class_codes(100, 32, seed=3)
    stored = quantiser.encode(new)
    assert (stored.dtype, stored.shape) == (np.uint8, (100, size))
    assert type(quantiser).stored_bytes(quantiser.number, 32) == size
    searched = quantiser.decode(stored)
    assert (searched.dtype, searched.shape) == (np.float32, (100, 32))
    np.testing.assert_allclose(np.linalg.norm(searched, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(quantiser.apply(new), searched)
    assert quantiser.query(new).shape == new.shape
    assert quantiser.dims(32) == 32


def test_int8_rounds_each_dimension_on_its_scale():
    quantiser = fitted("int8")
    step = np.abs(VALUES).max(axis=0) / 127
    stored = quantiser.encode(VALUES).view(np.int8)
    expected = [[round(float(v / s)) for v, s in zip(row, step, strict=True)] for row in VALUES]
    assert np.abs(stored - np.array(expected)).max() <= 1  # a tie may round either way
    assert (stored != np.array(expected)).mean() < 1e-3
    assert np.abs(stored).max() == 127
    raw = stored * step
    assert (np.abs(raw - VALUES) <= step / 2 * 1.001).all()
    assert np.abs(quantiser.apply(VALUES) - VALUES).max() < 0.01


def test_int8_cuts_what_is_larger_and_keeps_dead_dimensions_at_zero():
    values = VALUES.copy()
    values[:, 4] = 0
    quantiser = fit("int8", values)
    wild = np.full((1, 32), 50, np.float32)
    stored = quantiser.encode(wild).view(np.int8)
    assert stored[0, 4] == 0
    assert (np.delete(stored, 4) == 127).all()
    assert (quantiser.encode(-wild).view(np.int8)[0, :4] == -127).all()
    assert not quantiser.apply(np.zeros((2, 32), np.float32)).any()


@given(arrays.arrays(np.float32, (5, 9), elements=st.floats(-1, 1, width=32)))
def test_half_rounds_to_float16(values):
    half = Half.fit()
    stored = half.encode(values)
    assert np.array_equal(stored.view("<f2"), values.astype(np.float16))
    exact = values.astype(np.float16).astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    expected = np.divide(exact, lengths, out=np.zeros_like(exact), where=lengths > 0)
    np.testing.assert_allclose(half.decode(stored), expected, atol=1e-6)


@given(st.integers(1, 40), st.integers(0, 100))
def test_binary_distances_are_hamming_distances(dims, seed):
    values = unit_rows(30, dims, seed)
    quantiser = Binary.fit(Training(values), None)
    middle = np.median(values, axis=0)
    bits = values > middle
    stored = quantiser.encode(values)
    assert stored.shape == (30, -(-dims // 8))
    first = "".join(str(int(b)) for b in bits[0])
    assert "".join(f"{byte:08b}" for byte in stored[0]) == first.ljust(8 * stored.shape[1], "0")
    searched = quantiser.decode(stored)
    squared = ((searched[:, None] - searched[None]) ** 2).sum(axis=2)
    hamming = (bits[:, None] != bits[None]).sum(axis=2)
    np.testing.assert_allclose(squared, 4 / dims * hamming, atol=1e-5)


def test_binary_bits_are_balanced():
    bits = np.unpackbits(fitted("binary").encode(VALUES), axis=1)
    np.testing.assert_allclose(bits.mean(axis=0), 0.5, atol=0.01)


def test_product_quantiser_takes_the_nearest_centre_of_each_part():
    quantiser = fitted("pq8")
    centres = quantiser.tensors["centres"]
    assert centres.shape == (8, 256, 4)
    stored = quantiser.encode(VALUES[:50])
    for row in range(50):
        for part in range(8):
            piece = VALUES[row, 4 * part : 4 * part + 4]
            distances = ((centres[part] - piece) ** 2).sum(axis=1)
            assert distances[stored[row, part]] <= distances.min() + 1e-6
    pieces = np.concatenate([centres[part, stored[:, part]] for part in range(8)], axis=1)
    expected = pieces / np.linalg.norm(pieces, axis=1, keepdims=True)
    np.testing.assert_allclose(quantiser.decode(stored), expected, atol=1e-6)


def test_more_bytes_lose_less_and_a_rotation_helps_unequal_parts():
    scale = np.geomspace(1, 0.02, 16).astype(np.float32)
    mixed = np.random.default_rng(0).normal(size=(1000, 16)).astype(np.float32) * scale
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    errors = {
        name: float(((fit(name, mixed).apply(mixed) - mixed) ** 2).sum(axis=1).mean())
        for name in ("pq2", "pq4", "pq8", "opq4")
    }
    assert errors["pq2"] > errors["pq4"] > errors["pq8"]
    assert errors["opq4"] < 0.8 * errors["pq4"]


def test_the_same_seed_gives_the_same_quantiser():
    for name in ("pq8", "opq8"):
        assert fit(name, VALUES).digest() == fitted(name).digest()
    other = ProductQuantiser.fit(Training(VALUES, seed=1), 8)
    assert other.digest() != fitted("pq8").digest()


def test_what_cannot_be_quantised_is_refused():
    with pytest.raises(UserError, match=r"pq5: codes of 32 dimensions .* into 8, 16, 32"):
        fitted("pq5")
    with pytest.raises(UserError, match="pq64: codes of 32 dimensions"):
        fitted("pq64")
    with pytest.raises(UserError, match="pq8: 200 images to learn from; give at least 256"):
        fit("pq8", VALUES[:200])


@pytest.mark.parametrize("name", ["binary", "pq4"])
def test_a_query_that_is_not_rounded_finds_more(name):
    quantiser = fitted(name)
    new, labels = class_codes(300, 32, seed=4)
    searched = quantiser.apply(new)
    symmetric = mean_ap(searched, labels)
    asymmetric = mean_ap(searched, labels, quantiser.query(new))
    assert asymmetric > symmetric
    assert mean_ap(new, labels) > symmetric


def test_nothing_is_lost_to_speak_of_at_a_byte_a_dimension():
    new, labels = class_codes(300, 32, seed=4)
    full = mean_ap(new, labels)
    assert mean_ap(Int8.fit(Training(VALUES), None).apply(new), labels) == pytest.approx(
        full, abs=0.003
    )
    assert mean_ap(Half.fit().apply(new), labels) == pytest.approx(full, abs=0.001)
