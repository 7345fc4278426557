"""How SQLite holds the types of columns: in its own four, so that equality and order are the model's.

Dates and times are texts of one length, whose order is theirs; a decimal is encoded as in keys.
"""

from datetime import UTC, date, datetime, time

from storage.model.data_types import DataType
from storage.model.key_encoding import DECODERS, ENCODERS
from storage.model.predicates import like_pattern
from storage.tables.sql_statements import Dialect

LIKE_FUNCTION = "countersign_like"
"""A function of ours, because SQLite's LIKE takes upper and lower case for the same."""


def matches(text: str | None, pattern: str) -> bool | None:
    """Whether a text is like a pattern; null for null."""
    return None if text is None else like_pattern(pattern).fullmatch(text) is not None


_INTEGER, _REAL, _TEXT, _BLOB = "INTEGER", "REAL", "TEXT", "BLOB"

SQLITE = Dialect(
    types={
        DataType.BOOLEAN: _INTEGER,
        DataType.INT: _INTEGER,
        DataType.BIGINT: _INTEGER,
        DataType.FLOAT: _REAL,
        DataType.DOUBLE: _REAL,
        DataType.TEXT: _TEXT,
        DataType.BLOB: _BLOB,
        DataType.DATE: _TEXT,
        DataType.TIME: _TEXT,
        DataType.TIMESTAMP: _TEXT,
        DataType.TIMESTAMPTZ: _TEXT,
        DataType.DECIMAL: _BLOB,
    },
    places=dict.fromkeys(DataType, "?"),
    blob="?",
    count="?",
    encode={
        DataType.BOOLEAN: int,
        DataType.DATE: date.isoformat,
        DataType.TIME: lambda value: value.isoformat("microseconds"),
        DataType.TIMESTAMP: lambda value: value.isoformat(" ", "microseconds"),
        DataType.TIMESTAMPTZ: lambda value: value.isoformat(" ", "microseconds"),
        DataType.DECIMAL: ENCODERS[DataType.DECIMAL],
    },
    decode={
        DataType.BOOLEAN: bool,
        DataType.DATE: date.fromisoformat,
        DataType.TIME: time.fromisoformat,
        DataType.TIMESTAMP: datetime.fromisoformat,
        DataType.TIMESTAMPTZ: lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC),
        DataType.DECIMAL: DECODERS[DataType.DECIMAL],
    },
    like=f"{LIKE_FUNCTION}({{}}, {{}})",
    lock="",
)
