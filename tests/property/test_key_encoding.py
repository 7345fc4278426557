"""Encoded keys: in the order of the values, no two alike, and back."""

from datetime import UTC
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from storage.model.data_types import DataType, Value, check_value
from storage.model.errors import InvalidOperationError
from storage.model.key_encoding import decode_key, encode_key, successor
from storage.model.key_ranges import prefix_range
from storage.model.schema import KeyColumn, Order
from tests.table_samples import ASCENDING

_DECIMALS = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent, None),
    st.integers(-(10**20), 10**20),
    st.integers(-30, 30),
)

VALUES: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.BOOLEAN: st.booleans(),
    DataType.INT: st.integers(-(2**31), 2**31 - 1),
    DataType.BIGINT: st.integers(-(2**63), 2**63 - 1),
    DataType.FLOAT: st.floats(allow_nan=False, allow_infinity=False, width=32),
    DataType.DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    DataType.TEXT: st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    DataType.BLOB: st.lists(st.sampled_from([b"\0", b"\1", b"a", b"\xfe", b"\xff"]), max_size=6).map(b"".join),
    DataType.DATE: st.dates(),
    DataType.TIME: st.times(),
    DataType.TIMESTAMP: st.datetimes(),
    DataType.TIMESTAMPTZ: st.datetimes(timezones=st.just(UTC)),
    DataType.DECIMAL: _DECIMALS,
}


@st.composite
def keys(draw: st.DrawFn) -> tuple[list[KeyColumn], tuple[Value, ...], tuple[Value, ...]]:
    """Some columns, and two keys of them that are often alike in their first values."""
    columns = [
        KeyColumn(draw(st.sampled_from(list(DataType))), draw(st.sampled_from(list(Order))))
        for _ in range(draw(st.integers(1, 3)))
    ]
    one = [check_value(data_type, draw(VALUES[data_type])) for data_type, _ in columns]
    other = [
        value if draw(st.booleans()) else check_value(data_type, draw(VALUES[data_type]))
        for value, (data_type, _) in zip(one, columns, strict=True)
    ]
    return columns, tuple(one), tuple(other)


def before(columns: list[KeyColumn], one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether one key comes first, by the definition."""
    for (_, order), a, b in zip(columns, one, other, strict=True):
        if a != b:
            return bool(a < b) == (order is Order.ASC)
    return False


@given(keys())
def test_bytes_are_ordered_as_the_values_are(given_keys: tuple[list[KeyColumn], Any, Any]) -> None:
    """Column by column, each in its order; and equal only where the values are."""
    columns, one, other = given_keys
    encoded, encoded_other = encode_key(columns, one), encode_key(columns, other)
    assert (encoded < encoded_other) == before(columns, one, other)
    assert (encoded == encoded_other) == (one == other)


@given(keys())
def test_no_key_begins_with_another(given_keys: tuple[list[KeyColumn], Any, Any]) -> None:
    """So what follows a key can never be taken for a part of it."""
    columns, one, other = given_keys
    if one != other:
        assert not encode_key(columns, one).startswith(encode_key(columns, other))


@given(keys())
def test_a_key_can_be_read_back(given_keys: tuple[list[KeyColumn], Any, Any]) -> None:
    """With the same values, of the same types."""
    columns, one, _ = given_keys
    decoded = decode_key(columns, encode_key(columns, one))
    assert decoded == one
    assert list(map(repr, decoded)) == list(map(repr, one))


@given(keys(), st.data())
def test_bytes_that_are_no_key_are_refused(given_keys: tuple[list[KeyColumn], Any, Any], data: st.DataObject) -> None:
    """Cut short, or with more behind."""
    columns, one, _ = given_keys
    encoded = encode_key(columns, one)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    for damaged in (cut, encoded + b"\0"):
        try:
            decode_key(columns, damaged)
        except (ValueError, IndexError):
            continue
        raise AssertionError(damaged)


@given(st.binary(max_size=4), st.binary(max_size=4))
@example(b"", b"")
@example(b"\xff\xff", b"\xff\xff\0")
@example(b"a\xff", b"b")
def test_the_successor_is_just_above_all_that_begin_so(prefix: bytes, other: bytes) -> None:
    """A range by prefix holds these, and nothing else."""
    start, end = prefix_range(prefix)
    assert end == successor(prefix)
    assert (start <= other and (end is None or other < end)) == other.startswith(prefix)


@given(st.sampled_from(list(DataType)), st.data())
def test_a_value_has_one_form(data_type: DataType, data: st.DataObject) -> None:
    """Checked twice it is the same, equal to what was given but for rounding, and of one Python type."""
    value = check_value(data_type, data.draw(VALUES[data_type]))
    assert check_value(data_type, value) == value
    assert repr(check_value(data_type, value)) == repr(value)


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_a_decimal_is_equal_or_refused(value: Decimal) -> None:
    """Never changed in silence."""
    try:
        checked = check_value(DataType.DECIMAL, value)
    except InvalidOperationError as error:
        assert error.code == "value.out_of_range"  # noqa: PT017
    else:
        assert checked == value


def test_the_samples_are_in_order() -> None:
    """What the conformance suite relies on."""
    for data_type, values in ASCENDING.items():
        encoded = [encode_key((KeyColumn(data_type),), (value,)) for value in values]
        assert encoded == sorted(encoded), data_type
        assert all(one < other for one, other in pairwise(values))  # type: ignore[operator]
