"""The two images of a prepared row, and the mutations of every phase.

A prepared row holds its after-image, but for indexed columns (`storage.transactions.layout`), and `_tx_before` what is
needed to go either way: the former transaction and version, the former values of the columns that change, and the
coming values of indexed ones. It is packed, so an idle row pays one null column. Rules:

1. Every mutation of a row that was read is conditional on the transaction that wrote what was read: ids are unique, so
   equal ids mean an unchanged row. A new row is inserted where none is.
2. A row is moved out of its prepared state only while it still is in the state of *this* transaction, so whoever comes
   late changes nothing.
"""

from typing import NamedTuple

from storage.model.data_types import Value
from storage.model.operations import Check, Delete, Insert, Key, Mutation, Row, Update
from storage.model.predicates import AllOf, Comparison, Operator, Predicate, equals
from storage.transactions.layout import (
    COMMITTED,
    DELETED,
    PREPARED,
    STATE_COLUMNS,
    TX_BEFORE,
    TX_ID,
    TX_PREPARED_AT,
    TX_STATE,
    TX_VERSION,
    Layout,
    next_column,
)
from storage.transactions.value_text import dumps, loads, plain, value_of

IMPORTED = Comparison(TX_ID, Operator.IS_NULL)
_PREPARED = equals(TX_STATE, PREPARED)
_DELETED = equals(TX_STATE, DELETED)


class Seen(NamedTuple):
    """What is committed of a record.

    Attributes:
        row: its columns, hidden ones too; None: there is no such record.
        transaction_id: who wrote it; None: nobody, or it was imported.
        partial: only some columns were read.
    """

    row: Row | None
    transaction_id: str | None
    partial: bool = False


ABSENT = Seen(None, None)


class Write(NamedTuple):
    """What a transaction will do to one record.

    Attributes:
        layout, key: the record.
        values: the columns to change; None: delete it.
        blind_insert: nobody looked: there must be no such record.
    """

    layout: Layout
    key: Key
    values: dict[str, Value | None] | None
    blind_insert: bool = False


def is_committed(row: Row) -> bool:
    """Whether a row is nobody's at the moment."""
    return row[TX_STATE] in (COMMITTED, None)


def written_by(transaction_id: str | None) -> Predicate:
    """The condition that a row is still the one that this transaction wrote."""
    return IMPORTED if transaction_id is None else equals(TX_ID, transaction_id)


def held_by(transaction_id: str, state: int) -> Predicate:
    """The condition that a row is still prepared by this transaction."""
    return AllOf((equals(TX_ID, transaction_id), _DELETED if state == DELETED else _PREPARED))


def unchanged(layout: Layout, key: Key, seen: Seen) -> Check:
    """The check that a record is as it was seen."""
    if seen.row is None:
        return Check(table=layout.table, key=key, absent=True)
    return Check(table=layout.table, key=key, where=written_by(seen.transaction_id))


def final(write: Write, base: Seen, transaction_id: str) -> Mutation:
    """The whole write in one mutation, for a batch that also holds the decision."""
    layout, key, values, _ = write
    hidden: dict[str, Value | None]
    if base.row is None:
        assert values is not None, "what is not there is not deleted"
        hidden = {TX_ID: transaction_id, TX_STATE: COMMITTED, TX_VERSION: 1}
        return Insert(table=layout.table, key=key, values=values | hidden)
    if values is None:
        return Delete(table=layout.table, key=key, where=written_by(base.transaction_id))
    hidden = {TX_ID: transaction_id, TX_STATE: COMMITTED, TX_VERSION: _version(base.row) + 1}
    return Update(table=layout.table, key=key, values=values | hidden, where=written_by(base.transaction_id))


def prepared(write: Write, base: Seen, transaction_id: str, now_ms: int) -> Mutation:
    """The first phase: the after-image, with all that is needed to go back."""
    layout, key, values, _ = write
    hidden: dict[str, Value | None] = {TX_ID: transaction_id, TX_PREPARED_AT: now_ms, TX_STATE: PREPARED}
    if base.row is None:
        if values is None:  # keeps others from inserting it
            hidden[TX_STATE] = DELETED
            values = {}
        return Insert(table=layout.table, key=key, values={**values, **hidden, TX_VERSION: 1})
    version = base.row[TX_VERSION]
    hidden[TX_VERSION] = _version(base.row) + 1
    state = base.row[TX_STATE]
    if values is None:
        hidden[TX_STATE] = DELETED
        hidden[TX_BEFORE] = dumps([base.transaction_id, state, version, {}, {}])
        return Update(table=layout.table, key=key, values=hidden, where=written_by(base.transaction_id))
    former = {name: plain(base.row[name]) for name in values if name not in layout.schema.indexes}
    coming = {name: plain(values[name]) for name in values if name in layout.schema.indexes}
    hidden[TX_BEFORE] = dumps([base.transaction_id, state, version, former, coming])
    for name, value in values.items():
        hidden[next_column(name) if name in coming else name] = value
    return Update(table=layout.table, key=key, values=hidden, where=written_by(base.transaction_id))


def forward(layout: Layout, key: Key, row: Row) -> Mutation:
    """Bring a prepared row of a committed transaction to its after-image."""
    where = _held(row)
    if row[TX_STATE] == DELETED:
        return Delete(table=layout.table, key=key, where=where)
    return Update(table=layout.table, key=key, values={**_coming(layout, row), **layout.committed}, where=where)


def back(layout: Layout, key: Key, row: Row) -> Mutation:
    """Bring a prepared row of an aborted transaction to its before-image."""
    former = _former(layout, row)
    if former is None:
        return Delete(table=layout.table, key=key, where=_held(row))
    return Update(table=layout.table, key=key, values={**layout.committed, **former}, where=_held(row))


def own_forward(write: Write, base: Seen, transaction_id: str) -> Mutation:
    """What `forward` would do to the row that `prepared` made."""
    layout, key, values, _ = write
    if values is None:
        return Delete(table=layout.table, key=key, where=held_by(transaction_id, DELETED))
    indexed = () if base.row is None else layout.schema.indexes
    coming = {name: values[name] for name in indexed if name in values}
    where = held_by(transaction_id, PREPARED)
    return Update(table=layout.table, key=key, values={**coming, **layout.committed}, where=where)


def own_back(write: Write, base: Seen, transaction_id: str) -> Mutation:
    """What `back` would do to the row that `prepared` made."""
    layout, key, values, _ = write
    where = held_by(transaction_id, DELETED if values is None else PREPARED)
    if base.row is None:
        return Delete(table=layout.table, key=key, where=where)
    former = {name: base.row[name] for name in values or () if name not in layout.schema.indexes}
    for name in STATE_COLUMNS:
        former[name] = base.row[name]
    return Update(table=layout.table, key=key, values={**layout.committed, **former}, where=where)


def after_image(layout: Layout, row: Row) -> Seen:
    """What is committed once `forward` was applied to the row."""
    if row[TX_STATE] == DELETED:
        return ABSENT
    transaction_id = row[TX_ID]
    assert isinstance(transaction_id, str), "a prepared row names its transaction"
    return Seen({**row, **_coming(layout, row), **layout.committed}, transaction_id)


def before_image(layout: Layout, row: Row) -> Seen:
    """What is committed once `back` was applied to the row."""
    former = _former(layout, row)
    if former is None:
        return ABSENT
    transaction_id = former[TX_ID]
    assert transaction_id is None or isinstance(transaction_id, str)
    return Seen({**row, **layout.committed, **former}, transaction_id)


def _version(row: Row) -> int:
    version = row[TX_VERSION]
    assert version is None or isinstance(version, int)
    return version or 0


def _held(row: Row) -> Predicate:
    transaction_id, state = row[TX_ID], row[TX_STATE]
    assert isinstance(transaction_id, str), "a prepared row names its transaction"
    assert isinstance(state, int), "a prepared row has a state"
    return held_by(transaction_id, state)


def _coming(layout: Layout, row: Row) -> dict[str, Value | None]:
    """Coming values of indexed columns; a column that was dropped meanwhile is left out."""
    before = row[TX_BEFORE]
    if before is None:
        return {}
    assert isinstance(before, bytes)
    coming = loads(before)[4]
    return {name: value_of(value) for name, value in coming.items() if name in layout.schema.columns}


def _former(layout: Layout, row: Row) -> dict[str, Value | None] | None:
    """Former values of changed and hidden columns; None: there was no such record."""
    before = row[TX_BEFORE]
    if before is None:
        return None
    assert isinstance(before, bytes)
    transaction_id, state, version, former, _ = loads(before)
    values = {name: value_of(value) for name, value in former.items() if name in layout.schema.columns}
    return {**values, TX_ID: transaction_id, TX_STATE: state, TX_VERSION: version}
