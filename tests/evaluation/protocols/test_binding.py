"""From names to rows, and what is done where they do not fit."""

import numpy as np
import pytest

import protocol_layouts as layouts
from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.measures import AVERAGE_PRECISION
from neuralcodes.evaluation.protocols.binding import bind
from neuralcodes.evaluation.protocols.groundtruth import Classes, GroundTruth, Lists, Query
from neuralcodes.evaluation.protocols.names import Names
from neuralcodes.evaluation.protocols.registry import get_protocol


def lists(rows) -> list[list[int]]:
    return [rows.rows[rows.starts[i] : rows.starts[i + 1]].tolist() for i in range(len(rows))]


def judged(relevance) -> tuple[list[list[int]], list[list[int]]]:
    block = slice(0, relevance.queries)
    return lists(relevance.relevant(block)), lists(relevance.junk(block))


def test_names_are_found_with_and_without_folders_and_endings():
    names = Names(("x/a.jpg", "y/a.jpg", "y/b.PNG", "c.v1.jpg"), "p")
    assert [names.find(n) for n in ("x/a.jpg", "x/a", "y/a.png", "b", "c.v1", "c", "z/b")] == [
        0, 0, 1, 2, 3, -1, -1,
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"p: a fits x/a.jpg and y/a.jpg"):
        names.find("a")
    with pytest.raises(UserError, match=r"2 of 3 things have no code \(d, e\)"):
        names.find_all(["b", "d", "e"], "things")
    with pytest.raises(UserError, match="two images are named a"):
        Names(("a", "a"), "p")


def test_oxford_counts_the_query_itself_and_misses_junk_silently(tmp_path):
    truth = get_protocol("oxford5k").open(layouts.oxford(tmp_path), layouts.OXFORD_KEYS)
    bound = bind(truth, layouts.OXFORD_KEYS, distractors=3)
    assert bound.queries.tolist() == [1, 5]
    assert bound.exclude.tolist() == [-1, -1]
    assert bound.relevance[""].database == 11
    assert judged(bound.relevance[""]) == ([[1, 2, 3], [5]], [[4], [6]])
    with pytest.raises(UserError, match=r"oxford5k: 1 of 4 relevant images have no code"):
        bind(truth, [key for key in layouts.OXFORD_KEYS if "3" not in key])


def test_queries_with_codes_of_their_own(tmp_path):
    truth = get_protocol("oxford5k").open(layouts.oxford(tmp_path), layouts.OXFORD_KEYS)
    bound = bind(truth, layouts.OXFORD_KEYS, ("all_souls_2.png", "all_souls_1.png"))
    assert bound.queries.tolist() == [1, 0]
    by_image = ("q/all_souls_000005.png", "q/all_souls_000001.png")
    assert bind(truth, layouts.OXFORD_KEYS, by_image).queries.tolist() == [1, 0]
    with pytest.raises(UserError, match=r"query codes: 1 of 2 queries have no code"):
        bind(truth, layouts.OXFORD_KEYS, by_image[:1])


def test_revisited_searches_its_list_only(tmp_path):
    truth = get_protocol("roxford5k").open(layouts.revisited(tmp_path), ())
    images = [f"jpg/{name}.jpg" for name in reversed(layouts.REVISITED["imlist"])]
    keys = [*images, "jpg/query_000001.jpg", "jpg/more.jpg", "jpg/query_000000.jpg"]
    bound = bind(truth, keys)
    assert bound.database.tolist() == [5, 4, 3, 2, 1, 0]
    assert bound.queries.tolist() == [8, 6] and bound.exclude.tolist() == [-1, -1]
    assert judged(bound.relevance["easy"]) == ([[0, 1], []], [[3, 5], [0, 1, 2]])
    assert judged(bound.relevance["hard"]) == ([[3], [2]], [[0, 1, 5], [0, 1]])
    with pytest.raises(UserError, match="database images have no code"):
        bind(truth, keys[1:])
    with pytest.raises(UserError, match="queries have no code"):
        bind(truth, images)


def test_holidays_ignores_the_query():
    keys = ("100000.jpg", "100001.jpg", "100100.jpg")
    bound = bind(get_protocol("holidays").open(None, keys), keys)
    assert judged(bound.relevance[""]) == ([[1], []], [[0], [2]])
    assert bound.exclude.tolist() == [0, 2]


def test_ukbench_counts_the_query():
    keys = ("other", *(f"ukbench{n:05}.jpg" for n in range(8)))
    bound = bind(get_protocol("ukb").open(None, keys), keys, distractors=2)
    relevant, junk = judged(bound.relevance[""])
    assert relevant == [[1, 2, 3, 4]] * 4 + [[5, 6, 7, 8]] * 4
    assert junk == [[]] * 8 and bound.relevance[""].database == 11


def test_inshop_queries_are_not_in_the_gallery(tmp_path):
    truth = get_protocol("in-shop").open(layouts.inshop(tmp_path), ())
    keys = [*(query.image for query in truth.queries), *truth.database, "img/train.jpg"]
    bound = bind(truth, keys)
    assert bound.queries.tolist() == [0, 1] and bound.database.tolist() == [2, 3]
    assert judged(bound.relevance[""]) == ([[0], []], [[], []])


def test_classes_leave_the_query_out():
    keys = ("a/1.jpg", "b/2.jpg", "a/3.jpg")
    bound = bind(get_protocol("class-retrieval").open(None, keys), keys, distractors=1)
    assert judged(bound.relevance[""]) == ([[2], [], [0]], [[0], [1], [2]])


def own(relevant, junk=(), database=None, **how) -> GroundTruth:
    return GroundTruth(
        "own", (Query("q.jpg", "q.jpg"),), database, {"": Lists((relevant,), (junk,))},
        how.get("counts", False), (AVERAGE_PRECISION,),
    )  # fmt: skip


def test_the_own_image_is_junk_unless_it_is_listed_or_counts():
    keys = ("q.jpg", "r.jpg")
    assert judged(bind(own(("r",)), keys).relevance[""]) == ([[1]], [[0]])
    listed = bind(own(("r", "q")), keys)
    assert judged(listed.relevance[""]) == ([[0, 1]], [[]]) and listed.exclude.tolist() == [-1]
    assert judged(bind(own(("r",), counts=True), keys).relevance[""]) == ([[1]], [[]])
    twice = bind(own(("r",), ("q",)), keys)
    assert judged(twice.relevance[""]) == ([[1]], [[0]])


def test_relevant_images_outside_the_listed_database():
    with pytest.raises(UserError, match="a relevant image is not in the listed database"):
        bind(own(("r",), database=("s",)), ("q.jpg", "r.jpg", "s.jpg"))


def test_one_image_under_two_names_cannot_be_relevant_and_junk():
    with pytest.raises(UserError, match="row 1 is both relevant and junk to query 0"):
        bind(own(("r",), ("r.jpg",)), ("q.jpg", "r.jpg"))


def test_classes_of_a_listed_database_stand_in_its_order():
    truth = GroundTruth(
        "p", (Query("c", "c"),), ("b", "a"), {"": Classes(("x",), {"a": "x", "b": "y"})}, False,
        (AVERAGE_PRECISION,),
    )  # fmt: skip
    bound = bind(truth, ("a", "b", "c"))
    assert bound.database.tolist() == [1, 0]
    assert judged(bound.relevance[""]) == ([[1]], [[]])
    assert np.array_equal(bound.queries, [2])
