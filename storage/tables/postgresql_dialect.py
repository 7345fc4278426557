"""How PostgreSQL holds the types of columns: in its own, texts ordered by bytes, which is by code point.

Every argument is cast to its column's type, so that a statement has one plan whatever the sizes of its numbers.
"""

from collections.abc import Callable
from datetime import UTC
from typing import Any

from psycopg.types.numeric import Float4, Float8, Int4, Int8

from storage.model.data_types import DataType
from storage.tables.sql_statements import Dialect

_TYPES = {
    DataType.BOOLEAN: "boolean",
    DataType.INT: "integer",
    DataType.BIGINT: "bigint",
    DataType.FLOAT: "real",
    DataType.DOUBLE: "double precision",
    DataType.TEXT: 'text COLLATE "C"',
    DataType.BLOB: "bytea",
    DataType.DATE: "date",
    DataType.TIME: "time",
    DataType.TIMESTAMP: "timestamp",
    DataType.TIMESTAMPTZ: "timestamptz",
    DataType.DECIMAL: "numeric",
}

_ENCODE: dict[DataType, Callable[[Any], Any]] = {
    DataType.INT: Int4,
    DataType.BIGINT: Int8,
    DataType.FLOAT: Float4,
    DataType.DOUBLE: Float8,
}

POSTGRESQL = Dialect(
    types=_TYPES,
    places={data_type: f"%b::{name.partition(' COLLATE')[0]}" for data_type, name in _TYPES.items()},
    blob="%b::bytea",
    count="%b::bigint",
    encode=_ENCODE,
    decode={DataType.TIMESTAMPTZ: lambda value: value.astimezone(UTC)},
    like="{} LIKE {}",
    lock=" FOR SHARE",
)
