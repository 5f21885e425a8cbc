"""Codes in files."""

import json

import numpy as np
import pytest
from test_spec import SPEC

from made import unit_rows
from neuralcodes.codes.store import Codes, load_codes, new_codes, save_codes
from neuralcodes.common.errors import UserError

KEYS = tuple(f"{n}.png" for n in range(5))


@pytest.fixture
def codes():
    values = unit_rows(5, SPEC.dims)
    return Codes(SPEC, values, KEYS, "fingerprint")


def test_round_trip_is_memory_mapped(tmp_path, codes):
    save_codes(tmp_path / "deep" / "L6", codes)
    for name in ("L6", "L6.npy", "L6.json"):
        back = load_codes(tmp_path / "deep" / name)
        assert isinstance(back.values, np.memmap)
        assert np.array_equal(back.values, codes.values)
        assert (back.spec, back.keys, back.images) == (SPEC, KEYS, "fingerprint")


def test_others_can_read_the_array(tmp_path, codes):
    save_codes(tmp_path / "L6", codes)
    assert np.array_equal(np.load(tmp_path / "L6.npy"), codes.values)
    assert json.loads((tmp_path / "L6.json").read_text())["count"] == 5


def test_an_unfinished_array_leaves_the_older_codes(tmp_path, codes):
    save_codes(tmp_path / "L6", codes)

    class KilledError(Exception):
        pass

    with pytest.raises(KilledError), new_codes(tmp_path / "L6", SPEC, KEYS, "other") as values:
        values[0] = 0
        raise KilledError
    assert load_codes(tmp_path / "L6").images == "fingerprint"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["L6.json", "L6.npy"]


def test_files_that_do_not_belong_together(tmp_path, codes):
    save_codes(tmp_path / "L6", codes)
    np.save(tmp_path / "L6.npy", np.zeros((3, 4), np.float32))
    with pytest.raises(UserError, match="extract them again"):
        load_codes(tmp_path / "L6")
    (tmp_path / "L6.npy").write_bytes(b"\x93NUMPY damaged")
    with pytest.raises(UserError, match="cannot be read"):
        load_codes(tmp_path / "L6")
    (tmp_path / "L6.json").unlink()
    with pytest.raises(UserError, match="no such file"):
        load_codes(tmp_path / "L6")


def test_no_pickle_is_loaded(tmp_path, codes):
    save_codes(tmp_path / "L6", codes)
    np.save(tmp_path / "L6.npy", np.array([object()], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read"):
        load_codes(tmp_path / "L6")
