"""Templates of transforms become chains."""

import pytest

from neuralcodes.choosing.grid import Base, Candidate, canonical_poolings, expand
from neuralcodes.common.errors import UserError


def test_a_name_without_its_number_stands_for_all_sizes_largest_first():
    chains = expand(["none", "pca", "pca/int8", "half"], [8, 32], [4])
    assert chains == [
        (), ("pca32",), ("pca8",), ("pca32", "int8"), ("pca8", "int8"), ("half",),
    ]  # fmt: skip


def test_a_product_quantiser_divides_what_is_before_it():
    assert expand(["pca/pq"], [24, 32], [8, 16]) == [("pca32", "pq16"), ("pca32", "pq8"),
                                                     ("pca24", "pq8")]  # fmt: skip
    with pytest.raises(UserError, match=r"pca16/pq.*divide"):
        expand(["pca16/pq"], [8], [5, 32])


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match="unknown transform"):
        expand(["pcb"], [8], [8])
    with pytest.raises(UserError, match="int8 must be the last"):
        expand(["int8/pca"], [8], [8])
    with pytest.raises(UserError, match="--poolings sum"):
        canonical_poolings(["sum"])


def test_names_are_those_of_codes():
    assert canonical_poolings(["gem3", "gem", "mac"]) == ["gem", "mac"]
    code = Candidate(Base("runs/r1", "relu5", "gem"), ("pca8", "int8")).code
    assert code == "runs/r1@relu5/gem/pca8/int8"
