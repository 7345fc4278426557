"""How a party's state lies in tables, where its namespaces are spread over several stores.

In every store, the *home* and the others, each under the namespace of tables that is the store's name:

| table | key | holds |
|---|---|---|
| `records` | namespace; key | a record's current version as `protocol.records.pack` makes it, and its head |
| `versions` | key; namespace, version | every version |
| `part` | 0 | whose part of a store this is, and the last call that wrote into it |

In the home alone:

| table | key | holds |
|---|---|---|
| `calls` | 0 | how many calls were made, how many entries the replay guard has: every call changes this row |
| `parts` | 0; store | what `part` of each other store must say |
| `namespaces` | 0; namespace | the store of each namespace that is not at home, as it was when the store was made |
| `cells` | 0; name | the cells, those that are not empty |
| `replay` | minute; request_id | the sequence of a request, by the minute since 1970 in which it expires |
| `minutes` | 0; minute | how many entries of the replay guard are in a minute; without this row there are none |
| `dropped` | 0; minute | minutes whose entries count no more, and are still to be deleted |
| `outbox` | kind; number | the messages |

Names of namespaces and keys are their UTF-8, whose order is that of code points. A key of `versions` begins with the
record's, because the longest would not fit beside its namespace.
"""

from collections.abc import Mapping

from storage.model.data_types import DataType
from storage.model.schema import ClusteringColumn, TableName, TableSchema

HOME = "home"
"""The name of the store with cells, replay guard and outbox, and of every namespace that no other store has."""

RECORDS, VERSIONS, PART = "records", "versions", "part"
CALLS, PARTS, CELLS = TableName(HOME, "calls"), TableName(HOME, "parts"), TableName(HOME, "cells")
REPLAY, MINUTES, DROPPED = TableName(HOME, "replay"), TableName(HOME, "minutes"), TableName(HOME, "dropped")
OUTBOX, NAMESPACES = TableName(HOME, "outbox"), TableName(HOME, "namespaces")

_BLOB, _BIGINT, _TEXT, _INT = DataType.BLOB, DataType.BIGINT, DataType.TEXT, DataType.INT


def _schema(
    table: TableName, columns: Mapping[str, DataType], partition: tuple[str, ...], *clustering: str
) -> TableSchema:
    return TableSchema(
        name=table,
        columns=columns,
        partition_key=partition,
        clustering_key=tuple(ClusteringColumn(column) for column in clustering),
    )


def part_schemas(store: str) -> tuple[TableSchema, ...]:
    """The tables that every store has."""
    names = {"namespace": _BLOB, "key": _BLOB}
    return (
        _schema(TableName(store, RECORDS), {**names, "head": _BLOB, "packed": _BLOB}, ("namespace",), "key"),
        _schema(
            TableName(store, VERSIONS),
            {**names, "version": _BIGINT, "packed": _BLOB},
            ("key",),
            "namespace",
            "version",
        ),
        _schema(TableName(store, PART), {"one": _INT, "store_id": _BLOB, "call": _BIGINT}, ("one",)),
    )


def home_schemas() -> tuple[TableSchema, ...]:
    """The tables that only the home has."""
    one = {"one": _INT}
    return (
        _schema(CALLS, {**one, "calls": _BIGINT, "replay_entries": _BIGINT}, ("one",)),
        _schema(PARTS, {**one, "store": _TEXT, "store_id": _BLOB, "call": _BIGINT}, ("one",), "store"),
        _schema(NAMESPACES, {**one, "namespace": _BLOB, "store": _TEXT}, ("one",), "namespace"),
        _schema(CELLS, {**one, "name": _TEXT, "value": _BLOB}, ("one",), "name"),
        _schema(REPLAY, {"minute": _BIGINT, "request_id": _BLOB, "sequence": _BIGINT}, ("minute",), "request_id"),
        _schema(MINUTES, {**one, "minute": _BIGINT, "entries": _BIGINT}, ("one",), "minute"),
        _schema(DROPPED, {**one, "minute": _BIGINT}, ("one",), "minute"),
        _schema(OUTBOX, {"kind": _TEXT, "number": _BIGINT, "message": _BLOB}, ("kind",), "number"),
    )
