"""Numbers and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neuralcodes.images.imageset import ClassName

SPLIT_NAMES = {"train": "Train", "val": "Validation", "test": "Test", "ood": "Searched"}
NONE = "–"


def fraction(value: float, digits: int = 3) -> str:
    """0.3456 → "0.346"; NaN → "–"."""
    return NONE if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")


def percent(value: float, digits: int = 1) -> str:
    """0.3312 → "33.1%"; NaN → "–"."""
    return NONE if math.isnan(value) else f"{100 * value:.{digits}f}%"


def points(value: float) -> str:
    """A difference of shares: 0.123 → "12.3 points"."""
    return NONE if math.isnan(value) else f"{fraction(100 * value, 1)} points"


def span(interval: tuple[float, float], digits: int = 3) -> str:
    """(0.3411, 0.3509) → "0.341 to 0.351"; without numbers "–"."""
    low, high = interval
    return NONE if math.isnan(low) else f"{fraction(low, digits)} to {fraction(high, digits)}"


def percent_span(interval: tuple[float, float]) -> str:
    """(0.322, 0.341) → "32.2 to 34.1%"."""
    low, high = interval
    return NONE if math.isnan(low) else f"{100 * low:.1f} to {percent(high)}"


def signed(value: float) -> str:
    """0.0241 → "+0.024", with a true minus sign."""
    return NONE if math.isnan(value) else f"{value:+.3f}".replace("-", "−")


def short_title(name: ClassName, width: int = 18) -> str:
    """The first of a class's names ("German shepherd, alsatian"), cut to `width` characters."""
    first = name.title.split(",")[0].strip() or name.folder
    return first if len(first) <= width else first[: width - 1].rstrip() + "…"


def duration(seconds: float) -> str:
    """4000 → "1 h 7 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def listed(parts: Sequence[str], last: str = "and") -> str:
    """["a", "b", "c"] → "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def plural(count: int, thing: str) -> str:
    """(1, "epoch") → "1 epoch", (1200, "image") → "1,200 images", (2, "class") → "2 classes"."""
    ending = "" if count == 1 else "es" if thing.endswith("s") else "s"
    return f"{count:,} {thing}{ending}"


def flat_config(config: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """A configuration as groups of (name, value): nested mappings are groups of their own.

    Values that stand alone come first, in a group named "run".
    """
    alone: list[tuple[str, str]] = []
    groups: list[tuple[str, list[tuple[str, str]]]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            groups.append((_words(key), list(_leaves(value))))
        else:
            alone.append((_words(key), _value(key, value)))
    return [("run", alone), *groups] if alone else groups


def _leaves(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        name = prefix + _words(key)
        if isinstance(value, Mapping) and value:
            rows += _leaves(value, name + " · ")
        else:
            rows.append((name, _value(key, value)))
    return rows


def _words(key: object) -> str:
    return str(key).removesuffix("_bytes").replace("_", " ")


def _value(key: object, value: Any) -> str:
    if value is None or value == {} or value == []:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        if str(key).endswith("bytes"):
            return f"{value / 2**30:.1f} GiB"
        return f"{value:,}" if abs(value) >= 1000 and "seed" not in str(key) else str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_value(key, part) for part in value)
    return str(value)
