"""Scans: pushed down to the store, recovered on the way, merged with the transaction's own writes.

1. The condition is pushed down, widened by "or not committed": the committed image of a prepared row may satisfy it
   though its after-image does not. What comes back is settled first and judged then.
2. The limit is pushed down with a margin, for rows that turn out not to count. If it was too small the scan is read
   again with a greater one.
3. The projection is pushed down, with the key and what else is needed to judge a row.
4. Own writes replace, remove or add rows, in the order of the clustering key. Beyond the last row of a scan that was
   cut short nobody knows what comes next, so own rows are not given there.
5. Reading by an index asks for coming values first, and then for committed ones (`storage.transactions.layout`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from storage.model.data_types import Value, check_value
from storage.model.errors import InvalidOperationError
from storage.model.operations import AnyScan, Key, Row, Scan, ScanByIndex
from storage.model.predicates import AnyOf, Comparison, Operator, Predicate, check_predicate, columns_of, holds
from storage.model.schema import Order
from storage.transactions.effects import Open, Pull, Steps
from storage.transactions.images import ABSENT, Seen, is_committed
from storage.transactions.layout import COMMITTED, STATE_COLUMNS, TX_ID, TX_STATE, Layout, next_column
from storage.transactions.record_reader import RecordReader, World
from storage.transactions.workspace import ScanSeen, Workspace

_UNDECIDED = Comparison(TX_STATE, Operator.NE, COMMITTED)
_MARGIN = 2
_GROWTH = 4


class _Found(NamedTuple):
    """Committed rows of a scan, in order, and whether it came to its end."""

    rows: list[tuple[Key, Seen]]
    whole: bool


class Scanner:
    """Scans for one transaction."""

    def __init__(self, world: World, reader: RecordReader, work: Workspace) -> None:
        self._world = world
        self._reader = reader
        self._work = work

    def scan(self, layout: Layout, scan: AnyScan) -> Steps[list[dict[str, Value | None]]]:
        """The rows of a scan as the transaction sees them, remembered for the commit."""
        checked = _checked(layout, scan)
        if checked.limit is not None and checked.limit < 1:
            return []
        yield from self._read_own_bases(layout, checked)
        own = _own_rows(self._work, layout, checked)
        touched = sum(1 for table, _ in self._work.writes if table == layout.table)
        margin = touched + _MARGIN
        while True:
            found = yield from self._committed(layout, checked, margin)
            rows = self._merged(layout, checked, found, own)
            if found.whole or checked.limit is None or len(rows) >= checked.limit:
                break
            margin = _GROWTH * (margin + checked.limit)
        self._remember(layout, checked, found, rows, bool(own))
        columns = checked.projection or layout.columns
        return [{name: row[name] for name in columns} for _, row in rows]

    def _committed(self, layout: Layout, scan: AnyScan, margin: int) -> Steps[_Found]:
        """What is committed in the scan's range and satisfies its condition."""
        limit = None if scan.limit is None else scan.limit + margin
        rows: list[tuple[Key, Seen]] = []
        known: set[Key] = set()
        whole = True
        for part in stored_scans(layout, scan, limit, self._needed(layout, scan)):
            source: Iterator[Row] = yield Open(layout.store, part)
            count, page = 0, self._world.settings.scan_rows
            while True:
                pulled: list[Row] = yield Pull(layout.store, source, page)
                count += len(pulled)
                for row in pulled:
                    key = layout.key_of(row)
                    if key not in known:
                        known.add(key)
                        yield from self._judge(layout, scan, key, row, rows)
                if len(pulled) < page:
                    break
            whole = whole and (part.limit is None or count < part.limit)
        return _Found(rows, whole)

    def _judge(self, layout: Layout, scan: AnyScan, key: Key, row: Row, rows: list[tuple[Key, Seen]]) -> Steps[None]:
        partial = bool(scan.projection)
        if is_committed(row):
            seen = Seen(row, row[TX_ID], partial)  # type: ignore[arg-type]
        else:
            seen = yield from self._reader.settle(layout, key, None if partial else row)
        if seen.row is not None and satisfies(scan, seen.row):
            self._work.note(layout, (layout.table, key), seen)
            rows.append((key, seen))

    def _needed(self, layout: Layout, scan: AnyScan) -> tuple[str, ...]:
        """The columns to ask for; none means all."""
        if not scan.projection:
            return ()
        judged = columns_of(scan.where) if scan.where is not None else frozenset()
        indexed = (scan.column,) if isinstance(scan, ScanByIndex) else ()
        return tuple(dict.fromkeys((*layout.schema.key_columns, *scan.projection, *judged, *indexed, *STATE_COLUMNS)))

    def _merged(
        self, layout: Layout, scan: AnyScan, found: _Found, own: dict[Key, dict[str, Value | None]]
    ) -> list[tuple[Key, Row]]:
        """Committed rows and own ones, at most as many as asked for, in order."""
        writes = self._work.writes
        rows: list[tuple[Key, Row]] = []
        for key, seen in found.rows:
            if (layout.table, key) not in writes:
                assert seen.row is not None, "only rows that are there are kept"
                rows.append((key, seen.row))
            elif key in own:
                rows.append((key, own[key]))
        if own:
            there = {key for key, _ in rows}
            mine = [(key, row) for key, row in own.items() if key not in there]
            rows = _ordered(layout, scan, rows, mine, found)
        return rows if scan.limit is None else rows[: scan.limit]

    def _remember(self, layout: Layout, scan: AnyScan, found: _Found, rows: list[tuple[Key, Row]], mixed: bool) -> None:
        """Keep what must be the same at the commit: up to the last row that was given, if there were more."""
        kept, whole = found.rows, found.whole
        if scan.limit is not None and len(rows) == scan.limit and not mixed:
            last = rows[-1][0]
            count = next(number for number, (key, _) in enumerate(kept, 1) if key == last)
            whole = whole and count == len(kept)
            kept = kept[:count]
        stored = tuple((key, seen.transaction_id) for key, seen in kept)
        self._work.scans.append(ScanSeen(layout, replace(scan, limit=None), stored, whole))

    def _read_own_bases(self, layout: Layout, scan: AnyScan) -> Steps[None]:
        """Read what own writes in the scan's range build on, where nobody looked, or only at some columns."""
        missing = []
        for record, write in self._work.writes.items():
            if record[0] == layout.table and write.values is not None and in_range(layout, scan, record[1]):
                base = self._work.base(record)
                if base is None or base.partial:
                    missing.append((layout, record[1]))
        if missing:
            read = yield from self._reader.read(missing)
            for (_, key), seen in zip(missing, read, strict=True):
                self._work.note(layout, (layout.table, key), seen)


def stored_scans(layout: Layout, scan: AnyScan, limit: int | None, projection: tuple[str, ...]) -> tuple[AnyScan, ...]:
    """What is asked of the store for a scan of the user, one after the other."""
    where = None if scan.where is None else AnyOf((scan.where, _UNDECIDED))
    stored = replace(scan, where=where, limit=limit, projection=projection)
    if not isinstance(stored, ScanByIndex):
        return (stored,)
    return (replace(stored, column=next_column(stored.column), where=None, limit=None), stored)


def satisfies(scan: AnyScan, row: Row) -> bool:
    """Whether a committed row belongs to what a scan asks for."""
    if isinstance(scan, ScanByIndex) and row[scan.column] != scan.value:
        return False
    return scan.where is None or holds(scan.where, row)


def _checked(layout: Layout, scan: AnyScan) -> AnyScan:
    """The scan with its condition and its values in their one form; the store checks the rest."""
    layout.check_columns(scan.projection)
    where: Predicate | None = None if scan.where is None else check_predicate(layout.schema, scan.where)
    if isinstance(scan, ScanByIndex):
        if scan.column not in layout.schema.indexes:
            raise InvalidOperationError("index.missing", f"{layout.table}.{scan.column}")
        return replace(scan, where=where, value=check_value(layout.schema.columns[scan.column], scan.value))
    return replace(scan, where=where)


def _own_rows(work: Workspace, layout: Layout, scan: AnyScan) -> dict[Key, dict[str, Value | None]]:
    """The transaction's own rows that the scan should give."""
    rows = {}
    for record, write in work.writes.items():
        if record[0] != layout.table or write.values is None or not in_range(layout, scan, record[1]):
            continue
        base = work.base(record) or ABSENT
        row = work.row(layout, record, base, layout.columns)
        assert row is not None, "what is written is there"
        if satisfies(scan, row):
            rows[record[1]] = row
    return rows


def in_range(layout: Layout, scan: AnyScan, key: Key) -> bool:
    """Whether a key lies in the range of a scan, whatever its row."""
    if not isinstance(scan, Scan):
        return True
    length = len(scan.prefix)
    if key.partition != tuple(scan.partition) or key.clustering[:length] != tuple(scan.prefix):
        return False
    if scan.lower is None and scan.upper is None:
        return True
    value: Any = key.clustering[length]
    if scan.lower is not None and (
        value < scan.lower.value or (value == scan.lower.value and not scan.lower.inclusive)
    ):
        return False
    return scan.upper is None or value < scan.upper.value or (value == scan.upper.value and scan.upper.inclusive)


def _ordered(
    layout: Layout,
    scan: AnyScan,
    rows: list[tuple[Key, Row]],
    mine: Sequence[tuple[Key, Row]],
    found: _Found,
) -> list[tuple[Key, Row]]:
    """Put own new rows where they belong: by clustering key within a partition, new partitions at the end.

    Of a scan that was cut short, only those before its last row: what comes behind it is not known.
    """
    if isinstance(scan, ScanByIndex):
        return [*rows, *mine] if found.whole else rows
    ranks: dict[tuple[Value, ...], int] = {}
    for key, _ in (*found.rows, *mine):
        ranks.setdefault(key.partition, len(ranks))
    merged = [*rows, *mine]
    backwards = isinstance(scan, Scan) and scan.reverse
    orders = [(column.order is Order.DESC) is not backwards for column in layout.schema.clustering_key]
    last = found.rows[-1][0] if found.rows and not found.whole else None
    if last is not None:
        merged.append((last, {}))
    for number in range(len(orders) - 1, -1, -1):
        merged.sort(key=lambda entry: entry[0].clustering[number], reverse=orders[number])
    merged.sort(key=lambda entry: ranks[entry[0].partition])
    if last is None:
        return merged if found.whole else []
    cut = max(number for number, (key, _) in enumerate(merged) if key == last)
    return [entry for entry in merged[: cut + 1] if entry[1]]
