"""What one transaction has read and will write, in its client's memory; nothing of it is in a store before the commit.

Rules:

1. What was seen first of a record stays, and is what a write of it is conditional on. Where a later read sees another
   version the transaction cannot be committed, and at SERIALIZABLE and SNAPSHOT it learns so at once.
2. A transaction sees its own writes.
3. To delete what is not there, or what only this transaction inserted, writes nothing, but relies on its absence.
"""

from typing import NamedTuple

from storage.model.data_types import Value
from storage.model.operations import AnyScan, Key, Row
from storage.transactions.errors import RecordExistsError, TransactionConflictError
from storage.transactions.images import ABSENT, Seen, Write
from storage.transactions.layout import Layout, Record
from storage.transactions.settings import Isolation


class ScanSeen(NamedTuple):
    """A scan as it was seen, to be compared at the commit.

    Attributes:
        layout: its table.
        scan: as the user asked, without a limit.
        rows: the committed records that it gave, in order, with who wrote them; own writes are left out of account.
        whole: whether it came to its end; else only what lies before the last row counts.
    """

    layout: Layout
    scan: AnyScan
    rows: tuple[tuple[Key, str | None], ...]
    whole: bool


class Workspace:
    """The reads and writes of one transaction.

    Attributes:
        seen: what was first seen of each record.
        relied_on: records whose reads must still hold at the commit, unless they are written.
        writes: by record.
        scans: what was scanned.
        reads: read operations so far.
    """

    def __init__(self, transaction_id: str, isolation: Isolation) -> None:
        self.transaction_id = transaction_id
        self.isolation = isolation
        self.seen: dict[Record, Seen] = {}
        self.relied_on: set[Record] = set()
        self.layouts: dict[Record, Layout] = {}
        self.writes: dict[Record, Write] = {}
        self.scans: list[ScanSeen] = []
        self.reads = 0

    def note(self, layout: Layout, record: Record, seen: Seen) -> Seen:
        """Keep what was read of a record; return what counts.

        Raises:
            TransactionConflictError: another version was seen before.
        """
        before = self.seen.get(record)
        if before is None:
            self.seen[record] = seen
            self.layouts[record] = layout
            return seen
        same = before.transaction_id == seen.transaction_id and (before.row is None) is (seen.row is None)
        if same:
            if before.partial:
                self.seen[record] = seen
            return seen
        if self.isolation is Isolation.READ_COMMITTED:
            return seen
        raise TransactionConflictError(f"{layout.table} changed between two reads", records=(record,))

    def base(self, record: Record) -> Seen | None:
        """What a write of the record builds on; None: nobody looked."""
        write = self.writes.get(record)
        return ABSENT if write is not None and write.blind_insert else self.seen.get(record)

    def built_on(self, record: Record) -> Seen:
        """What a write of the record builds on, once that was read."""
        base = self.base(record)
        assert base is not None, "bases are read before anything is written"
        return base

    def row(
        self, layout: Layout, record: Record, seen: Seen, columns: tuple[str, ...]
    ) -> dict[str, Value | None] | None:
        """The record as this transaction sees it, in these columns; None: it is not there."""
        write = self.writes.get(record)
        if write is None:
            row = seen.row
            return None if row is None else {name: row[name] for name in columns}
        if write.values is None:
            return None
        whole: Row
        if seen.row is None:
            key = record[1]
            whole = dict.fromkeys(layout.value_columns)
            whole.update(zip(layout.schema.key_columns, key.partition + key.clustering, strict=True))
        else:
            whole = seen.row
        values = write.values
        return {name: values[name] if name in values else whole[name] for name in columns}

    def insert(self, layout: Layout, key: Key, values: dict[str, Value | None]) -> None:
        """Plan a new record.

        Raises:
            RecordExistsError: it is there already, as far as this transaction knows.
        """
        record = (layout.table, key)
        write, seen = self.writes.get(record), self.seen.get(record)
        if write is not None:
            if write.values is not None:
                raise RecordExistsError(f"{layout.table} {key}")
            values = dict.fromkeys(layout.value_columns) | values
        elif seen is not None and seen.row is not None:
            raise RecordExistsError(f"{layout.table} {key}")
        self.writes[record] = Write(layout, key, values, write is None and seen is None)

    def put(self, layout: Layout, key: Key, values: dict[str, Value | None]) -> None:
        """Plan to change a record, or to make it."""
        record = (layout.table, key)
        write = self.writes.get(record)
        if write is None:
            self.writes[record] = Write(layout, key, values)
        elif write.values is None:
            self.writes[record] = Write(layout, key, dict.fromkeys(layout.value_columns) | values)
        else:
            self.writes[record] = write._replace(values=write.values | values)

    def delete(self, layout: Layout, key: Key) -> None:
        """Plan to delete a record; it need not be there, and whatever comes up meanwhile is not seen."""
        record = (layout.table, key)
        write = self.writes.get(record)
        if write is not None and write.blind_insert:
            self.note(layout, record, ABSENT)
        self.writes[record] = Write(layout, key, None)

    def drop_idle_deletes(self) -> None:
        """Forget the deletes of records that, as was read since, are not there; rely on their absence instead."""
        for record, write in list(self.writes.items()):
            if write.values is None and self.seen[record].row is None:
                del self.writes[record]
                self.relied_on.add(record)

    def uncovered(self) -> list[Record]:
        """The reads that no write makes sure of, in order."""
        return sorted(self.relied_on - self.writes.keys())
