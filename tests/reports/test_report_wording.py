from __future__ import annotations

import math

import pytest

from neuralcodes.images.imageset import ClassName
from neuralcodes.reports.wording import (
    duration,
    flat_config,
    fraction,
    listed,
    percent,
    percent_span,
    plural,
    points,
    short_title,
    signed,
    span,
)


def test_numbers() -> None:
    assert fraction(0.34567) == "0.346"
    assert fraction(-0.5, 1) == "−0.5"
    assert percent(0.33123) == "33.1%"
    assert percent_span((0.322, 0.341)) == "32.2 to 34.1%"
    assert points(-0.012) == "−1.2 points"
    assert span((-0.01, 0.02)) == "−0.010 to 0.020"
    assert signed(0.0241) == "+0.024"
    assert signed(-0.0241) == "−0.024"


@pytest.mark.parametrize("write", [fraction, percent, points, signed])
def test_what_is_not_known_is_a_dash(write: object) -> None:
    assert write(math.nan) == "–"  # type: ignore[operator]
    assert span((math.nan, math.nan)) == percent_span((math.nan, math.nan)) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.56, "4.6 s"), (60, "1 min"), (3599, "1 h 0 min"), (5460, "1 h 31 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_short_title() -> None:
    dog = ClassName("n02106662", "German shepherd, German shepherd dog, alsatian")
    assert short_title(dog) == "German shepherd"
    assert short_title(dog, 8) == "German…"
    assert len(short_title(ClassName("x", "a" * 50), 15)) == 15
    assert short_title(ClassName("folder", "")) == "folder"


def test_lists_and_plurals() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"], "or") == "a, b or c"
    assert plural(1, "class") == "1 class"
    assert plural(2, "class") == "2 classes"
    assert plural(1200, "image") == "1,200 images"


def test_flat_config() -> None:
    groups = flat_config(
        {
            "train_classes": 190,
            "commit": None,
            "recipe": {"amsgrad": True, "epsilon": 1e-7, "deep": {"a_b": [1, 2]}, "seed": 123456},
            "machine": {"memory_bytes": 3 * 2**30, "images": 76000},
            "empty": {},
        }
    )
    assert groups == [
        ("run", [("train classes", "190"), ("commit", "–")]),
        (
            "recipe",
            [("amsgrad", "yes"), ("epsilon", "1e-07"), ("deep · a b", "1, 2"), ("seed", "123456")],
        ),
        ("machine", [("memory", "3.0 GiB"), ("images", "76,000")]),
        ("empty", []),
    ]
