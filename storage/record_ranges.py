"""Ranges of keys as bytes, for stores that order keys by their UTF-8: always half open, `low <= key < high`."""

from protocol.records import Record
from storage.ports import ScanCheck, ScanRange, ScanRows

_ABOVE_ALL = b"\xff"
"""Greater than any UTF-8."""


def key_range(start: str, end: str) -> tuple[bytes, bytes]:
    """The range `start <= key < end`; an empty end is open."""
    return start.encode(), end.encode() or _ABOVE_ALL


def checked_range(scan: ScanCheck) -> tuple[bytes, bytes]:
    """The range that a check covers."""
    if scan.exhausted:
        return key_range(scan.start, scan.covered_to)
    return scan.start.encode(), successor_of(scan.covered_to.encode())


def successor_of(key: bytes) -> bytes:
    """The least bytes that are greater."""
    return key + b"\0"


def scan_rows(scan: ScanRange, rows: tuple[tuple[str, Record], ...]) -> ScanRows:
    """What a scan found, with how far that reaches."""
    exhausted = len(rows) < scan.limit
    return ScanRows(scan, rows, scan.end if exhausted else rows[-1][0], exhausted)
