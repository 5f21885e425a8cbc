"""Contestants in turn, and what is counted."""

import itertools

import pytest

from neuralcodes.common.racing import Ratio, Seconds, race, take_turns


def test_turns_go_round_and_the_first_is_not_counted():
    order = []
    seconds = take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 4
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_the_clock_and_contestants_that_time_themselves():
    ticks = itertools.count(step=2.0)
    slower = itertools.cycle([99.0, 3.0, 5.0, 4.0])
    own, ratios = race(
        lambda: None, {"peer": lambda: Seconds(next(slower))}, 3, clock=lambda: next(ticks)
    )
    assert own == 2.0
    assert ratios["peer"] == Ratio(2.0, 1.5, 2.5)


def test_ratios_are_taken_round_by_round():
    # the machine halves its speed in the second round: the ratio does not see it
    assert Ratio.of([1.0, 2.0], [3.0, 6.0]) == Ratio(3.0, 3.0, 3.0)
    with pytest.raises(ValueError, match="zip"):
        Ratio.of([1.0, 2.0], [3.0])
