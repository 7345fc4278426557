"""Percentiles by the nearest rank."""

from hypothesis import given
from hypothesis import strategies as st

from streams.percentiles import percentile


def test_nearest_rank() -> None:
    """The textbook's example, a single value, and none."""
    assert [percentile([15, 20, 35, 40, 50], p) for p in (0.05, 0.3, 0.4, 0.5, 1.0)] == [15, 20, 20, 35, 50]
    assert percentile([7], 0.99) == 7
    assert percentile([], 0.5) is None


@given(st.lists(st.integers(), min_size=1), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_it_is_a_value_that_enough_do_not_exceed(values: list[int], fraction: float) -> None:
    """And the smallest such value."""
    found = percentile(values, fraction)
    assert found in values
    assert sum(value <= found for value in values) >= fraction * len(values)
    smaller = [value for value in values if value < found]
    assert len(smaller) < fraction * len(values)
