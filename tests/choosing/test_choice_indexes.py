"""Indexes are measured, and another than exact search is taken only where it gains something."""

import numpy as np
import pytest

from made import unit_rows
from neuralcodes.choosing.indexes import Indexed, choose_backend, measure_index
from neuralcodes.codes.transforms.int8 import Int8
from neuralcodes.codes.transforms.rows import StoredRows
from neuralcodes.codes.transforms.training import Training
from neuralcodes.index.scan import ScanIndex


@pytest.mark.parametrize(("backend", "least"), [("exact", 64), ("flat", 4 * 32), ("hnsw", 4 * 32)])
def test_a_measured_index(backend, least):
    values = unit_rows(600, 32)
    found = measure_index("run@L", 64, values, values, backend, seed=0)
    assert found.images == 480
    assert found.recall >= 0.95
    assert found.met
    if backend != "hnsw":
        assert found.recall == 1
    assert found.bytes >= least
    assert found.bytes < 64 + 4 * 32 + 500
    if backend == "exact":
        assert found.bytes == 64  # nothing beside the codes
    assert found.milliseconds > 0
    assert Indexed.from_json(found.to_json()) == found


def test_exact_search_is_measured_on_what_is_stored(monkeypatch):
    values = unit_rows(600, 32)
    quantiser = Int8.fit(Training(values), None)
    stored = StoredRows(quantiser.encode(values), quantiser, 32)
    added = []
    add = ScanIndex.add
    monkeypatch.setattr(
        ScanIndex, "add", lambda self, codes, ids: (added.append(codes), add(self, codes, ids))[1]
    )
    searched = quantiser.decode(stored.stored)
    found = measure_index("run@L/int8", 32, searched, values, "exact", seed=0, stored=stored)
    assert (found.recall, found.bytes) == (1, 32)
    assert isinstance(added[0], StoredRows) and added[0].stored.shape == (480, 32)
    other = measure_index("run@L/int8", 32, searched, values, "hnsw", seed=0, stored=stored)
    assert other.recall >= 0.95 and other.bytes > 32 + 4 * 32


def test_an_index_that_cannot_be_is_passed_over():
    values = unit_rows(12, 32)
    assert measure_index("run@L", 64, values, values, "ivfpq", seed=0) is None


def indexed(backend, milliseconds, met=True):
    return Indexed("run@L", backend, 1000, 0.96, 0.9, 1.0, milliseconds, 64.0, met)


def test_the_rule():
    assert choose_backend([], "run@L") is None
    fast = [indexed("exact", 2.0), indexed("hnsw", 0.1)]
    assert choose_backend(fast, "run@L").backend == "exact"
    slow = [indexed("exact", 20.0), indexed("flat", 15.0), indexed("hnsw", 0.1)]
    assert choose_backend(slow, "run@L").backend == "hnsw"
    missed = [indexed("exact", 20.0), indexed("hnsw", 0.1, met=False)]
    assert choose_backend(missed, "run@L").backend == "exact"
    little = [indexed("exact", 20.0), indexed("hnsw", 15.0)]
    assert choose_backend(little, "run@L").backend == "exact"
    assert choose_backend(slow, "another") is None
    assert np.isfinite(slow[0].bytes)
