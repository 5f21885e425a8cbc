"""A search is timed over what a collection would keep; what is left out is summed up."""

import pytest

from neuralcodes.choosing import timing
from neuralcodes.choosing.leftout import LeftOut, told
from neuralcodes.choosing.timing import search_milliseconds, stored_by
from neuralcodes.codes.transforms.rows import StoredRows
from neuralcodes.common.errors import UserError
from neuralcodes.index.scan import ScanIndex


@pytest.mark.parametrize(
    ("chain", "quantiser", "size"),
    [((), "", 128), (("pca32",), "", 128), (("pca32", "int8"), "int8", 32),
     (("half",), "half", 64), (("pca32", "pq8"), "pq8", 8), (("binary",), "binary", 4)],
)  # fmt: skip
def test_each_way_of_storing_is_searched_as_it_lies(monkeypatch, chain, quantiser, size):
    assert stored_by(chain) == quantiser
    added = []
    add = ScanIndex.add
    monkeypatch.setattr(
        ScanIndex, "add", lambda self, codes, ids: (added.append(codes), add(self, codes, ids))[1]
    )
    assert search_milliseconds(32, 500, quantiser) > 0
    (codes,) = added
    assert isinstance(codes, StoredRows) is bool(quantiser)
    stored = codes.stored if quantiser else codes
    assert stored.nbytes == 500 * size


def test_tables_of_many_codes_take_another_time_than_floats(monkeypatch):
    """Too many to be decoded for good: 8 bytes a code are looked up, not 2 KiB multiplied."""
    monkeypatch.setattr(timing, "TIMED", 5)
    images = 40_000  # 82 MB of float32 codes
    floats, bytes_ = (search_milliseconds(512, images, name) for name in ("", "pq8"))
    assert bytes_ < floats


def test_a_quantiser_that_does_not_fit():
    with pytest.raises(UserError, match="equal parts"):
        search_milliseconds(10, 300, "pq4")


def test_many_left_out_are_one_line():
    few = [LeftOut("a: too long; left out", "of more than 20,000 values")]
    assert told(few) == ["a: too long; left out"]
    assert told([]) == []
    same = [LeftOut(f"{n}: as another; left out", "equal another's to the bit") for n in range(3)]
    sizes = LeftOut("b has 8 dimensions; left out: pca16, pca32", "longer", 2)
    assert told([*few, *same, sizes]) == [
        "6 codes left out: 3 equal another's to the bit, 2 longer, 1 of more than 20,000 values "
        "(each is named in choice.json)"
    ]
