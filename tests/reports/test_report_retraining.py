"""Before and after: the words follow from the figures, and the page shows both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neuralcodes.evaluation.score import Score
from neuralcodes.reports.page import render_page
from neuralcodes.reports.retraining import changes, comparable, summary
from neuralcodes.reports.unlabelled import render_unlabelled


def moved(retrieval, by, noise=0.02):
    """The same code with each query's average precision moved."""
    values = retrieval.average_precision.values
    drawn = np.random.default_rng(0).normal(by, noise, len(values))
    return replace(retrieval, average_precision=Score("average precision", values + drawn))


@pytest.fixture
def before(content):
    shifts = {"L5": 0.05, "L6": -0.05, "L7": 0.0}
    return {alias: moved(content.retrievals[alias], -by) for alias, by in shifts.items()}


def test_words_follow_from_the_paired_difference(content, before):
    found = changes(before, content.retrievals)
    verdicts = {change.alias: change.verdict for change in found}
    assert verdicts == {"L5": "better", "L6": "worse", "L7": "no clear change"}
    assert summary(found) == "Better: L5. Worse: L6. No clear change: L7."
    for change in found:
        assert change.difference.difference == pytest.approx(change.after[0] - change.before[0])


def test_only_the_same_queries_and_precision_compare(content):
    code = content.retrievals["L5"]
    assert comparable(code, code)
    assert not comparable(replace(code, spec=replace(code.spec, precision="bf16")), code)
    values = code.average_precision.values
    fewer = replace(code, average_precision=Score("average precision", values[1:]))
    assert not comparable(fewer, code)
    nothing = replace(code, average_precision=Score("average precision", values * np.nan))
    assert not comparable(nothing, nothing)


def test_the_page_has_the_section_only_where_a_start_was_judged(content, before):
    assert "Before and after" not in render_page("run", content)
    page = render_page("run", replace(content, before=before))
    section = page[page.index('<h2 id="before">') : page.index('<h2 id="classifier">')]
    assert "✓ better" in section
    assert "✗ worse" in section
    assert "+0.05" in section
    assert "−0.0" in section


def test_the_page_without_labels_says_that_it_is_an_estimate(content, before):
    page = render_unlabelled("run", replace(content, before=before, classification={}))
    assert "Before and after: an estimate" in page
    assert "✓ better" in page
    assert "://" not in page  # nothing is fetched
