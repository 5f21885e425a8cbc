"""The rule, the front and the tests, on average precisions made for them."""

import numpy as np
import pytest
from choosing_codes import scored
from hypothesis import given
from hypothesis import strategies as st

from neuralcodes.choosing.decide import best_by_layer, decide, pareto_front, recommend
from neuralcodes.common.errors import UserError

NOISE = np.random.default_rng(0).normal(0, 0.02, size=400)
BASE = np.random.default_rng(1).uniform(0.3, 0.7, size=400)


def code(name, size, gain):
    """Average precisions `gain` above the base."""
    return scored(name, size, BASE + gain + NOISE)


def decided(codes):
    """All of them take as long to search."""
    return decide(codes, {one.code: 1.0 for one in codes})


def test_without_a_budget_a_real_loss_is_not_taken_for_bytes():
    best, close, far = code("best", 64, 0.1), code("close", 16, 0.095), code("far", 4, 0.05)
    found = decided([best, close, far])
    assert found.chosen is close  # 0.005 below: negligible
    assert found.best is best
    assert found.against_best.difference == pytest.approx(-0.005)
    assert found.against_best.real  # real, and too small to matter
    assert found.smaller is far
    assert found.against_smaller.real
    assert found.against_smaller.difference == pytest.approx(0.045)
    assert found.rivals == ()
    assert found.decided


def test_a_loss_that_is_not_shown_is_taken():
    best = code("best", 64, 0.1)
    apart = np.tile([0.5, -0.5], 200) - 0.02  # half of the queries gain much, half lose a bit more
    noisy = scored("noisy", 4, best.score("choose").values + apart)
    mean = best.score("choose").mean - noisy.score("choose").mean
    assert mean > 0.01
    found = decided([best, noisy])
    assert found.chosen is noisy
    assert not found.against_best.real
    assert not found.decided
    assert found.smaller is None


def test_within_a_budget_the_best_is_taken():
    codes = [code("best", 64, 0.1), code("close", 16, 0.095), code("same", 8, 0.095),
             code("far", 4, 0.05)]  # fmt: skip
    assert recommend(codes, 63).candidate.base.layer == "same"  # as good as close, and smaller
    assert recommend(codes, 64).candidate.base.layer == "best"
    assert recommend(codes, 5).candidate.base.layer == "far"
    with pytest.raises(UserError, match=r"--budget 3: the smallest.*run@far.* 4 bytes"):
        recommend(codes, 3)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(points):
    codes = [scored(f"c{n}", size, [[q / 10, q / 10]]) for n, (size, q) in enumerate(points)]
    front = pareto_front(codes, lambda one: float(one.bytes))
    found = [(one.bytes, round(one.score("choose").mean * 10)) for one in front]
    wanted = {
        (size, q)
        for size, q in points
        if not any(s <= size and p >= q and (s, p) != (size, q) for s, p in points)
    }
    assert set(found) == wanted
    assert found == sorted(found)
    assert len(found) == len(wanted)


def test_a_choice_is_judged_on_what_did_not_choose():
    """Two codes: each looks better on the classes that choose in one turn, and is not elsewhere."""
    nan = np.full(50, np.nan)
    high, low = np.full(50, 0.9), np.full(50, 0.5)

    def turns(parts):
        rows = [np.concatenate([p if n == t else nan for n in range(3)])
                for t, p in enumerate(parts)]  # fmt: skip
        return np.stack(rows)

    one = scored("one", 8, turns([high, low, low]), turns([low, low, low]))
    other = scored("other", 8, turns([low, high, high]), turns([low, low, low]))
    found = decided([one, other])
    assert found.chosen is other
    assert found.judged.codes == ("run@one", "run@other", "run@other")
    assert found.judged.chosen_on.mean == pytest.approx(0.9)
    assert found.judged.judged_on.mean == pytest.approx(0.5)
    # all codes together have 0.7 where they chose and 0.5 where they are judged
    assert found.judged.optimism == pytest.approx(0.2)


def test_hard_classes_are_no_optimism():
    easy, hard = np.full(100, 0.8), np.full(100, 0.3)
    codes = [scored("a", 8, easy + 0.1, hard + 0.1), scored("b", 4, easy - 0.1, hard - 0.1)]
    judged = decided(codes).judged
    assert judged.chosen_on.mean - judged.judged_on.mean == pytest.approx(0.5)
    assert judged.optimism == pytest.approx(0)


def test_layers_stand_by_their_best_codes():
    codes = [code("L6", 64, 0.05), code("L7", 64, 0.1), code("L6", 16, 0.06)]
    assert [one.code for one in best_by_layer(codes)] == ["run@L7", "run@L6"]
    assert best_by_layer(codes)[1].bytes == 16
