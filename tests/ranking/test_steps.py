"""Short forms of steps and their costs."""

import numpy as np
import pytest
from test_expansion import clustered

from neuralcodes.common.errors import UserError
from neuralcodes.ranking.diffusion import Diffusion
from neuralcodes.ranking.expansion import (
    AlphaQueryExpansion,
    AverageQueryExpansion,
    DatabaseAugmentation,
)
from neuralcodes.ranking.kreciprocal import KReciprocal
from neuralcodes.ranking.search import Search
from neuralcodes.ranking.steps import parse_steps, run_steps, short_form, step_names


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("aqe", [AverageQueryExpansion(10)]),
        ("dba10+aqe5", [DatabaseAugmentation(10), AverageQueryExpansion(5)]),
        ("alphaqe50:alpha=2.5", [AlphaQueryExpansion(50, 2.5)]),
        ("kreciprocal20:k2=3,weight=0.5", [KReciprocal(20, 3, 0.5)]),
        ("diffusion:kq=4,tolerance=1e-8", [Diffusion(kq=4, tolerance=1e-8)]),
    ],
)
def test_short_forms(text, steps):
    assert list(parse_steps(text).values()) == steps


@pytest.mark.parametrize("name", step_names())
def test_the_full_short_form_is_read_back(name):
    (step,) = parse_steps(f"{name}7").values()
    (again,) = parse_steps(short_form(step)).values()
    assert again == step


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown step; there are: alphaqe, aqe, dba, diffusion, kreciprocal"),
        ("wonder5", "unknown step"),
        ("aqe5+", "unknown step"),
        ("aqe0", "n must be at least 1"),
        ("kreciprocal20:k3=1", "kreciprocal has k1, k2, weight, not 'k3'"),
        ("kreciprocal20:k2=x", "'x'"),
        ("kreciprocal3:k2=5", "k2 must be from 1"),
        ("diffusion:alpha=1", "alpha must be"),
        ("dba5+aqe5+dba5", "dba5 is given twice"),
    ],
)
def test_wrong_short_forms_are_one_line(text, message):
    with pytest.raises(UserError, match=message) as caught:
        parse_steps(text)
    assert "\n" not in str(caught.value)


def test_each_step_has_its_cost():
    base = clustered(40)
    steps = list(parse_steps("dba3+aqe2+kreciprocal5:k2=2").values())
    search, costs = run_steps(Search.start(base[:4], base, 40, np.arange(4)), steps)
    assert [cost.step for cost in costs] == [
        "dba3:alpha=0",
        "aqe2",
        "kreciprocal5:k2=2,weight=0.3",
    ]
    assert all(cost.seconds > 0 and cost.offline_seconds >= 0 for cost in costs)
    assert costs[0].bytes == base.nbytes and costs[1].bytes == 0 and costs[2].bytes > 0
    assert search.ranking.rows.shape == (4, 40)


def test_steps_say_what_they_read():
    steps = parse_steps("dba3+aqe2+alphaqe7+kreciprocal5:k2=2+diffusion:kq=4")
    assert [step.reads for step in steps.values()] == [0, 2, 7, 0, 4]
    assert [step.reorders for step in steps.values()] == [False, False, False, True, True]
