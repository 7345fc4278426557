"""Tables of SQLite files that were made elsewhere."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from storage.loading.foreign_table import ForeignColumn
from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.sqlite_connection import file_of, open_database, translated

_TYPES = {
    "BOOLEAN": DataType.BOOLEAN,
    "BOOL": DataType.BOOLEAN,
    "SMALLINT": DataType.INT,
    "INT": DataType.BIGINT,
    "INTEGER": DataType.BIGINT,
    "BIGINT": DataType.BIGINT,
    "REAL": DataType.DOUBLE,
    "FLOAT": DataType.DOUBLE,
    "DOUBLE": DataType.DOUBLE,
    "DOUBLE PRECISION": DataType.DOUBLE,
    "TEXT": DataType.TEXT,
    "CHAR": DataType.TEXT,
    "VARCHAR": DataType.TEXT,
    "BLOB": DataType.BLOB,
    "NUMERIC": DataType.DECIMAL,
    "DECIMAL": DataType.DECIMAL,
}
_TOGETHER = 500


class ForeignSqliteTable:
    """See `storage.loading.foreign_table.ForeignTable`.

    Raises:
        InvalidOperationError: `table.unknown`, `schema.not_importable`.
    """

    def __init__(self, url: str, table: str) -> None:
        file = file_of(url)
        if not file.exists():
            raise InvalidOperationError("table.unknown", f"{file} is not there")
        self._connection = open_database(file)
        self._place = '"' + table.replace('"', '""') + '"'
        try:
            with translated():
                self._describe(table)
        except BaseException:
            self.close()
            raise

    def _describe(self, table: str) -> None:
        found = self._connection.execute("SELECT * FROM pragma_table_info(?)", (table,)).fetchall()
        if not found:
            raise InvalidOperationError("table.unknown", table)
        self.columns = tuple(ForeignColumn(name, kind, _data_type(name, kind)) for _, name, kind, *_ in found)
        keys = sorted((place, name) for _, name, _, _, _, place in found if place)
        self.primary_key = tuple(name for _, name in keys)
        indexes = self._connection.execute(
            "SELECT name FROM pragma_index_list(?) WHERE partial = 0 AND origin <> 'pk' ORDER BY name", (table,)
        ).fetchall()
        self.indexed = tuple(dict.fromkeys(column for (name,) in indexes for column in self._only_column(name)))

    def _only_column(self, index: str) -> tuple[str, ...]:
        """The column of an index that has one."""
        columns = self._connection.execute("SELECT name FROM pragma_index_info(?)", (index,)).fetchall()
        return (columns[0][0],) if len(columns) == 1 and columns[0][0] is not None else ()

    def count(self) -> int:
        """How many rows there are."""
        with translated():
            return int(self._connection.execute(f"SELECT count(*) FROM {self._place}").fetchone()[0])

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All rows of one moment."""
        names = ", ".join(f'"{column.name}"' for column in self.columns)
        with translated():
            cursor: sqlite3.Cursor = self._connection.execute(f"SELECT {names} FROM {self._place}")
            while together := cursor.fetchmany(_TOGETHER):
                yield from together

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _data_type(column: str, kind: str) -> DataType:
    name = kind.upper().partition("(")[0].strip()
    try:
        return _TYPES[name]
    except KeyError as error:
        raise InvalidOperationError("schema.not_importable", f"{column} is {kind or 'of no type'}") from error
