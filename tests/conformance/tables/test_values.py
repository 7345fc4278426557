"""What every table store promises of values: each type comes back as it was given, null is no value."""

import pytest

from storage.model.data_types import DataType, Value
from storage.model.errors import InvalidOperationError
from storage.model.operations import Check, Get, Insert, Key, Row, Update, Upsert
from storage.model.predicates import Comparison, Operator, equals
from storage.tables.port import TableStore
from tests.table_samples import ASCENDING, OTHER_FORMS, REFUSED, every_type

EVERY = every_type()


@pytest.fixture
def store(store: TableStore) -> TableStore:
    store.create_table(EVERY)
    return store


def stored(store: TableStore, number: int) -> Row:
    row = store.get(Get(table=EVERY.name, key=Key((number,))))
    assert row is not None
    return row


@pytest.mark.parametrize("data_type", DataType)
def test_every_value_comes_back(store: TableStore, data_type: DataType) -> None:
    """The smallest, the greatest, the empty ones: equal, of the same Python type, and found by an equal value."""
    column = f"a_{data_type}"
    for number, value in enumerate(ASCENDING[data_type]):
        store.apply([Insert(table=EVERY.name, key=Key((number,)), values={column: value})])
        returned = stored(store, number)[column]
        assert returned == value
        assert type(returned) is type(value)
        store.apply([Check(table=EVERY.name, key=Key((number,)), where=equals(column, value))])


@pytest.mark.parametrize(
    ("data_type", "given", "kept"), [(data_type, *forms) for data_type, pairs in OTHER_FORMS.items() for forms in pairs]
)
def test_a_value_is_kept_in_its_one_form(store: TableStore, data_type: DataType, given: Value, kept: Value) -> None:
    """Rounded to 32 bits, in UTC, without a sign on zero, without trailing zeros: alike in every store."""
    column = f"a_{data_type}"
    store.apply([Insert(table=EVERY.name, key=Key((1,)), values={column: given})])
    assert repr(stored(store, 1)[column]) == repr(kept)
    store.apply([Check(table=EVERY.name, key=Key((1,)), where=equals(column, given))])


def test_columns_that_are_not_named_are_null(store: TableStore) -> None:
    """Of a new row; and a row of nulls is a row."""
    store.apply([Insert(table=EVERY.name, key=Key((1,)), values={})])
    assert stored(store, 1) == {"id": 1} | {f"a_{data_type}": None for data_type in DataType}
    store.apply([Check(table=EVERY.name, key=Key((1,)))])


@pytest.mark.parametrize("data_type", DataType)
def test_null_and_empty_differ(store: TableStore, data_type: DataType) -> None:
    """A value can be set to null and back, and IS NULL tells the two apart."""
    column = f"a_{data_type}"
    value = ASCENDING[data_type][0]
    is_null, is_not_null = Comparison(column, Operator.IS_NULL), Comparison(column, Operator.IS_NOT_NULL)
    store.apply([Upsert(table=EVERY.name, key=Key((1,)), values={column: value})])
    store.apply([Update(table=EVERY.name, key=Key((1,)), values={column: None}, where=is_not_null)])
    assert stored(store, 1)[column] is None
    store.apply([Update(table=EVERY.name, key=Key((1,)), values={column: value}, where=is_null)])
    assert stored(store, 1)[column] == value


@pytest.mark.parametrize(("data_type", "value", "code"), REFUSED)
def test_what_is_no_value_of_the_type_is_refused(
    store: TableStore, data_type: DataType, value: Value, code: str
) -> None:
    """Whatever the database itself would have made of it."""
    with pytest.raises(InvalidOperationError) as refused:
        store.apply([Insert(table=EVERY.name, key=Key((1,)), values={f"a_{data_type}": value})])
    assert refused.value.code == code
    assert store.get(Get(table=EVERY.name, key=Key((1,)))) is None


def test_large_values_come_back(store: TableStore) -> None:
    """A mebibyte of every byte, and of text beyond the basic plane."""
    blob, text = bytes(range(256)) * 4096, "\U0001f600é" * 150_000
    store.apply([Insert(table=EVERY.name, key=Key((1,)), values={"a_blob": blob, "a_text": text})])
    row = stored(store, 1)
    assert row["a_blob"] == blob
    assert row["a_text"] == text
