"""Records: their chain of hashes, and packed bytes of one form."""

import json
from pathlib import Path

import pytest

from protocol.records import (
    ABSENT,
    HEAD_BYTES,
    VERSION_MAX,
    DamagedRecordError,
    Record,
    RecordKey,
    head,
    pack,
    successor,
    unpack,
    verify_record,
)

LEDGER_ID = b"\x11" * 32
KEY = RecordKey("bank", "account/1")
VECTORS = json.loads((Path(__file__).parents[2] / "vectors/hashing.json").read_text())


def next_version(previous: Record, value: bytes | None, request_byte: bytes = b"\x22") -> Record:
    return successor(
        LEDGER_ID, KEY, previous, value, request_id=request_byte * 32, writer_sequence=7, writer_index=3
    )


FIRST = next_version(ABSENT, b'{"balance":100}')
DELETED = next_version(FIRST, None, b"\x33")


def test_golden_chain() -> None:
    """The hashes of version 1 and of its deletion are the published ones."""
    assert FIRST.record_hash.hex() == VECTORS["hashes"][-2]["hash"]
    assert DELETED.record_hash.hex() == VECTORS["hashes"][-1]["hash"]


def test_a_successor_follows_its_predecessor() -> None:
    """Version, previous hash and writer are those of the write."""
    assert (FIRST.version, FIRST.previous_hash, FIRST.deleted) == (1, ABSENT.record_hash, False)
    assert (DELETED.version, DELETED.previous_hash, DELETED.deleted) == (2, FIRST.record_hash, True)
    assert (FIRST.writer_sequence, FIRST.writer_index) == (7, 3)
    assert DELETED.value == b""
    assert [record.exists for record in (ABSENT, FIRST, DELETED)] == [False, True, False]


def test_a_tombstone_can_be_followed() -> None:
    """What was deleted may be created again, as version 3."""
    again = next_version(DELETED, b"1")
    assert (again.version, again.exists, again.previous_hash) == (3, True, DELETED.record_hash)
    verify_record(LEDGER_ID, KEY, again)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"deleted": True},
        {"value": b'{"balance":101}'},
        {"request_id": b"\x23" * 32},
        {"previous_hash": b"\x01" * 32},
        {"record_hash": b"\x01" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_change_breaks_the_hash(change: dict[str, object]) -> None:
    """Each hashed field is bound: altered at rest it is found on reading."""
    verify_record(LEDGER_ID, KEY, FIRST)
    with pytest.raises(DamagedRecordError):
        verify_record(LEDGER_ID, KEY, FIRST._replace(**change))  # type: ignore[arg-type]


@pytest.mark.parametrize("at", range(32))
def test_every_byte_of_a_hash_counts(at: int) -> None:
    """A hash that differs in one byte is another record's."""
    altered = bytearray(FIRST.record_hash)
    altered[at] ^= 1
    with pytest.raises(DamagedRecordError):
        verify_record(LEDGER_ID, KEY, FIRST._replace(record_hash=bytes(altered)))


def test_a_record_is_bound_to_its_place() -> None:
    """The same content under another ledger, namespace or key has another hash."""
    for ledger_id, key in (
        (b"\x12" * 32, KEY),
        (LEDGER_ID, RecordKey("bank2", "account/1")),
        (LEDGER_ID, RecordKey("bank", "account/2")),
        (LEDGER_ID, RecordKey("bankaccount", "/1")),
    ):
        with pytest.raises(DamagedRecordError):
            verify_record(ledger_id, key, FIRST)


def test_absent_needs_no_hash_and_has_no_content() -> None:
    """Version 0 passes as it is and in no other form."""
    verify_record(LEDGER_ID, KEY, ABSENT)
    with pytest.raises(DamagedRecordError):
        verify_record(LEDGER_ID, KEY, ABSENT._replace(value=b"1"))


@pytest.mark.parametrize("record", [FIRST, DELETED], ids=["value", "tombstone"])
def test_packed_bytes_come_back(record: Record) -> None:
    """`unpack` is the reverse of `pack`, and the packed bytes start with the head."""
    packed = pack(record)
    assert unpack(packed) == record
    assert packed[:HEAD_BYTES] == head(record)
    assert head(record) == record.version.to_bytes(8, "big") + record.record_hash


def test_heads_of_absent_records_are_zero() -> None:
    """What does not exist compares as 40 zero bytes."""
    assert head(ABSENT) == bytes(HEAD_BYTES)


def test_the_greatest_version_fits() -> None:
    """Versions go up to the greatest signed 64-bit number."""
    record = FIRST._replace(version=2**63 - 1)
    assert record.version == VERSION_MAX
    assert unpack(pack(record)) == record
    with pytest.raises(AssertionError):
        pack(record._replace(version=2**63))
    with pytest.raises(DamagedRecordError):
        unpack((2**63).to_bytes(8, "big") + pack(record)[8:])


def test_what_was_never_packed_is_refused() -> None:
    """Truncated, lengthened or impossible bytes raise the one error."""
    packed = pack(FIRST)
    value_less = pack(DELETED)
    deleted_at = HEAD_BYTES
    writer_at = HEAD_BYTES + 1
    damaged = [
        b"",
        packed[:-1],
        packed + b"\0",
        packed[:HEAD_BYTES],
        bytes(8) + packed[8:],
        b"\xff" * 8 + packed[8:],
        packed[:deleted_at] + b"\1" + packed[deleted_at + 1 :],
        value_less[:deleted_at] + b"\0" + value_less[deleted_at + 1 :],
        value_less[:deleted_at] + b"\2" + value_less[deleted_at + 1 :],
        packed[:writer_at] + (-2).to_bytes(8, "big", signed=True) + packed[writer_at + 8 :],
        packed[: writer_at + 8] + (-2).to_bytes(4, "big", signed=True) + packed[writer_at + 12 :],
    ]
    for data in damaged:
        with pytest.raises(DamagedRecordError):
            unpack(data)


def test_absent_is_never_packed() -> None:
    """To store version 0 is a mistake of ours."""
    with pytest.raises(AssertionError):
        pack(ABSENT)
