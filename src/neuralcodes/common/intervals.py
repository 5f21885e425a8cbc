"""Wilson's interval of a share, for whoever counts hits among cases."""

from __future__ import annotations

import math

Z95 = 1.959963984540054  # of the normal distribution, two-sided 95 %


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """95 % interval of a share of `count` independent cases (Wilson 1927).

    Args:
        share: observed, 0 to 1.
        count: cases, above 0; not whole where cases that depend on each other count as fewer.
    """
    middle = share + Z95**2 / (2 * count)
    half = Z95 * math.sqrt(share * (1 - share) / count + (Z95 / (2 * count)) ** 2)
    scale = 1 + Z95**2 / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
