"""For any value and any bytes, canonical JSON and its slow twin agree."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from protocol.canonical_json import NotCanonicalError, dumps, loads
from tests.reference import canonical_json as reference

INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.integers(-10, 10)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "a", "\uffff", "\U00010000", '"', "\\", "\n", "\x1f", "\x7f", "\u2028", "1.5", "[[["]
)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
TOKENS = st.sampled_from(
    [
        *b'{ } [ ] , : " \\ null true false 0 1 5 12 - . e E "a" "b" u 0000 001f d800'.split(),
        *(b"9007199254740991", b"9007199254740992", b"18446744073709551616"),
        *(b" ", b"\n", b"\xc3\xa9", b"\xed\xa0\x80", b"\xff"),
    ]
)


def judge(data: bytes) -> tuple[str, str]:
    """What reader and twin say of bytes: the value they read, or that they refuse."""
    try:
        ours = repr(loads(data))
    except NotCanonicalError:
        ours = "refused"
    try:
        twins = repr(reference.loads(data))
    except reference.RefusedError:
        twins = "refused"
    return ours, twins


@given(VALUES)
def test_a_value_comes_back(value: Any) -> None:
    """Writing and reading gives the same value, in the twin's bytes."""
    data = dumps(value)
    assert data == reference.dumps(value)
    assert repr(loads(data)) == repr(reference.loads(data))
    assert loads(data) == value


@given(VALUES, st.sampled_from([None, 1]), st.booleans(), st.booleans())
def test_other_spellings(value: Any, indent: int | None, escaped: bool, sort: bool) -> None:
    """However a value is spelled, it is read only where the bytes are the canonical ones."""
    text = json.dumps(value, indent=indent, ensure_ascii=escaped, sort_keys=sort, separators=(",", ":"))
    data = text.encode()
    ours, twins = judge(data)
    assert ours == twins
    assert (ours == "refused") == (data != dumps(value))


@given(VALUES, st.data())
def test_damaged_bytes(value: Any, data: st.DataObject) -> None:
    """One byte replaced, inserted or left out: reader and twin agree on what that is."""
    canonical = dumps(value)
    at = data.draw(st.integers(0, len(canonical)))
    after = data.draw(st.integers(at, min(at + 1, len(canonical))))
    inserted = data.draw(st.binary(max_size=1) | TOKENS)
    ours, twins = judge(canonical[:at] + inserted + canonical[after:])
    assert ours == twins


@given(st.lists(TOKENS, max_size=12))
def test_rubbish(tokens: list[bytes]) -> None:
    """Any sequence of tokens: reader and twin agree."""
    ours, twins = judge(b"".join(tokens))
    assert ours == twins


@given(st.floats() | st.floats().map(lambda number: [number]) | st.floats().map(lambda number: {"a": number}))
def test_no_float_in_any_spelling(value: Any) -> None:
    """A float is refused as a value and as bytes, even one that is a whole number."""
    ours, twins = judge(json.dumps(value, separators=(",", ":")).encode())
    assert (ours, twins) == ("refused", "refused")


@given(st.integers())
def test_integers_of_any_size(number: int) -> None:
    """An integer is read exactly where its magnitude is at most 2^53 - 1; none becomes a float on the way."""
    ours, twins = judge(str(number).encode())
    assert ours == twins == (str(number) if abs(number) < 2**53 else "refused")
