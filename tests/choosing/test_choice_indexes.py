"""Indexes are measured, and another than exact search is taken only where it gains something."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from made import unit_rows
from neuralcodes.choosing.indexes import (
    ALL,
    Indexed,
    choose_backend,
    expand_backends,
    measure_index,
)
from neuralcodes.codes.transforms.int8 import Int8
from neuralcodes.codes.transforms.rows import StoredRows
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError
from neuralcodes.index import backend as registry
from neuralcodes.index.backend import backend_names, get_backend
from neuralcodes.index.scan import ScanIndex

# bytes an image beside the code: whole codes of 32 numbers, 16 pieces of half a byte, links
LEAST = {"exact": 0, "fastscan": 128 + 8, "flat": 128, "hnsw": 128 + 48 * 4, "ivfpq": 8}
PLUG_IN = """
import numpy as np

from neuralcodes.index.backend import register
from neuralcodes.index.scan import ScanIndex


@register("odd")
class OddIndex(ScanIndex):
    exact = False

    def search(self, queries, k, exclude=None, allowed=None):
        odd = np.arange(int(self.ids().max()) + 1) % 2 > 0
        return super().search(queries, k, exclude, odd)
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An index of another package, as one that is installed declares it."""
    (tmp_path / "odd_index.py").write_text(PLUG_IN)
    info = tmp_path / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[neuralcodes.indexes]\nodd = odd_index\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "odd"
    registry._KINDS.entries.pop("odd", None)
    sys.modules.pop("odd_index", None)


@pytest.mark.parametrize("backend", LEAST)
def test_a_measured_index(backend):
    values = unit_rows(600, 32)
    found = measure_index("run@L", 64, values, values, backend, seed=0)
    assert found.images == 480
    assert found.recall >= 0.95
    assert found.met
    if get_backend(backend).exact:
        assert found.recall == 1
    assert 64 + LEAST[backend] <= found.bytes < 64 + 4 * 32 + 500
    if backend == "exact":
        assert found.bytes == 64  # nothing beside the codes
    assert found.milliseconds > 0
    assert Indexed.from_json(found.to_json()) == found


def test_all_are_those_that_need_no_place():
    everything = expand_backends([ALL])
    assert set(LEAST) <= set(everything)
    assert "milvus" not in everything and "milvus" in backend_names()
    mixed = expand_backends(["hnsw", ALL, "exact"])
    assert mixed[0] == "hnsw" and sorted(mixed) == list(everything)
    assert expand_backends([]) == ()
    with pytest.raises(UserError, match=r"unknown index 'annoy'; there are: .*fastscan"):
        expand_backends(["exact", "annoy"])


def test_the_page_names_them():
    page = Path(__file__).parents[2] / "docs" / "choosing.md"
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]
    assert {row.split("`")[1].partition(":")[0] for row in rows} == set(backend_names())


def test_an_index_of_another_package_is_measured(plug_in):
    assert plug_in in expand_backends([ALL])
    values = unit_rows(600, 32)
    found = measure_index("run@L", 64, values, values, plug_in, seed=0)
    assert found.backend == plug_in and found.images == 480
    assert 0.4 < found.recall < 0.6 and not found.met  # half of the codes can be found
    assert found.low < found.recall < found.high


def test_a_broken_package_is_named(plug_in, tmp_path):
    (tmp_path / "odd_index.py").write_text("raise RuntimeError('no licence')\n")
    with pytest.raises(UserError, match=r"'odd' \(odd_index, from odd\).*no licence"):
        expand_backends([ALL])
    assert expand_backends(["exact", "hnsw"]) == ("exact", "hnsw")


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
    scanned = [indexed("exact", 20.0), indexed("hnsw", 0.2), indexed("fastscan", 0.1)]
    assert choose_backend(scanned, "run@L").backend == "fastscan"
    assert choose_backend(slow, "another") is None
    assert np.isfinite(slow[0].bytes)
