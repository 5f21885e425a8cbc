"""Products of codes with each other: both ways give them, symmetric to the bit."""

import numpy as np
import pytest

from neuralcodes.index import products
from neuralcodes.index.exact import search_exact


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("faster", [True, False])
@pytest.mark.parametrize("count", [1, 511, 512, 1100])
def test_products_are_those_in_double_precision(count, faster, monkeypatch):
    monkeypatch.setattr(products, "ENOUGH", 0)
    monkeypatch.setattr(products, "_onednn_is_faster", lambda: faster)
    codes = np.random.default_rng(count).standard_normal((count, 300), dtype=np.float32)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    out = np.full((count, count), np.nan, dtype=np.float32)
    codes.flags.writeable = False
    products.products_of(codes, out)
    np.testing.assert_allclose(out, codes.astype(np.float64) @ codes.T, atol=1e-6)
    assert np.array_equal(out, out.T)


def test_search_is_the_same_either_way(monkeypatch):
    codes = np.random.default_rng(0).standard_normal((700, 64), dtype=np.float32)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    found = []
    for faster in (True, False):
        monkeypatch.setattr(products, "ENOUGH", 0)
        monkeypatch.setattr(products, "_onednn_is_faster", lambda faster=faster: faster)
        found.append(search_exact(codes, codes, 10, exclude=np.arange(700)))
    assert np.mean(found[0].rows == found[1].rows) > 0.999  # all but near ties
    np.testing.assert_allclose(found[0].distances, found[1].distances, atol=1e-5)


def test_the_choice_depends_on_what_blas_and_processor_say(monkeypatch):
    import threadpoolctl
    import torch

    def chosen(capability, architecture):
        pool = {"internal_api": "openblas", "filepath": "numpy.libs/x.so"}
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        monkeypatch.setattr(
            threadpoolctl, "threadpool_info", lambda: [{**pool, "architecture": architecture}]
        )
        return products._onednn_is_faster.__wrapped__()

    assert chosen("AVX512", "Haswell")
    assert not chosen("AVX512", "SkylakeX")
    assert not chosen("AVX2", "Haswell")
