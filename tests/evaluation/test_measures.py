"""Measures against scikit-learn, against a loop written from the definition, and by properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from made import unit_rows
from neuralcodes.evaluation import measures
from neuralcodes.evaluation import ranks as ranks_module
from neuralcodes.evaluation.measures import (
    average_precision,
    average_precision_at_r,
    hit_at,
    oxford_average_precision,
    precision_at,
    precision_recall_curve,
    r_precision,
    recall_at,
    revisited_precision_at,
    ukbench_score,
)
from neuralcodes.evaluation.ranks import RelevantRanks, ranks_in, relevant_ranks
from neuralcodes.evaluation.relevance import ClassRelevance, ListedRelevance
from neuralcodes.index.ranking import Ranking


def of(*rankings: list[bool]) -> RelevantRanks:
    """Ranks of relevant rows of rankings written as lists of relevance."""
    places = [np.flatnonzero(ranking) + 1 for ranking in rankings]
    return RelevantRanks(
        ranks=np.concatenate([*places, np.zeros(0, np.int64)]).astype(np.int64),
        starts=np.cumsum([0, *(len(p) for p in places)]),
        candidates=np.array([len(ranking) for ranking in rankings]),
    )


def loop_average_precision(ranking: list[bool]) -> float:
    hits, total = 0, 0.0
    for rank, relevant in enumerate(ranking, 1):
        if relevant:
            hits += 1
            total += hits / rank
    return total / hits if hits else float("nan")


rankings = st.lists(st.booleans(), min_size=1, max_size=60)


@given(st.lists(rankings, min_size=1, max_size=5))
def test_average_precision_equals_the_definition(several):
    expected = [loop_average_precision(ranking) for ranking in several]
    np.testing.assert_allclose(average_precision(of(*several)), expected, rtol=1e-12)


@given(rankings.filter(any))
def test_average_precision_equals_scikit_learn(ranking):
    peer = average_precision_score(ranking, -np.arange(len(ranking)))
    assert average_precision(of(ranking))[0] == pytest.approx(peer, abs=1e-12)


def test_mean_over_real_distances_equals_scikit_learn():
    codes, labels = unit_rows(400, 24), np.random.default_rng(3).integers(10, size=400)
    ours = average_precision(relevant_ranks(codes, codes, ClassRelevance.among(labels)))
    wide = codes.astype(np.float64)
    peers = []
    for query in range(len(codes)):
        others = np.arange(len(codes)) != query
        scores = -((wide[others] - wide[query]) ** 2).sum(axis=1)
        peers.append(average_precision_score(labels[others] == labels[query], scores))
    assert ours.mean() == pytest.approx(np.mean(peers), abs=1e-6)


@given(st.integers(1, 20), st.integers(0, 40))
def test_a_perfect_ranking_is_one_and_the_worst_is_known(relevant, others):
    assert average_precision(of([True] * relevant + [False] * others))[0] == pytest.approx(1)
    worst = average_precision(of([False] * others + [True] * relevant))[0]
    assert worst == pytest.approx(np.mean([j / (others + j) for j in range(1, relevant + 1)]))


@given(rankings.filter(any), st.data())
def test_moving_a_relevant_row_up_never_lowers_it(ranking, data):
    place = data.draw(st.sampled_from([i for i, r in enumerate(ranking) if r]))
    higher = data.draw(st.integers(0, place))
    moved = [*ranking[:place], *ranking[place + 1 :]]
    moved.insert(higher, True)
    assert average_precision(of(moved))[0] >= average_precision(of(ranking))[0] - 1e-12


@given(rankings, st.integers(1, 70))
def test_cut_offs_equal_the_definition(ranking, k):
    ranks, hits = of(ranking), sum(ranking[:k])
    if not any(ranking):
        assert np.isnan(
            [precision_at(ranks, k)[0], recall_at(ranks, k)[0], hit_at(ranks, k)[0]]
        ).all()
        return
    assert precision_at(ranks, k)[0] == pytest.approx(hits / k)
    assert recall_at(ranks, k)[0] == pytest.approx(hits / sum(ranking))
    assert hit_at(ranks, k)[0] == float(hits > 0)


@given(st.lists(rankings.filter(any), min_size=1, max_size=4))
def test_precision_recall_curve_equals_the_definition(several):
    expected = np.zeros(101)
    for ranking in several:
        hits = np.cumsum(ranking)
        precision, recall = hits / np.arange(1, len(ranking) + 1), hits / sum(ranking)
        expected += [precision[recall >= level - 1e-9].max() for level in np.linspace(0, 1, 101)]
    np.testing.assert_allclose(precision_recall_curve(of(*several)), expected / len(several))


def test_queries_without_relevant_rows_do_not_enter_the_curve():
    assert precision_recall_curve(of([True], [False])).tolist() == [1.0] * 101


def published_compute_ap(ranked: list[int], good: set[int], ignored: set[int]) -> float:
    """Oxford's program, step by step: walk the list, keep the last recall and precision."""
    old_recall, old_precision, area = 0.0, 1.0, 0.0
    hits, seen = 0, 0
    for item in ranked:
        if item in ignored:
            continue
        hits += item in good
        recall, precision = hits / len(good), hits / (seen + 1.0)
        area += (recall - old_recall) * ((old_precision + precision) / 2.0)
        old_recall, old_precision = recall, precision
        seen += 1
    return area


def published_revisited(
    ranked: list[int], good: list[int], ignored: list[int], kappas: list[int]
) -> tuple[float, list[float]]:
    """Revisited Oxford's evaluation of one query, step by step: places, junk, trapezoids, mP@k."""
    places = [place for place, item in enumerate(ranked) if item in set(good)]
    junk_places = [place for place, item in enumerate(ranked) if item in set(ignored)]
    places = [place - sum(j < place for j in junk_places) for place in places]
    step, area = 1.0 / len(set(good)), 0.0
    for number, place in enumerate(places):
        before = 1.0 if place == 0 else number / place
        area += (before + (number + 1) / (place + 1)) * step / 2.0
    ranks = [place + 1 for place in places]
    precisions = []
    for kappa in kappas:
        depth = min(max(ranks), kappa)
        precisions.append(sum(rank <= depth for rank in ranks) / depth)
    return area, precisions


@given(st.integers(1, 40), st.integers(0, 100_000))
def test_oxford_and_revisited_equal_the_published_evaluations(count, seed):
    generator = np.random.default_rng(seed)
    kinds = generator.integers(4, size=count)
    good, junk = np.flatnonzero(kinds == 0), np.flatnonzero(kinds == 1)
    order = generator.permutation(count)
    relevance = ListedRelevance.of([np.repeat(good, 2)], [junk], count)
    ranks = ranks_in(Ranking(order[None], np.zeros((1, count), np.float32)), relevance)
    values = [oxford_average_precision(ranks)[0]]
    values += [revisited_precision_at(ranks, k)[0] for k in (1, 5, 10)]
    if not len(good):
        assert np.isnan(values).all()
        return
    ranked = order.tolist()
    area, precisions = published_revisited(ranked, good.tolist(), junk.tolist(), [1, 5, 10])
    assert values == pytest.approx([area, *precisions], abs=1e-12)
    walked = published_compute_ap(ranked, set(good.tolist()), set(junk.tolist()))
    assert values[0] == pytest.approx(walked, abs=1e-12)


def test_oxford_average_precision_is_another_number():
    ranking = of([False, True, False, True])
    assert average_precision(ranking)[0] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert oxford_average_precision(ranking)[0] == pytest.approx(
        ((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2
    )


@given(st.integers(2, 12), st.integers(2, 4), st.integers(1, 20), st.integers(0, 100_000))
def test_oxford_average_precision_of_codes_with_ties_junk_and_empty_sets(
    queries, distinct, database, seed
):
    """From codes with many equal ones to the published evaluation of the loop's own order."""
    generator = np.random.default_rng(seed)
    kinds = unit_rows(distinct, 3, seed)
    base = kinds[generator.integers(distinct, size=database)]
    asked = unit_rows(queries, 3, seed + 1)
    roles = generator.integers(3, size=(queries, database))
    relevant = [np.flatnonzero(role == 0) for role in roles]
    junk = [np.flatnonzero(role == 1) for role in roles]
    ranks = relevant_ranks(asked, base, ListedRelevance.of(relevant, junk, database))
    values = oxford_average_precision(ranks)
    for query in range(queries):
        distances = ((base.astype(np.float64) - asked[query]) ** 2).sum(axis=1).round(10)
        order = np.lexsort((np.arange(database), distances)).tolist()
        if len(relevant[query]):
            expected = published_compute_ap(
                order, set(relevant[query].tolist()), set(junk[query].tolist())
            )
            assert values[query] == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(values[query])


@given(st.lists(rankings, min_size=1, max_size=5))
def test_r_precision_and_map_at_r_equal_the_definition(several):
    ranks = of(*several)
    for query, ranking in enumerate(several):
        r = sum(ranking)
        if not r:
            assert np.isnan([r_precision(ranks)[query], average_precision_at_r(ranks)[query]]).all()
            continue
        first = ranking[:r]
        precisions = [sum(first[: i + 1]) / (i + 1) for i in range(r) if first[i]]
        assert r_precision(ranks)[query] == pytest.approx(sum(first) / r)
        assert average_precision_at_r(ranks)[query] == pytest.approx(sum(precisions) / r)


def test_ukbench_score_counts_the_first_four():
    ranks = of([True, False, True, True, True], [True] * 4 + [False], [False] * 4 + [True] * 4)
    assert ukbench_score(ranks).tolist() == [3, 4, 0]


EACH = {
    "average": average_precision,
    "oxford": oxford_average_precision,
    "r": r_precision,
    "at r": average_precision_at_r,
    "precision": lambda ranks: precision_at(ranks, 3),
    "recall": lambda ranks: recall_at(ranks, 3),
    "hit": lambda ranks: hit_at(ranks, 3),
    "revisited": lambda ranks: revisited_precision_at(ranks, 3),
}


@pytest.mark.parametrize("name", EACH)
@given(data=st.data())
def test_bounds_and_moving_up(name, data):
    """Perfect is 1 (where it can be), all are in 0 … 1, and moving a relevant row up is no loss."""
    ranking = data.draw(rankings.filter(any))
    value = EACH[name](of(ranking))[0]
    assert 0 <= value <= 1 + 1e-12
    if name not in ("precision", "recall"):
        assert EACH[name](of(sorted(ranking, reverse=True)))[0] == pytest.approx(1)
    place = data.draw(st.sampled_from([i for i, r in enumerate(ranking) if r]))
    moved = [*ranking[:place], *ranking[place + 1 :]]
    moved.insert(data.draw(st.integers(0, place)), True)
    if name != "revisited":  # its depth may shrink with the last relevant row's rank
        assert EACH[name](of(moved))[0] >= value - 1e-12


@pytest.mark.parametrize("name", EACH)
@given(data=st.data())
def test_junk_never_matters(name, data):
    """Put junk anywhere, or take it out of the database: every measure stays as it is."""
    kinds = data.draw(st.lists(st.sampled_from("rwj"), min_size=1, max_size=30))
    with_junk = Ranking(np.arange(len(kinds))[None], np.zeros((1, len(kinds)), np.float32))
    relevant = [i for i, kind in enumerate(kinds) if kind == "r"]
    junk = [i for i, kind in enumerate(kinds) if kind == "j"]
    ranks = ranks_in(with_junk, ListedRelevance.of([relevant], [junk], len(kinds)))
    without = of([kind == "r" for kind in kinds if kind != "j"])
    np.testing.assert_array_equal(EACH[name](ranks), EACH[name](without))


def test_parts_do_not_change_a_measure(monkeypatch):
    generator = np.random.default_rng(0)
    several = [list(generator.random(40) < share) for share in generator.random(30)] + [[False]]
    ranks = of(*several)
    whole = {name: measure(ranks) for name, measure in EACH.items()}
    curve = precision_recall_curve(ranks)
    monkeypatch.setattr(ranks_module, "PART", 50)
    assert len(list(ranks.parts())) > 5
    for name, measure in EACH.items():
        np.testing.assert_allclose(measure(ranks), whole[name], rtol=1e-14)
    np.testing.assert_allclose(precision_recall_curve(ranks), curve, rtol=1e-12)


def test_names_of_measures_differ_and_scores_carry_them():
    known = [
        measures.AVERAGE_PRECISION,
        measures.OXFORD_AVERAGE_PRECISION,
        measures.R_PRECISION,
        measures.AVERAGE_PRECISION_AT_R,
        measures.UKBENCH_SCORE,
        *(make(1) for make in (measures.precision, measures.recall, measures.hit)),
        measures.revisited_precision(1),
    ]
    assert len({measure.name.lower() for measure in known}) == len(known)
    score = measures.precision(2).score(of([True, False], [False, False]))
    assert score.measure == "precision@2"
    assert score.values[0] == 0.5 and np.isnan(score.values[1])
