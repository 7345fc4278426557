"""Patterns of LIKE: as a plain twin that tries everything, and never slower than the text is long."""

import time

from hypothesis import given
from hypothesis import strategies as st

from storage.model.predicates import like_pattern


def matches(pattern: str, text: str) -> bool:
    """The definition, word by word."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(matches(pattern[1:], text[place:]) for place in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and matches(pattern[1:], text[1:])


@given(pattern=st.text("ab%_\n", max_size=7), text=st.text("ab\n", max_size=8))
def test_a_pattern_matches_what_its_definition_says(pattern: str, text: str) -> None:
    """However runs and single characters are mixed."""
    assert (like_pattern(pattern).fullmatch(text) is not None) is matches(pattern, text)


def test_a_pattern_made_to_be_slow_is_not() -> None:
    """Twenty runs over twenty thousand letters without a match: nothing is tried twice."""
    began = time.process_time()
    assert like_pattern("%a" * 20 + "%b").fullmatch("a" * 20_000) is None
    assert time.process_time() - began < 5
