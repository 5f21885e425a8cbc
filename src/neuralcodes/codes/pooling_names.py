"""The poolings by name, without torch: a `CodeSpec` is read where no code is made."""

from __future__ import annotations

import re

POOLINGS = ("flatten", "cls", "mac", "spoc", "gem", "gemP", "crow", "rmac")

_GEM = re.compile(r"gem([1-9]\d*(?:\.\d+)?)?")


def pooling_name(text: str) -> str | None:
    """A pooling's canonical name (`gem3` and `gem3.0` are `gem`); None if it is none.

    >>> pooling_name("gem2.50"), pooling_name("pca8")
    ('gem2.5', None)
    """
    gem = _GEM.fullmatch(text)
    if gem:
        power = float(gem[1] or 3)
        return "gem" if power == 3 else f"gem{power:g}"
    return text if text in POOLINGS and text != "gemP" else None
