"""The statements that serve a table's operations, in the words that SQLite and PostgreSQL have in common."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from storage.model.data_types import DataType, Value
from storage.model.key_ranges import KeyRange, clustering_range, prefix_range
from storage.model.operations import (
    AnyScan,
    Check,
    Delete,
    Insert,
    Mutation,
    Row,
    Scan,
    ScanByIndex,
    Update,
    Upsert,
)
from storage.model.predicates import AllOf, AnyOf, Comparison, Operator, Predicate
from storage.tables.sql_layout import KEY_COLUMN, KeyEncoder, StoredTable

Encode = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What differs between databases.

    Attributes:
        types: of a column in the database.
        places: how a value of a type stands in a statement.
        blob, count: how bytes, and a number of rows, stand in a statement.
        encode, decode: between a value and what the driver takes and gives; a type that is not there needs nothing.
        like: a match of a column with the pattern that follows, with room for both.
        lock: what a read ends with that must stay true until the transaction ends.
    """

    types: Mapping[DataType, str]
    places: Mapping[DataType, str]
    blob: str
    count: str
    encode: Mapping[DataType, Encode]
    decode: Mapping[DataType, Encode]
    like: str
    lock: str


class Statement(NamedTuple):
    """A statement and its arguments."""

    text: str
    values: Sequence[Any]


class TableStatements:
    """The statements of one table.

    Args:
        place: the table's name in the database, quoted.
    """

    def __init__(self, dialect: Dialect, table: StoredTable, place: str) -> None:
        self.table = table
        self.schema = table.schema
        self.place = place
        self.keys = KeyEncoder(table.schema)
        self._dialect = dialect
        self._names = {name: f'"{stored}"' for name, stored in table.columns.items()}
        self._columns = table.schema.columns
        self._encode = {name: dialect.encode.get(each) for name, each in self._columns.items()}
        self._decode = {name: dialect.decode.get(each) for name, each in self._columns.items()}
        self._places = {name: dialect.places[each] for name, each in self._columns.items()}
        self._key_names = ", ".join((KEY_COLUMN, *(self._names[name] for name in table.schema.key_columns)))
        self._key_places = ", ".join((dialect.blob, *(self._places[name] for name in table.schema.key_columns)))
        self._by_key = f"{KEY_COLUMN} = {dialect.blob}"

    # --- Reads ---

    def selected(self, projection: Iterable[str]) -> str:
        """The columns of a projection."""
        return ", ".join(self._names[name] for name in projection)

    def page(self, scan: AnyScan, last: bytes | None, rows: int) -> Statement:
        """The next rows of a checked scan, each with its key first.

        Args:
            last: the key of the last row that was given.
            rows: how many at most.
        """
        values: list[Any] = []
        conditions: list[str] = []
        start, end, reverse = self._range(scan, last)
        if isinstance(scan, ScanByIndex):
            conditions.append(f"{self._names[scan.column]} = {self._places[scan.column]}")
            values.append(self._encoded(scan.column, scan.value))
        if start:
            conditions.append(f"{KEY_COLUMN} >= {self._dialect.blob}")
            values.append(start)
        if end is not None:
            conditions.append(f"{KEY_COLUMN} < {self._dialect.blob}")
            values.append(end)
        if scan.where is not None:
            conditions.append(self._predicate(scan.where, values))
        values.append(rows)
        return Statement(
            f"SELECT {KEY_COLUMN}, {self.selected(scan.projection)} FROM {self.place}"
            f"{' WHERE ' if conditions else ''}{' AND '.join(conditions)}"
            f" ORDER BY {KEY_COLUMN}{' DESC' if reverse else ''} LIMIT {self._dialect.count}",
            values,
        )

    def row(self, projection: Sequence[str], values: Sequence[Any]) -> Row:
        """A row as it is given to the caller."""
        found: dict[str, Value | None] = {}
        for name, value in zip(projection, values, strict=True):
            decode = self._decode[name]
            found[name] = value if decode is None or value is None else decode(value)
        return found

    def _range(self, scan: AnyScan, last: bytes | None) -> tuple[bytes, bytes | None, bool]:
        start, end, reverse = b"", None, False
        if isinstance(scan, Scan):
            partition = self.keys.partition(scan.partition)
            within: KeyRange = clustering_range(self.schema, scan)
            start = partition + within.start
            end = prefix_range(partition).end if within.end is None else partition + within.end
            reverse = scan.reverse
        if last is None:
            return start, end, reverse
        return (start, last, True) if reverse else (last + b"\0", end, False)

    # --- Mutations ---

    def mutation(self, mutation: Mutation) -> Statement:
        """A statement that touches, or for a check selects, one row where the mutation's condition holds.

        An upsert always holds; an insert holds where no row is in the way; a check for absence is no statement.
        """
        key = self.keys.key(mutation.key)
        match mutation:
            case Insert(values=row):
                return self.insert(mutation.key, key, row, "DO NOTHING")
            case Upsert(values=row):
                changed = ", ".join(f"{self._names[name]} = excluded.{self._names[name]}" for name in row)
                return self.insert(mutation.key, key, row, f"DO UPDATE SET {changed}" if changed else "DO NOTHING")
            case Update(values=row, where=where):
                values = [self._encoded(name, value) for name, value in row.items()]
                changed = ", ".join(f"{self._names[name]} = {self._places[name]}" for name in row)
                changed = changed or f"{KEY_COLUMN} = {KEY_COLUMN}"
                values.append(key)
                condition = self._and(where, values)
                return Statement(f"UPDATE {self.place} SET {changed} WHERE {self._by_key}{condition}", values)
            case Delete(where=where):
                values = [key]
                condition = self._and(where, values)
                return Statement(f"DELETE FROM {self.place} WHERE {self._by_key}{condition}", values)
            case Check(where=where):
                values = [key]
                condition = self._and(where, values)
                text = f"SELECT 1 FROM {self.place} WHERE {self._by_key}{condition}{self._dialect.lock}"
                return Statement(text, values)

    def insert(self, key: Any, encoded: bytes, row: Row, conflict: str) -> Statement:
        """A statement that inserts a row, or does as `conflict` says."""
        names = "".join(f", {self._names[name]}" for name in row)
        places = "".join(f", {self._places[name]}" for name in row)
        values = [encoded]
        for name, value in zip(self.schema.key_columns, (*key.partition, *key.clustering), strict=True):
            values.append(self._encoded(name, value))
        values += [self._encoded(name, value) for name, value in row.items()]
        return Statement(
            f"INSERT INTO {self.place} ({self._key_names}{names}) VALUES ({self._key_places}{places})"
            f" ON CONFLICT ({KEY_COLUMN}) {conflict}",
            values,
        )

    def _encoded(self, name: str, value: Any) -> Any:
        encode = self._encode[name]
        return value if encode is None or value is None else encode(value)

    # --- Conditions ---

    def _and(self, where: Predicate | None, values: list[Any]) -> str:
        return "" if where is None else f" AND {self._predicate(where, values)}"

    def _predicate(self, predicate: Predicate, values: list[Any]) -> str:
        """The predicate; a comparison with null is null, which no WHERE takes for true."""
        if isinstance(predicate, Comparison):
            return self._comparison(predicate, values)
        parts = [self._predicate(part, values) for part in predicate.parts]
        match predicate:
            case AllOf():
                return f"({' AND '.join(parts)})" if parts else "(1 = 1)"
            case AnyOf():
                return f"({' OR '.join(parts)})" if parts else "(1 = 0)"

    def _comparison(self, comparison: Comparison, values: list[Any]) -> str:
        name = self._names[comparison.column]
        match comparison.operator:
            case Operator.IS_NULL:
                return f"{name} IS NULL"
            case Operator.IS_NOT_NULL:
                return f"{name} IS NOT NULL"
            case Operator.LIKE | Operator.NOT_LIKE:
                values.append(comparison.value)
                negated = "NOT " if comparison.operator is Operator.NOT_LIKE else ""
                return negated + self._dialect.like.format(name, self._places[comparison.column])
            case _:
                values.append(self._encoded(comparison.column, comparison.value))
                return f"{name} {comparison.operator} {self._places[comparison.column]}"

    # --- Tables ---

    def create(self, options: str = "") -> list[str]:
        """The statements that make the table and its indexes."""
        columns = [f"{KEY_COLUMN} {self._dialect.types[DataType.BLOB]} PRIMARY KEY NOT NULL"]
        for name, data_type in self._columns.items():
            needed = " NOT NULL" if name in self.schema.key_columns else ""
            columns.append(f"{self._names[name]} {self._dialect.types[data_type]}{needed}")
        made = f"CREATE TABLE {self.place} ({', '.join(columns)}){options}"
        return [made, *(self.create_index(name) for name in self.schema.indexes)]

    def create_index(self, column: str) -> str:
        """The statement that indexes a column; within one value the rows are in the order of their keys."""
        name = self.index_name(column)
        return f"CREATE INDEX {name} ON {self.place} ({self._names[column]}, {KEY_COLUMN})"

    def index_name(self, column: str) -> str:
        """An index's name, quoted."""
        return f'"{self.table.name}$i{self.table.indexes[column]}"'

    def column(self, name: str) -> str:
        """A column's name in the database, quoted."""
        return self._names[name]

    def add_column(self, name: str) -> str:
        """The statement that adds a column."""
        return f"ALTER TABLE {self.place} ADD COLUMN {self._names[name]} {self._dialect.types[self._columns[name]]}"
