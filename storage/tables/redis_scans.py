"""Scans as calls of `redis_scan.lua`: bucket by bucket, page by page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from storage.model.key_encoding import encode_key
from storage.model.key_ranges import KeyRange, clustering_range, prefix_range
from storage.model.operations import AnyScan, Row, Scan, ScanByIndex
from storage.model.predicates import columns_of, holds
from storage.tables.redis_commands import Packed, packed
from storage.tables.redis_table import ReadPlan, RedisTable, Reply, bucket_prefix
from storage.tables.redis_values import index_prefix

PAGE_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketRange:
    """A range of a sorted set in one bucket.

    Attributes:
        versions: name of the bucket's versions.
        set_name: of the sorted set.
        rows: what the names of rows begin with.
        skip: bytes of an entry before the key.
    """

    bucket: int
    versions: bytes
    set_name: bytes
    rows: bytes
    skip: int
    entries: KeyRange
    reverse: bool


class RedisScan:
    """A checked scan of a table: where its rows lie, and what is to be read of them."""

    def __init__(self, table: RedisTable, scan: AnyScan, prefix: bytes, buckets: int) -> None:
        self.table = table
        self._scan = scan
        self._prefix = prefix
        self._buckets = buckets
        compared = () if scan.where is None else columns_of(scan.where)
        missing = sorted(name for name in compared if name not in scan.projection)
        self._plan: ReadPlan = table.plan((*scan.projection, *missing))
        self._compares_more = bool(missing)

    def ranges(self) -> Iterator[BucketRange]:
        """Where to look, in order."""
        match self._scan:
            case Scan():
                schema = self.table.entry.schema
                partition = encode_key(schema.partition_columns, self._scan.partition)
                start, end = clustering_range(schema, self._scan)
                last = prefix_range(partition).end if end is None else partition + end
                bucket = self.table.bucket(partition)
                yield self._range(bucket, self.table.order(bucket), 0, KeyRange(partition + start, last))
            case ScanByIndex(column=column, value=value):
                entry = index_prefix(self.table.columns[column].stored(value))
                for bucket in range(self._buckets):
                    yield self._range(bucket, self.table.index(bucket, column), len(entry), prefix_range(entry))
            case _:
                for bucket in range(self._buckets):
                    yield self._range(bucket, self.table.order(bucket), 0, KeyRange(b"", None))

    def page(self, within: BucketRange, last: bytes | None, rows: int) -> Packed:
        """Keys and arguments for the next page, after an entry."""
        entry = self.table.entry
        low = b"[" + within.entries.start if within.entries.start else b"-"
        high = b"+" if within.entries.end is None else b"(" + within.entries.end
        if last is not None:
            low, high = (low, b"(" + last) if within.reverse else (b"(" + last, high)
        side = "REV" if within.reverse else ""
        keys = (2, within.versions, within.set_name)
        bounds = (within.rows, within.skip, low, high, rows, side)
        return packed(*keys, entry.number, entry.version, *bounds, *self._plan.fields)

    def rows(self, within: BucketRange, reply: Sequence[bytes | Reply]) -> Iterator[Row]:
        """The rows of a page that satisfy."""
        where = self._scan.where
        for at in range(0, len(reply), 2):
            entry, values = reply[at], reply[at + 1]
            assert isinstance(entry, bytes)
            key = self.table.decode(entry[within.skip :]) if self._plan.wants_key else ()
            row = self._plan.row(key, values)  # type: ignore[arg-type]
            assert row is not None, "a row is in its order and its indexes as long as it is there"
            if where is None or holds(where, row):
                yield {name: row[name] for name in self._scan.projection} if self._compares_more else row

    def _range(self, bucket: int, set_name: bytes, skip: int, entries: KeyRange) -> BucketRange:
        return BucketRange(
            bucket=bucket,
            versions=bucket_prefix(self._prefix, bucket, self._buckets) + b"v",
            set_name=set_name,
            rows=self.table.rows_prefix(bucket),
            skip=skip,
            entries=entries,
            reverse=isinstance(self._scan, Scan) and self._scan.reverse,
        )
