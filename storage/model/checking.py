"""Operations against a schema: every adapter checks here, so that all of them refuse the same, before they do a thing.

What is returned is the operation with every value in its column's one form (`check_value`), which is what adapters
compare and store; it is the very operation that was given where that is so already, which is the common case.
"""

from collections.abc import Sequence
from dataclasses import replace

from storage.model.data_types import CHECKS, PYTHON_TYPES, DataType, Value, check_value
from storage.model.errors import InvalidOperationError
from storage.model.key_encoding import encode_key
from storage.model.operations import (
    AnyScan,
    Bound,
    Check,
    Delete,
    Key,
    Mutation,
    Row,
    Scan,
    ScanAll,
    ScanByIndex,
    Update,
)
from storage.model.predicates import Predicate, check_predicate
from storage.model.schema import KEY_COLUMNS_MAX, KeyColumn, TableSchema

PARTITION_KEY_BYTES_MAX = 1032
CLUSTERING_KEY_BYTES_MAX = 1032
INDEXED_VALUE_BYTES_MAX = 512
"""Encoded (`storage.model.key_encoding`): a record's key of 1,024 bytes fits each of the first two. All three together
fit one entry of PostgreSQL's indexes (2,704 bytes)."""


def check_key(schema: TableSchema, key: Key) -> Key:
    """Return a whole primary key.

    Raises:
        InvalidOperationError: `key.incomplete`, `key.too_long`, or a value's own.
    """
    partition = _check_key_part(schema, key.partition, schema.partition_columns, PARTITION_KEY_BYTES_MAX)
    clustering = _check_key_part(schema, key.clustering, schema.clustering_columns, CLUSTERING_KEY_BYTES_MAX)
    return key if partition is key.partition and clustering is key.clustering else Key(partition, clustering)


def check_partition(schema: TableSchema, values: Sequence[Value]) -> tuple[Value, ...]:
    """Return the values of a partition key; raises as `check_key` does."""
    return _check_key_part(schema, values, schema.partition_columns, PARTITION_KEY_BYTES_MAX)


def check_values(schema: TableSchema, values: Row) -> Row:
    """Return the values that a mutation writes.

    Raises:
        InvalidOperationError: a column is unknown or one of the key, a value is none of its column's, or an indexed
            one is too long.
    """
    columns = schema.columns
    same = True
    checked: dict[str, Value | None] = {}
    for name, value in values.items():
        data_type = columns.get(name)
        if data_type is None:
            raise InvalidOperationError("column.unknown", f"{schema.name} has no column {name}")
        if name in schema.key_columns:
            raise InvalidOperationError("column.key", f"{schema.name}: {name} is part of the key")
        if value is None:
            checked[name] = None
            continue
        if type(value) is not PYTHON_TYPES[data_type]:
            raise InvalidOperationError("value.wrong_type", f"{name}: {type(value).__name__} is no {data_type}")
        checked[name] = kept = _named(name, value, data_type)
        same = same and kept is value
        if name in schema.indexes:
            check_indexed(schema, name, kept)
    return values if same else checked


def check_indexed(schema: TableSchema, column: str, value: Value) -> Value:
    """Return a value of an indexed column.

    Raises:
        InvalidOperationError: `index.missing`, `key.too_long`, or the value's own.
    """
    if column not in schema.columns:
        raise InvalidOperationError("column.unknown", f"{schema.name} has no column {column}")
    if column not in schema.indexes:
        raise InvalidOperationError("index.missing", f"{schema.name}: {column} has no index")
    data_type = schema.columns[column]
    checked = check_value(data_type, value)
    _check_length(encode_key((KeyColumn(data_type),), (checked,)), INDEXED_VALUE_BYTES_MAX, column)
    return checked


def check_projection(schema: TableSchema, projection: Sequence[str]) -> tuple[str, ...]:
    """Return the columns to be read: those asked for, or all.

    Raises:
        InvalidOperationError: `column.unknown`.
    """
    for name in projection:
        if name not in schema.columns:
            raise InvalidOperationError("column.unknown", f"{schema.name} has no column {name}")
    return tuple(projection) or tuple(schema.columns)


def check_mutation(schema: TableSchema, mutation: Mutation) -> Mutation:
    """Return the mutation, of this table.

    Raises:
        InvalidOperationError: of its key, its values or its predicate; a check both for absence and with a predicate.
    """
    key = check_key(schema, mutation.key)
    if isinstance(mutation, Check | Delete):
        if isinstance(mutation, Check) and mutation.absent and mutation.where is not None:
            raise InvalidOperationError("operation.unsupported", "an absent row satisfies no predicate")
        where = _check_where(schema, mutation.where)
        same = key is mutation.key and where is mutation.where
        return mutation if same else replace(mutation, key=key, where=where)
    values = check_values(schema, mutation.values)
    same = key is mutation.key and values is mutation.values
    if isinstance(mutation, Update):
        where = _check_where(schema, mutation.where)
        return mutation if same and where is mutation.where else replace(mutation, key=key, values=values, where=where)
    return mutation if same else replace(mutation, key=key, values=values)


def check_scan(schema: TableSchema, scan: AnyScan) -> AnyScan:
    """Return the scan, of this table, with its projection in full.

    Raises:
        InvalidOperationError: of its key, its range, its projection or its predicate; a limit below 1.
    """
    if scan.limit is not None and scan.limit < 1:
        raise InvalidOperationError("value.out_of_range", "a limit is at least 1")
    projection = check_projection(schema, scan.projection)
    where = _check_where(schema, scan.where)
    match scan:
        case Scan():
            return replace(_check_range(schema, scan), projection=projection, where=where)
        case ScanAll():
            return replace(scan, projection=projection, where=where)
        case ScanByIndex():
            value = check_indexed(schema, scan.column, scan.value)
            return replace(scan, value=value, projection=projection, where=where)


def _check_where(schema: TableSchema, where: Predicate | None) -> Predicate | None:
    return None if where is None else check_predicate(schema, where)


def _check_range(schema: TableSchema, scan: Scan) -> Scan:
    partition = check_partition(schema, scan.partition)
    columns = schema.clustering_columns
    bounded = scan.lower is not None or scan.upper is not None
    if len(scan.prefix) + bounded > len(columns):
        raise InvalidOperationError("key.incomplete", f"{schema.name} has {len(columns)} clustering columns")
    prefix = _check_key_part(schema, scan.prefix, columns[: len(scan.prefix)], CLUSTERING_KEY_BYTES_MAX)
    if not bounded:
        return replace(scan, partition=partition, prefix=prefix)
    data_type = columns[len(prefix)].data_type
    lower, upper = (
        None if bound is None else Bound(_key_value(data_type, bound.value), bound.inclusive)
        for bound in (scan.lower, scan.upper)
    )
    return replace(scan, partition=partition, prefix=prefix, lower=lower, upper=upper)


def _check_key_part(
    schema: TableSchema, values: Sequence[Value], columns: Sequence[KeyColumn], bytes_max: int
) -> tuple[Value, ...]:
    if len(values) != len(columns):
        raise InvalidOperationError("key.incomplete", f"{schema.name}: {len(values)} values, not {len(columns)}")
    if not columns:
        return values if isinstance(values, tuple) else ()
    same, length = True, 0
    checked = []
    for (data_type, _), value in zip(columns, values, strict=True):
        kept = _key_value(data_type, value)
        same = same and kept is value
        checked.append(kept)
        if isinstance(kept, str | bytes):
            length += len(kept)
    if 4 * length + 8 * KEY_COLUMNS_MAX > bytes_max:  # else it is short enough however it is encoded
        _check_length(encode_key(columns, checked), bytes_max, str(schema.name))
    return values if same and isinstance(values, tuple) else tuple(checked)


def _key_value(data_type: DataType, value: Value | None) -> Value:
    if value is None:
        raise InvalidOperationError("key.incomplete", "a key's value is null")
    return check_value(data_type, value)


def _named(name: str, value: object, data_type: DataType) -> Value:
    try:
        return CHECKS[data_type](value)
    except InvalidOperationError as error:
        raise InvalidOperationError(error.code, f"{name}: {error.detail}") from None


def _check_length(encoded: bytes, bytes_max: int, what: str) -> None:
    if len(encoded) > bytes_max:
        raise InvalidOperationError("key.too_long", f"{what}: {len(encoded)} bytes, at most {bytes_max}")
