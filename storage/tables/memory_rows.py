"""The rows of one table in memory, in the order of their encoded keys. Not thread-safe by itself."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping

from storage.model.data_types import Value
from storage.model.key_encoding import ENCODERS, encode_key
from storage.model.key_ranges import KeyRange
from storage.model.operations import Key
from storage.model.schema import AddColumn, AddIndex, Alteration, DropColumn, DropIndex, RenameColumn, TableSchema

StoredRow = dict[str, Value | None]


class MemoryRows:
    """A table: its schema, its rows by encoded primary key, and its indexes.

    A row lies here as a dictionary that is never changed: a change puts another one in its place.
    """

    def __init__(self, schema: TableSchema) -> None:
        self._rows: dict[bytes, StoredRow] = {}
        self._order: list[bytes] = []
        self._indexes: dict[str, list[bytes]] = {column: [] for column in schema.indexes}
        self._use(schema)

    def _use(self, schema: TableSchema) -> None:
        self.schema = schema

    def encode(self, key: Key) -> bytes:
        """The name of a row here."""
        return self.encode_partition(key.partition) + encode_key(self.schema.clustering_columns, key.clustering)

    def encode_partition(self, values: tuple[Value, ...]) -> bytes:
        """What the names of a partition's rows begin with."""
        return encode_key(self.schema.partition_columns, values)

    def get(self, name: bytes) -> StoredRow | None:
        """The row of this name."""
        return self._rows.get(name)

    def put(self, name: bytes, key: Key, values: Mapping[str, Value | None]) -> None:
        """Change a row, or make it."""
        row = self._rows.get(name)
        if row is None:
            insort(self._order, name)
            row = dict.fromkeys(self.schema.columns) | dict(
                zip(self.schema.key_columns, (*key.partition, *key.clustering), strict=True)
            )
        else:
            self._unindex(name, row)
        self._rows[name] = row = {**row, **values}
        for column, entries in self._indexes.items():
            if (value := row[column]) is not None:
                insort(entries, self.index_prefix(column, value) + name)

    def delete(self, name: bytes) -> None:
        """Delete a row, if it is there."""
        row = self._rows.pop(name, None)
        if row is not None:
            self._unindex(name, row)
            _remove(self._order, name)

    def index_prefix(self, column: str, value: Value) -> bytes:
        """What the entries of a value in an index begin with; the row's name follows."""
        return ENCODERS[self.schema.columns[column]](value)

    def names(self, wanted: KeyRange, limit: int, *, reverse: bool) -> list[bytes]:
        """The first (or last) names within a range, in order (or in reverse)."""
        return _page(self._order, wanted, limit, reverse=reverse)

    def indexed(self, column: str, wanted: KeyRange, limit: int) -> list[bytes]:
        """The first entries of an index within a range."""
        return _page(self._indexes[column], wanted, limit, reverse=False)

    def alter(self, schema: TableSchema, alteration: Alteration) -> None:
        """Take the schema that the alteration made."""
        match alteration:
            case AddColumn(name=column):
                self._rows = {name: row | {column: None} for name, row in self._rows.items()}
            case DropColumn(name=column):
                self._indexes.pop(column, None)
                self._rows = {name: dict(_without(row, column)) for name, row in self._rows.items()}
            case RenameColumn(name=column, new_name=new_name):
                if column in self._indexes:
                    self._indexes[new_name] = self._indexes.pop(column)
                self._rows = {
                    name: dict(_without(row, column)) | {new_name: row[column]} for name, row in self._rows.items()
                }
            case AddIndex(column=column):
                self._indexes[column] = sorted(
                    self.index_prefix(column, value) + name
                    for name, row in self._rows.items()
                    if (value := row[column]) is not None
                )
            case DropIndex(column=column):
                del self._indexes[column]
        self._use(schema)

    def _unindex(self, name: bytes, row: StoredRow) -> None:
        for column, entries in self._indexes.items():
            if (value := row[column]) is not None:
                _remove(entries, self.index_prefix(column, value) + name)


def _page(names: list[bytes], wanted: KeyRange, limit: int, *, reverse: bool) -> list[bytes]:
    start = bisect_left(names, wanted.start)
    end = len(names) if wanted.end is None else bisect_left(names, wanted.end)
    if reverse:
        return names[max(start, end - limit) : end][::-1] if end > start else []
    return names[start : min(end, start + limit)]


def _remove(names: list[bytes], name: bytes) -> None:
    at = bisect_left(names, name)
    assert names[at] == name, "what is in a table is in its order and its indexes"
    del names[at]


def _without(row: StoredRow, column: str) -> Iterator[tuple[str, Value | None]]:
    return ((name, value) for name, value in row.items() if name != column)
