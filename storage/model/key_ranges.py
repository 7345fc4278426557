"""A scan's range as a range of encoded keys (`storage.model.key_encoding`), for stores that order bytes."""

from typing import NamedTuple

from storage.model.key_encoding import encode_key, successor
from storage.model.operations import Bound, Scan
from storage.model.schema import Order, TableSchema


class KeyRange(NamedTuple):
    """All `start <= bytes < end`; without an end, all from `start`."""

    start: bytes
    end: bytes | None


def clustering_range(schema: TableSchema, scan: Scan) -> KeyRange:
    """The encoded clustering keys that a checked scan asks for."""
    columns = schema.clustering_columns
    prefix = encode_key(columns, scan.prefix)
    first, last = scan.lower, scan.upper
    if (first or last) and columns[len(scan.prefix)].order is Order.DESC:
        first, last = last, first

    def encoded(bound: Bound) -> bytes:
        return prefix + encode_key(columns[len(scan.prefix) :], (bound.value,))

    start: bytes | None = prefix
    if first is not None:
        start = encoded(first) if first.inclusive else successor(encoded(first))
    end = successor(prefix)
    if last is not None:
        end = successor(encoded(last)) if last.inclusive else encoded(last)
    if start is None:  # nothing is above the excluded first value
        return KeyRange(b"", b"")
    return KeyRange(start, end)


def prefix_range(prefix: bytes) -> KeyRange:
    """All that begin with these bytes."""
    return KeyRange(prefix, successor(prefix))
