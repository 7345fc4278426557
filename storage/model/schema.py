"""Tables: named and typed columns, a key of two parts, secondary indexes.

A table's rows are grouped in *partitions* by the values of the partition key, and within a partition ordered by the
values of the clustering key, each column ascending or descending. Both together are the primary key: it is never
null, and a row keeps it for life. Every other column may be null. A secondary index is on one column outside the key.

Names are lower case, because databases disagree about other ones; those that begin with an underscore belong to the
layer above a store (the transaction manager's hidden columns), which keeps its users away from them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError

NAME = re.compile(r"[a-z_][a-z0-9_]{0,47}")
"""What a namespace, a table and a column may be called; short enough for a prefix and a suffix in any database."""

COLUMNS_MAX = 200
KEY_COLUMNS_MAX = 8
INDEXES_MAX = 16


class TableName(NamedTuple):
    """A table's full name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"


class Order(StrEnum):
    """How a clustering column orders the rows of a partition."""

    ASC = "asc"
    DESC = "desc"


class ClusteringColumn(NamedTuple):
    """A column of the clustering key."""

    name: str
    order: Order = Order.ASC


class KeyColumn(NamedTuple):
    """How one column of a key is encoded (`storage.model.key_encoding`)."""

    data_type: DataType
    order: Order = Order.ASC


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSchema:
    """What a table is.

    Attributes:
        name: its full name.
        columns: the type of every column by its name, those of the key too.
        partition_key: names of the columns that say in which partition a row is; at least one.
        clustering_key: the columns that order the rows of a partition; may be empty.
        indexes: names of the columns with a secondary index, in order of the alphabet.

    Raises:
        InvalidOperationError: `schema.invalid`.
    """

    name: TableName
    columns: Mapping[str, DataType]
    partition_key: tuple[str, ...]
    clustering_key: tuple[ClusteringColumn, ...] = ()
    indexes: tuple[str, ...] = ()
    key_columns: tuple[str, ...] = field(init=False, compare=False, repr=False)
    """Names of all columns of the primary key, in order."""

    value_columns: tuple[str, ...] = field(init=False, compare=False, repr=False)
    """Names of all columns outside the key."""

    partition_columns: tuple[KeyColumn, ...] = field(init=False, compare=False, repr=False)
    """How the partition key is encoded."""

    clustering_columns: tuple[KeyColumn, ...] = field(init=False, compare=False, repr=False)
    """How the clustering key is encoded."""

    def __post_init__(self) -> None:
        key_columns = (*self.partition_key, *(column.name for column in self.clustering_key))
        object.__setattr__(self, "key_columns", key_columns)
        object.__setattr__(self, "value_columns", tuple(name for name in self.columns if name not in key_columns))
        object.__setattr__(self, "indexes", tuple(sorted(self.indexes)))
        self._check_names()
        self._check_key()
        self._check_indexes()
        partition = tuple(KeyColumn(self.columns[name]) for name in self.partition_key)
        clustering = tuple(KeyColumn(self.columns[name], order) for name, order in self.clustering_key)
        object.__setattr__(self, "partition_columns", partition)
        object.__setattr__(self, "clustering_columns", clustering)

    def __hash__(self) -> int:
        return hash(self.name)

    def _check_names(self) -> None:
        for name in (*self.name, *self.columns):
            if not NAME.fullmatch(name):
                raise InvalidOperationError("schema.invalid", f"{self.name}: {name!r} is no name")
        if len(self.columns) > COLUMNS_MAX:
            raise InvalidOperationError("schema.invalid", f"{self.name}: more than {COLUMNS_MAX} columns")

    def _check_key(self) -> None:
        if not self.partition_key:
            raise InvalidOperationError("schema.invalid", f"{self.name}: no partition key")
        if len(self.key_columns) > KEY_COLUMNS_MAX:
            raise InvalidOperationError("schema.invalid", f"{self.name}: more than {KEY_COLUMNS_MAX} key columns")
        if len(set(self.key_columns)) < len(self.key_columns):
            raise InvalidOperationError("schema.invalid", f"{self.name}: a column stands twice in the key")
        for name in self.key_columns:
            if name not in self.columns:
                raise InvalidOperationError("schema.invalid", f"{self.name}: key column {name} is not declared")

    def _check_indexes(self) -> None:
        if len(set(self.indexes)) < len(self.indexes) or len(self.indexes) > INDEXES_MAX:
            raise InvalidOperationError("schema.invalid", f"{self.name}: an index twice, or more than {INDEXES_MAX}")
        for name in self.indexes:
            if name not in self.value_columns:
                raise InvalidOperationError("schema.invalid", f"{self.name}: {name} is no column outside the key")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddColumn:
    """Add a column outside the key; it is null in every row there is."""

    name: str
    data_type: DataType


@dataclass(frozen=True, slots=True, kw_only=True)
class DropColumn:
    """Drop a column outside the key, its index and all its values."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameColumn:
    """Give a column, of the key or not, another name; values and index stay."""

    name: str
    new_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddIndex:
    """Index a column outside the key, the rows that there are included."""

    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropIndex:
    """Drop the index on a column."""

    column: str


Alteration = AddColumn | DropColumn | RenameColumn | AddIndex | DropIndex
