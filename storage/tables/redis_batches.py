"""Batches as the arguments of `redis_apply.lua`: checked and packed in one go.

What does not fit its column is found while it is packed; the words of the refusal are those of
`storage.model.checking`, like every adapter's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from storage.model.checking import check_indexed, check_key, check_mutation, check_partition
from storage.model.data_types import Value
from storage.model.errors import InvalidOperationError
from storage.model.operations import Check, Delete, Insert, Mutation, Row, Update, Upsert
from storage.model.predicates import AllOf, Comparison, Operator, Predicate, check_predicate, holds
from storage.model.schema import TableName
from storage.tables.redis_commands import Packed, bulk, number
from storage.tables.redis_link import Script
from storage.tables.redis_table import RedisTable

STALE_TRIES = 5
"""How often a batch is made anew because a table was altered meanwhile."""

APPLY = Script("redis_apply.lua")

_LETTERS: Mapping[Operator, bytes] = {
    Operator.EQ: bulk("="),
    Operator.NE: bulk("!"),
    Operator.LT: bulk("<"),
    Operator.LE: bulk("l"),
    Operator.GT: bulk(">"),
    Operator.GE: bulk("g"),
    Operator.IS_NULL: bulk("0"),
    Operator.IS_NOT_NULL: bulk("1"),
    Operator.LIKE: bulk("~"),
    Operator.NOT_LIKE: bulk("^"),
}
_NULL_OPERATORS = (Operator.IS_NULL, Operator.IS_NOT_NULL)
_PATTERN_OPERATORS = (Operator.LIKE, Operator.NOT_LIKE)
_INSERT, _UPSERT, _UPDATE = bulk("i"), bulk("p"), bulk("u")
_DELETE, _DELETE_EXISTING, _CHECK, _CHECK_ABSENT = bulk("d"), bulk("e"), bulk("c"), bulk("a")
_TRUE, _FALSE, _ALL, _ANY = bulk("T"), bulk("F"), bulk("a"), bulk("o")

Parts = list[bytes]
"""Packed arguments; who adds some tells how many."""


class BatchCall(NamedTuple):
    """A batch, ready to be sent.

    Attributes:
        tables: that it is on, in the script's order.
        bucket: where all of its rows lie.
        arguments: of the script, the number of its keys first.
    """

    tables: list[RedisTable]
    bucket: int
    arguments: Packed


def batch_call(batch: Sequence[Mutation], table_of: Callable[[TableName], RedisTable]) -> BatchCall:
    """Check a batch, and pack it.

    Raises:
        InvalidOperationError: `batch.same_row`, `batch.beyond_unit`, or a mutation's.
    """
    used: dict[RedisTable, bytes] = {}
    names: list[bytes] = []
    parts: Parts = []
    size = bucket = 0
    for mutation in batch:
        table = table_of(mutation.table)
        mark = used.get(table)
        if mark is None:
            mark = used[table] = number(len(used) + 1)
        try:
            bucket, name = table.place(mutation.key)
            parts.append(mark)
            size += 1 + _ADDERS[type(mutation)](parts, table, mutation)
        except InvalidOperationError:
            check_mutation(table.entry.schema, mutation)
            raise
        names.append(name)
    tables = list(used)
    if len(names) > 1:
        _check_rows(batch, names, table_of, tables[0])
    start = tables[0].bucket_start(bucket)
    sets = [table.sets(bucket) for table in tables]
    keys = 1 + len(names) + sum([each.size for each in sets])
    head = [number(keys), bulk(start + b"v")]
    head += [b"$%d\r\n%b\r\n" % (len(name), name) for name in names]
    head += [each.content for each in sets]
    head += (bulk(start), number(len(tables)))
    head += [table.packed_number for table in tables]
    head += [table.packed_version for table in tables]
    for table in tables:
        head += (number(len(start) + len(table.row_mark)), table.packed_indexed)
        size += len(table.indexed)
    size += 3 + keys + 4 * len(tables)
    return BatchCall(tables, bucket, Packed(size, b"".join(head + parts)))


def _check_rows(
    batch: Sequence[Mutation], names: Sequence[bytes], table_of: Callable[[TableName], RedisTable], table: RedisTable
) -> None:
    if len(set(names)) < len(names):
        raise InvalidOperationError("batch.same_row")
    if not table.in_buckets:
        return
    schema = table.entry.schema
    partition = check_partition(schema, batch[0].key.partition)
    for mutation in batch:
        other = table_of(mutation.table)
        if other is not table or check_partition(schema, mutation.key.partition) != partition:
            raise InvalidOperationError("batch.beyond_unit", "this store is atomic within one partition")


# ---------------------------------------------------------------- each kind of mutation: how many arguments it adds


def _add_update(parts: Parts, table: RedisTable, update: Update) -> int:
    parts.append(_UPDATE)
    return 1 + _add_predicate(parts, table, update, update.where) + _add_values(parts, table, update.values)


def _add_insert(parts: Parts, table: RedisTable, insert: Insert) -> int:
    parts.append(_INSERT)
    return 1 + _add_values(parts, table, insert.values)


def _add_upsert(parts: Parts, table: RedisTable, upsert: Upsert) -> int:
    parts.append(_UPSERT)
    return 1 + _add_values(parts, table, upsert.values)


def _add_delete(parts: Parts, table: RedisTable, delete: Delete) -> int:
    if not delete.must_exist and delete.where is None:
        parts.append(_DELETE)
        return 1
    parts.append(_DELETE_EXISTING)
    return 1 + _add_predicate(parts, table, delete, delete.where)


def _add_check(parts: Parts, table: RedisTable, check: Check) -> int:
    if not check.absent:
        parts.append(_CHECK)
        return 1 + _add_predicate(parts, table, check, check.where)
    if check.where is not None:
        raise InvalidOperationError("operation.unsupported", "an absent row satisfies no predicate")
    parts.append(_CHECK_ABSENT)
    return 1


# ---------------------------------------------------------------- values and predicates


def _add_values(parts: Parts, table: RedisTable, values: Row) -> int:
    columns = table.columns
    nulls: list[bytes] = []
    count_at = len(parts)
    parts.append(b"")  # the number, which is known below
    for name, value in values.items():
        column = columns.get(name)
        if column is None:
            raise InvalidOperationError("column.unknown", name)
        if value is None:
            nulls.append(column.packed_field)
            continue
        if column.is_indexed:
            check_indexed(table.entry.schema, name, value)
        parts.append(column.pack(value))
    count = len(values) - len(nulls)
    parts[count_at] = number(count)
    parts.append(number(len(nulls)))
    parts += nulls
    return 2 + 2 * count + len(nulls)


def _add_predicate(parts: Parts, table: RedisTable, mutation: Mutation, where: Predicate | None) -> int:
    if where is None:
        parts.append(_TRUE)
        return 1
    if isinstance(where, Comparison) and where.operator is Operator.EQ:
        column = table.columns.get(where.column)
        if column is not None:
            parts += (_LETTERS[Operator.EQ], column.pack(where.value))
            return 3
    return _add_checked(parts, table, mutation, check_predicate(table.entry.schema, where))


def _add_checked(parts: Parts, table: RedisTable, mutation: Mutation, where: Predicate) -> int:
    if isinstance(where, Comparison):
        return _add_comparison(parts, table, mutation, where)
    parts += (_ALL if isinstance(where, AllOf) else _ANY, number(len(where.parts)))
    return 2 + sum([_add_checked(parts, table, mutation, part) for part in where.parts])


def _add_comparison(parts: Parts, table: RedisTable, mutation: Mutation, where: Comparison) -> int:
    column = table.columns.get(where.column)
    if column is None:  # of the key, which is no part of what is stored, but known
        parts.append(_TRUE if holds(where, _key_row(table, mutation)) else _FALSE)
        return 1
    letter = _LETTERS[where.operator]
    if where.operator in _NULL_OPERATORS:
        parts += (letter, column.packed_field)
        return 2
    if where.operator in _PATTERN_OPERATORS:
        parts += (letter, column.packed_field, bulk(str(where.value)))
        return 3
    parts += (letter, column.pack(where.value))
    return 3


def _key_row(table: RedisTable, mutation: Mutation) -> dict[str, Value | None]:
    key = check_key(table.entry.schema, mutation.key)
    return dict(zip(table.entry.schema.key_columns, key.partition + key.clustering, strict=True))


_ADDERS: Mapping[type, Callable[[Parts, RedisTable, Any], int]] = {
    Update: _add_update,
    Insert: _add_insert,
    Upsert: _add_upsert,
    Delete: _add_delete,
    Check: _add_check,
}
