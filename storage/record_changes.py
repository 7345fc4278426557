"""What a call means for records: the heads that must be stored, the newest versions, and those in between.

For stores that keep a record's head in a row of its own, and its packed versions apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from protocol.records import DamagedRecordError, Record, RecordKey, unpack
from storage.ports import ReadCheck, RecordWrite


class Head(NamedTuple):
    """Where a record stands: version 0 and a hash of zeros for an absent one."""

    version: int
    record_hash: bytes


class RecordChanges(NamedTuple):
    """The records of one call.

    Attributes:
        expected: the head each record must have: first those that are written, in the order of their first
            writes, then those that are only read.
        newest: the version each written record has afterwards, in the same order.
        superseded: versions that are newest only within the call.
    """

    expected: Mapping[RecordKey, Head]
    newest: Mapping[RecordKey, Record]
    superseded: Sequence[tuple[RecordKey, Record]]


def record_changes(writes: Iterable[RecordWrite], reads: Iterable[ReadCheck]) -> RecordChanges:
    """Put a call's writes and reads together.

    Requires that the versions of one record follow each other and are chained, and that one call expects one
    version of a record.
    """
    expected: dict[RecordKey, Head] = {}
    newest: dict[RecordKey, Record] = {}
    superseded: list[tuple[RecordKey, Record]] = []
    for key, record in writes:
        previous = newest.get(key)
        if previous is None:
            expected[key] = Head(record.version - 1, record.previous_hash)
        else:
            assert record.version == previous.version + 1, "versions of one record follow each other"
            assert record.previous_hash == previous.record_hash, "versions of one record are chained"
            superseded.append((key, previous))
        newest[key] = record
    for key, version, record_hash in reads:
        found = Head(version, record_hash)
        assert expected.setdefault(key, found) == found, "one call expects one version of a record"
    return RecordChanges(expected, newest, superseded)


def behind_head(expected: Head, packed: bytes | None) -> Record:
    """The current version that a head names.

    Raises:
        DamagedRecordError: it is missing, or another.
    """
    if packed is None:
        raise DamagedRecordError("a record's current version is missing")
    record = unpack(packed)
    if (record.version, record.record_hash) != expected:
        raise DamagedRecordError("a record's current version is not the one its head names")
    return record
