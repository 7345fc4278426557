"""What can be asked of a table store: reads, and mutations that are applied in batches.

Rules:

1. A row is a mapping of column to value, `None` where it is null. A read gives the columns of its projection, in its
   order; an empty projection stands for all, those of the key too.
2. A mutation never changes a key. The values it does not name stay as they are; of a new row they are null.
3. `where` filters a read, and is the condition of a mutation: then the row must be there, too, and satisfy it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from storage.model.data_types import Value
from storage.model.predicates import Predicate
from storage.model.schema import TableName

Row = Mapping[str, Value | None]


class Key(NamedTuple):
    """A primary key's values, in the order of the schema's columns."""

    partition: tuple[Value, ...]
    clustering: tuple[Value, ...] = ()


class Bound(NamedTuple):
    """An end of a range."""

    value: Value
    inclusive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Get:
    """The row with this key."""

    table: TableName
    key: Key
    projection: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GetByIndex:
    """The one row that has this value in an indexed column."""

    table: TableName
    column: str
    value: Value
    projection: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Rows of one partition, in the order of its clustering key, or in reverse.

    Attributes:
        partition: values of the partition key.
        prefix: values of the first clustering columns, which a row must have.
        lower, upper: what the next clustering column must lie between. They compare values, whatever the column's
            order: with a descending column the rows begin at `upper`.
        reverse: give the rows in the opposite order.
        limit: rows at most, counted after `where`.
    """

    table: TableName
    partition: tuple[Value, ...]
    prefix: tuple[Value, ...] = ()
    lower: Bound | None = None
    upper: Bound | None = None
    reverse: bool = False
    limit: int | None = None
    projection: tuple[str, ...] = ()
    where: Predicate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanAll:
    """Rows of the whole table; the order of partitions is the store's own."""

    table: TableName
    limit: int | None = None
    projection: tuple[str, ...] = ()
    where: Predicate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanByIndex:
    """Rows that have this value in an indexed column, in the store's own order."""

    table: TableName
    column: str
    value: Value
    limit: int | None = None
    projection: tuple[str, ...] = ()
    where: Predicate | None = None


AnyScan = Scan | ScanAll | ScanByIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """A new row; one with this key must not be there."""

    table: TableName
    key: Key
    values: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """Change the row, or make it where it is not there; always succeeds."""

    table: TableName
    key: Key
    values: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Change the row, which must be there, and satisfy `where`."""

    table: TableName
    key: Key
    values: Row
    where: Predicate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete the row; without `must_exist` and `where` it may be gone already."""

    table: TableName
    key: Key
    must_exist: bool = False
    where: Predicate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Change nothing: the row must be there and satisfy `where`, or with `absent` must not be there."""

    table: TableName
    key: Key
    where: Predicate | None = None
    absent: bool = False


Mutation = Insert | Upsert | Update | Delete | Check
