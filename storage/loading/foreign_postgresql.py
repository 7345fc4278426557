"""Tables of PostgreSQL databases that were made elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from storage.errors import StoreUnavailableError
from storage.loading.foreign_table import ForeignColumn
from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError

_CONNECT_TIMEOUT_S = 5
_TOGETHER = 500
_TYPES = {
    "bool": DataType.BOOLEAN,
    "int2": DataType.INT,
    "int4": DataType.INT,
    "int8": DataType.BIGINT,
    "float4": DataType.FLOAT,
    "float8": DataType.DOUBLE,
    "numeric": DataType.DECIMAL,
    "text": DataType.TEXT,
    "varchar": DataType.TEXT,
    "bpchar": DataType.TEXT,
    "bytea": DataType.BLOB,
    "date": DataType.DATE,
    "time": DataType.TIME,
    "timestamp": DataType.TIMESTAMP,
    "timestamptz": DataType.TIMESTAMPTZ,
}
_COLUMNS = """SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
_INDEXES = """SELECT i.indisprimary, array_agg(a.attname ORDER BY k.place) FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = %s::regclass AND i.indpred IS NULL AND i.indexprs IS NULL
    GROUP BY i.indexrelid, i.indisprimary ORDER BY i.indexrelid"""


class ForeignPostgresqlTable:
    """See `storage.loading.foreign_table.ForeignTable`.

    Args:
        table: `name`, or `schema.name`.

    Raises:
        StoreUnavailableError: the server does not answer.
        InvalidOperationError: `table.unknown`, `schema.not_importable`.
    """

    def __init__(self, url: str, table: str) -> None:
        self._place = sql.Identifier(*table.split("."))
        with _translated(table):
            self._connection = psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_S)
            try:
                self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                self._connection.read_only = True
                self._describe()
            except BaseException:
                self.close()
                raise

    def _describe(self) -> None:
        named = self._place.as_string(self._connection)
        found = self._connection.execute(_COLUMNS, (named,)).fetchall()
        self.columns = tuple(ForeignColumn(name, kind, _data_type(name, kind)) for name, kind in found)
        indexes = self._connection.execute(_INDEXES, (named,)).fetchall()
        self.primary_key = tuple(next((names for primary, names in indexes if primary), ()))
        alone = (names[0] for primary, names in indexes if not primary and len(names) == 1)
        self.indexed = tuple(dict.fromkeys(alone))

    def count(self) -> int:
        """How many rows there are."""
        with _translated(""):
            row = self._connection.execute(sql.SQL("SELECT count(*) FROM {}").format(self._place)).fetchone()
        return int(row[0]) if row else 0

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All rows of the moment of the first look."""
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in self.columns)
        with _translated(""), self._connection.cursor(name="countersign_import") as cursor:
            cursor.itersize = _TOGETHER
            cursor.execute(sql.SQL("SELECT {} FROM {}").format(names, self._place))
            yield from cursor

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def _translated(table: str) -> Iterator[None]:
    """Raise our own errors for the driver's."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise InvalidOperationError("table.unknown", table) from error
    except psycopg.Error as error:
        raise StoreUnavailableError(str(error)) from error


def _data_type(column: str, kind: str) -> DataType:
    try:
        return _TYPES[kind]
    except KeyError as error:
        raise InvalidOperationError("schema.not_importable", f"{column} is {kind}") from error
