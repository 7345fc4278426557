"""Tables that were made elsewhere, in PostgreSQL or SQLite, as they can be read: their schema and their rows.

They are copied, not adopted: a table of ours has a column with its encoded key, which no other program would fill.
Whatever has no equal type here is refused by name.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from storage.model.data_types import DataType, Value, check_value
from storage.model.errors import InvalidOperationError
from storage.model.schema import ClusteringColumn, TableName, TableSchema


class ForeignColumn(NamedTuple):
    """A column of such a table."""

    name: str
    type_name: str
    data_type: DataType


class ForeignTable(Protocol):
    """One table, open for reading.

    Attributes:
        columns: in order.
        primary_key: names of its columns, in order.
        indexed: columns that have an index of their own.
    """

    columns: tuple[ForeignColumn, ...]
    primary_key: tuple[str, ...]
    indexed: tuple[str, ...]

    def count(self) -> int:
        """How many rows there are, about."""
        ...

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All rows, of one moment, few at a time."""
        ...

    def close(self) -> None:
        """Give back the connection."""
        ...


def schema_of(foreign: ForeignTable, name: TableName, clustering_key: tuple[str, ...] = ()) -> TableSchema:
    """The schema that a foreign table gets here.

    Args:
        clustering_key: the columns of its primary key that order rows within a partition; the others are the
            partition key.

    Raises:
        InvalidOperationError: `schema.not_importable`, `schema.invalid`.
    """
    if not foreign.primary_key:
        raise InvalidOperationError("schema.not_importable", "it has no primary key")
    unknown = [column for column in clustering_key if column not in foreign.primary_key]
    if unknown or len(clustering_key) >= len(foreign.primary_key):
        raise InvalidOperationError(
            "schema.not_importable", f"the clustering key is some of {', '.join(foreign.primary_key)}"
        )
    return TableSchema(
        name=name,
        columns={column.name: column.data_type for column in foreign.columns},
        partition_key=tuple(column for column in foreign.primary_key if column not in clustering_key),
        clustering_key=tuple(ClusteringColumn(column) for column in clustering_key),
        indexes=tuple(column for column in foreign.indexed if column not in foreign.primary_key),
    )


def row_of(foreign: ForeignTable, row: tuple[Any, ...]) -> dict[str, Value | None]:
    """A foreign row's values as the model has them.

    Raises:
        InvalidOperationError: `value.wrong_type`, `value.out_of_range`.
    """
    return {
        column.name: None if value is None else check_value(column.data_type, _converted(column.data_type, value))
        for column, value in zip(foreign.columns, row, strict=True)
    }


def _converted(data_type: DataType, value: Any) -> Any:
    """The value in the type's Python type, where that loses nothing."""
    match data_type:
        case DataType.FLOAT | DataType.DOUBLE if isinstance(value, int) and abs(value) <= 2**53:
            return float(value)
        case DataType.DECIMAL if type(value) in (int, float, str):
            return Decimal(str(value))
        case DataType.BOOLEAN if value in (0, 1):
            return bool(value)
        case DataType.BLOB if isinstance(value, memoryview):
            return bytes(value)
        case _:
            return value
