"""The port to a database that keeps tables: small, synchronous, and honest about what it can do.

Rules for every adapter (`tests/conformance/test_table_store.py` holds them to these on the real server):

1. Methods may be called from several threads; connections are pooled inside.
2. An operation is checked against the schema before anything is sent: `storage.model.checking`.
3. Reads of one row see every batch that was acknowledged before they began. A scan may be of several moments, but
   never shows half a row, nor leaves out or shows twice a row that nobody touched meanwhile.
4. A batch is atomic, and on disk as far as `capabilities.durability` says before it returns. One that is beyond the
   unit of atomicity is refused before anything is written.
5. A read may be tried again by the adapter, a batch never. After a batch failed it is known that nothing was done
   (any error but one), or it is not (`UnknownOutcomeError`).
6. Only errors of `storage.model.errors` and `storage.tables.errors` come out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol

from storage.model.operations import AnyScan, Get, Mutation, Row
from storage.model.schema import Alteration, TableName, TableSchema


class Atomicity(IntEnum):
    """The unit within which a batch is atomic; each contains the one before."""

    RECORD = 1
    PARTITION = 2
    TABLE = 3
    NAMESPACE = 4
    STORE = 5


class Durability(StrEnum):
    """What an acknowledged batch survives."""

    NONE = "none"
    """Nothing: it is in memory."""

    PROCESS = "process"
    """The death of the server's process, but not of its machine; or there is a short window."""

    DISK = "disk"
    """The death of the machine: it was on disk before it was acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an adapter can do.

    Attributes:
        atomicity: the unit within which a batch is atomic.
        batch_mutations_max: mutations in a batch at most; None: no bound of the store's own.
        durability: of what was acknowledged.
        checks_absence: a batch may hold `Check`s for absence, and then no such row is inserted before it is done.
        reads_at_one_moment: what one `get_many` within a unit of atomicity gives was all true at one moment.
        scan_page_rows: a scan within a unit of atomicity that comes upon fewer rows than this is of one moment.
        scan_pages_filtered: of its rows only those count that satisfy its condition.
    """

    atomicity: Atomicity
    batch_mutations_max: int | None
    durability: Durability
    checks_absence: bool
    reads_at_one_moment: bool
    scan_page_rows: int = 1
    scan_pages_filtered: bool = False


class TableStore(Protocol):
    """A database that keeps tables."""

    @property
    def name(self) -> str:
        """The adapter's name and the place, for people; never a secret."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this store, as it is set up, can do."""
        ...

    def create_table(self, schema: TableSchema) -> None:
        """Create a table, on disk before it returns.

        Raises:
            InvalidOperationError: `table.exists`, also when the schema is the same.
        """
        ...

    def alter_table(self, table: TableName, alteration: Alteration) -> TableSchema:
        """Change a table and return its new schema. Other processes see it at their next operation, or reopening.

        Raises:
            InvalidOperationError: `table.unknown`, `column.unknown`, `schema.invalid`.
        """
        ...

    def drop_table(self, table: TableName) -> None:
        """Drop a table with all its rows.

        Raises:
            InvalidOperationError: `table.unknown`.
        """
        ...

    def tables(self) -> tuple[TableName, ...]:
        """The tables of this store, in order."""
        ...

    def schema(self, table: TableName) -> TableSchema:
        """A table's schema; kept in memory after the first time.

        Raises:
            InvalidOperationError: `table.unknown`.
        """
        ...

    def get(self, get: Get) -> Row | None:
        """Return one row, or None where there is none."""
        ...

    def get_many(self, gets: Sequence[Get]) -> list[Row | None]:
        """Return rows, in the order asked for, in one round trip."""
        ...

    def scan(self, scan: AnyScan) -> Iterator[Row]:
        """Give rows, read in pages: an iterator that is not finished holds no more than a page, and may be dropped.

        The scan is checked at once, not at the first row.
        """
        ...

    def apply(self, batch: Sequence[Mutation]) -> None:
        """Do all of it, or nothing.

        Raises:
            InvalidOperationError: also `batch.empty`, `batch.same_row`, `batch.too_large`, `batch.beyond_unit`.
            ConditionFailedError: of a mutation.
            UnknownOutcomeError: the answer was lost.
        """
        ...

    def close(self) -> None:
        """Give back connections and files."""
        ...
