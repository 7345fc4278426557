"""Batches as the arguments of `redis_apply.lua`."""

from collections.abc import Mapping, Sequence

from storage.model.data_types import Value
from storage.model.operations import Check, Delete, Insert, Mutation, Row, Update, Upsert
from storage.model.predicates import AllOf, Comparison, Operator, Predicate, holds
from storage.tables.redis_link import Argument
from storage.tables.redis_table import RedisTable

_LETTERS: Mapping[Operator, str] = {
    Operator.EQ: "=",
    Operator.NE: "!",
    Operator.LT: "<",
    Operator.LE: "l",
    Operator.GT: ">",
    Operator.GE: "g",
    Operator.IS_NULL: "0",
    Operator.IS_NOT_NULL: "1",
    Operator.LIKE: "~",
    Operator.NOT_LIKE: "^",
}


def batch_call(
    batch: Sequence[Mutation], tables: Sequence[RedisTable], names: Sequence[bytes], versions: bytes, bucket: bytes
) -> tuple[list[RedisTable], list[Argument]]:
    """The tables that a checked batch is on, and the keys and arguments of the script.

    Args:
        batch: its mutations, all in one bucket.
        tables: the table of each.
        names: the name of each one's row.
        versions: name of the bucket's versions.
        bucket: what all names in it begin with.
    """
    used = list(dict.fromkeys(tables))
    entries = [table.entry for table in used]
    call: list[Argument] = [1 + len(batch), versions, *names, bucket, len(used)]
    call += [entry.number for entry in entries]
    call += [entry.version for entry in entries]
    for table in used:
        call += (len(bucket) + len(table.row_mark), len(table.indexed), *table.indexed)
    for mutation, table in zip(batch, tables, strict=True):
        call.append(used.index(table) + 1 if len(used) > 1 else 1)
        match mutation:
            case Update():
                call.append("u")
                _add_predicate(call, table, mutation, mutation.where)
                _add_values(call, table, mutation.values)
            case Insert() | Upsert():
                call.append("i" if isinstance(mutation, Insert) else "p")
                _add_values(call, table, mutation.values)
            case Delete(must_exist=False, where=None):
                call.append("d")
            case Check(absent=True):
                call.append("a")
            case Delete() | Check():
                call.append("e" if isinstance(mutation, Delete) else "c")
                _add_predicate(call, table, mutation, mutation.where)
    return used, call


def _add_values(call: list[Argument], table: RedisTable, values: Row) -> None:
    columns = table.columns
    nulls: list[Argument] = []
    count_at = len(call)
    call.append(0)
    for name, value in values.items():
        field, stored = columns[name]
        if value is None:
            nulls.append(field)
        else:
            call += (field, stored(value))
    call[count_at] = len(values) - len(nulls)
    call.append(len(nulls))
    call += nulls


def _add_predicate(call: list[Argument], table: RedisTable, mutation: Mutation, where: Predicate | None) -> None:
    if where is None:
        call.append("T")
    elif isinstance(where, Comparison):
        _add_comparison(call, table, mutation, where)
    else:
        call += ("a" if isinstance(where, AllOf) else "o", len(where.parts))
        for part in where.parts:
            _add_predicate(call, table, mutation, part)


def _add_comparison(call: list[Argument], table: RedisTable, mutation: Mutation, where: Comparison) -> None:
    column = table.columns.get(where.column)
    if column is None:  # of the key, which is no part of what is stored, but known
        call.append("T" if holds(where, _key_row(table, mutation)) else "F")
        return
    call += (_LETTERS[where.operator], column.field)
    if where.value is not None:
        text = where.operator in (Operator.LIKE, Operator.NOT_LIKE)
        call.append(str(where.value) if text else column.stored(where.value))


def _key_row(table: RedisTable, mutation: Mutation) -> dict[str, Value | None]:
    values = (*mutation.key.partition, *mutation.key.clustering)
    return dict(zip(table.entry.schema.key_columns, values, strict=True))
