"""Percentiles by the nearest rank: always one of the values that were measured."""

import math
from collections.abc import Iterable


def percentile(values: Iterable[float], fraction: float) -> float | None:
    """The smallest value that at least `fraction` of the values do not exceed; None if there are none.

    Args:
        values: in any order.
        fraction: above 0, at most 1: 0.5 is the median.
    """
    ordered = sorted(values)
    return ordered[math.ceil(fraction * len(ordered)) - 1] if ordered else None
