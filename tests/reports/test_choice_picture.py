"""Names in the picture and the table of a choice."""

from neuralcodes.choosing.outcome import Point
from neuralcodes.reports.choice_plot import kind_name, kind_names, layer_names, short_code


def point(layer, transforms="", quality=0.5, network="run", pooling="flatten"):
    return Point(
        f"{network}@{layer}/{transforms}", network, layer, pooling, transforms,
        8, 32, 1.0, quality, quality, quality, quality, False, False,
    )  # fmt: skip


def test_kinds_are_chains_without_their_numbers():
    assert kind_name(point("L6")) == "as it is"
    assert kind_name(point("L6", "pca128/pq16")) == "pca/pq"
    assert kind_name(point("L6", "pca128/int8")) == "pca/int8"
    points = [point("L6", "pca8/int8"), point("L6", "whiten8"), point("L6")]
    assert kind_names(points) == ["as it is", "whiten", "pca/int8"]


def test_the_best_of_many_layers_have_colours():
    points = [point(f"L{n}", quality=n / 10) for n in range(9)]
    assert layer_names(points, 6) == ["L4", "L5", "L6", "L7", "L8"]
    assert layer_names(points[:6], 6) == [f"L{n}" for n in range(6)]


def test_codes_are_short_where_there_is_one_network():
    one = point("L6", "pca8", pooling="gem")
    assert short_code(one, [one]) == "L6/gem/pca8"
    assert short_code(one, [one, point("L6", network="other")]) == "run@L6/gem/pca8"
