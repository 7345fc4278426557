"""How a record of a transaction lies in its table: the user's columns, and hidden ones that tell its state.

| hidden column | what it holds |
|---|---|
| `_tx_id` | the transaction that wrote the row last; null: the row was imported |
| `_tx_state` | PREPARED, DELETED (prepared to be deleted) or COMMITTED; null: imported, deemed committed |
| `_tx_version` | how often the record was written |
| `_tx_prepared_at` | when it was prepared, in ms; null once committed |
| `_tx_before` | the packed before-image (`storage.transactions.images`); null once committed, and of a new record |
| `_next_<column>` | of an indexed column of a prepared record: the value that it will have |

A prepared row keeps the *committed* value in its indexed columns, and the coming one in `_next_<column>`, which has an
index of its own. Who reads first the index of coming values and then that of the committed ones misses no row: a row
can only go from the first to the second in between. (The other way round, with an index of former values, a row that is
prepared and rolled back between the two reads is missed although its value never changed.)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from storage.model.data_types import CHECKS, PYTHON_TYPES, DataType, Value, check_value
from storage.model.errors import InvalidOperationError
from storage.model.operations import Key, Row
from storage.model.schema import AddColumn, AddIndex, Alteration, TableName, TableSchema

TX_ID = "_tx_id"
TX_STATE = "_tx_state"
TX_VERSION = "_tx_version"
TX_PREPARED_AT = "_tx_prepared_at"
TX_BEFORE = "_tx_before"
NEXT_PREFIX = "_next_"

PREPARED = 1
DELETED = 2
COMMITTED = 3
ABORTED = 4

HIDDEN_COLUMNS: Mapping[str, DataType] = {
    TX_ID: DataType.TEXT,
    TX_STATE: DataType.INT,
    TX_VERSION: DataType.BIGINT,
    TX_PREPARED_AT: DataType.BIGINT,
    TX_BEFORE: DataType.BLOB,
}
STATE_COLUMNS = (TX_ID, TX_STATE, TX_VERSION)
"""What is read of every row, whatever the projection."""

Record = tuple[TableName, Key]
"""What a transaction reads and writes: a key of a table."""


def next_column(column: str) -> str:
    """The hidden column with the coming value of an indexed one."""
    return f"{NEXT_PREFIX}{column}"


def transactional(schema: TableSchema) -> TableSchema:
    """The schema that a table must have in its store, from the user's.

    Raises:
        InvalidOperationError: `transaction.hidden_column`, or `schema.invalid`.
    """
    for name in schema.columns:
        if name.startswith("_"):
            raise InvalidOperationError("transaction.hidden_column", f"{schema.name}: {name}")
    coming = {next_column(name): schema.columns[name] for name in schema.indexes}
    return TableSchema(
        name=schema.name,
        columns={**schema.columns, **HIDDEN_COLUMNS, **coming},
        partition_key=schema.partition_key,
        clustering_key=schema.clustering_key,
        indexes=(*schema.indexes, *coming),
    )


def is_transactional(schema: TableSchema) -> bool:
    """Whether a table of a store has every hidden column, with its index."""
    coming = [next_column(name) for name in schema.indexes if not name.startswith("_")]
    return all(name in schema.columns for name in (*HIDDEN_COLUMNS, *coming)) and set(coming) <= set(schema.indexes)


def visible(schema: TableSchema) -> TableSchema:
    """The user's schema, from that of the store."""
    return TableSchema(
        name=schema.name,
        columns={name: kind for name, kind in schema.columns.items() if not name.startswith("_")},
        partition_key=schema.partition_key,
        clustering_key=schema.clustering_key,
        indexes=tuple(name for name in schema.indexes if not name.startswith("_")),
    )


def importing(schema: TableSchema) -> tuple[Alteration, ...]:
    """What makes an existing table transactional, or completes what an interrupted import began; its rows stay."""
    wanted = transactional(visible(schema))
    missing = [name for name in wanted.columns if name not in schema.columns]
    columns = [AddColumn(name=name, data_type=wanted.columns[name]) for name in missing]
    return (*columns, *(AddIndex(column=name) for name in wanted.indexes if name not in schema.indexes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A transactional table as the core needs it; made once, kept in the catalogue.

    Attributes:
        table: its name.
        store: the name of the store that holds it.
        schema: as the user knows it.
        columns, value_columns: the user's, with and without the key.
        key_checks: of the key's columns: the Python type, what remains to be checked, the column's type.
        value_types: of the columns outside the key.
        committed: values of the hidden columns of a row once it is committed, but for id and version.
    """

    table: TableName
    store: str
    schema: TableSchema
    columns: tuple[str, ...] = field(init=False)
    key_checks: tuple[tuple[type, Callable[..., Value], DataType], ...] = field(init=False)
    value_types: Mapping[str, DataType] = field(init=False)
    value_columns: tuple[str, ...] = field(init=False)
    committed: Mapping[str, Value | None] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.schema.columns))
        columns = self.schema.columns
        types = [columns[name] for name in self.schema.key_columns]
        object.__setattr__(self, "key_checks", tuple((PYTHON_TYPES[kind], CHECKS[kind], kind) for kind in types))
        object.__setattr__(self, "value_types", {name: columns[name] for name in self.schema.value_columns})
        object.__setattr__(self, "value_columns", self.schema.value_columns)
        hidden: dict[str, Value | None] = {TX_STATE: COMMITTED, TX_PREPARED_AT: None, TX_BEFORE: None}
        object.__setattr__(self, "committed", hidden | dict.fromkeys(map(next_column, self.schema.indexes)))

    def checked_key(self, key: Key) -> Key:
        """The key with each value in its one form.

        Raises:
            InvalidOperationError: `key.incomplete` or a value's.
        """
        schema = self.schema
        if len(key.partition) != len(schema.partition_key) or len(key.clustering) != len(schema.clustering_key):
            raise InvalidOperationError("key.incomplete", f"{self.table} wants {', '.join(schema.key_columns)}")
        partition, clustering = key
        checked = []
        same = True
        for (kind, check, data_type), value in zip(self.key_checks, partition + clustering, strict=True):
            if type(value) is not kind:
                check_value(data_type, value)
            kept = check(value)
            same = same and kept is value
            checked.append(kept)
        count = len(partition)
        return key if same else Key(tuple(checked[:count]), tuple(checked[count:]))

    def checked_values(self, values: Row) -> dict[str, Value | None]:
        """The values to write, each in its one form.

        Raises:
            InvalidOperationError: `column.unknown`, `column.key`, or a value's.
        """
        checks = self.value_types
        checked: dict[str, Value | None] = {}
        for name, value in values.items():
            data_type = checks.get(name)
            if data_type is None:
                if name in self.schema.key_columns:
                    raise InvalidOperationError("column.key", f"{self.table}: {name}")
                raise InvalidOperationError("column.unknown", f"{self.table} has no column {name}")
            checked[name] = None if value is None else check_value(data_type, value)
        return checked

    def check_columns(self, names: tuple[str, ...]) -> None:
        """Refuse a projection with a column that the user's table does not have.

        Raises:
            InvalidOperationError: `column.unknown`.
        """
        for name in names:
            if name not in self.schema.columns:
                raise InvalidOperationError("column.unknown", f"{self.table} has no column {name}")

    def key_of(self, row: Row) -> Key:
        """The key of a row that has its key columns."""
        schema = self.schema
        values = (row[name] for name in schema.key_columns)
        whole = tuple(value for value in values if value is not None)
        count = len(schema.partition_key)
        return Key(whole[:count], whole[count:])
