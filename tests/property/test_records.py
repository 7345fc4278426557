"""Any record comes back from its bytes, and any bytes are a record's one form or refused."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.records import (
    ABSENT,
    VERSION_MAX,
    DamagedRecordError,
    Record,
    RecordKey,
    head,
    pack,
    record_hash,
    successor,
    unpack,
    verify_record,
)
from tests.reference import hashing as reference

HASHES = st.binary(min_size=32, max_size=32)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
RECORDS = st.builds(
    lambda version, value, hashes, sequence, index: Record(
        version, not value, value, hashes[0], hashes[1], hashes[2], sequence, index
    ),
    st.integers(1, VERSION_MAX),
    st.binary(max_size=100),
    st.tuples(HASHES, HASHES, HASHES),
    st.integers(-1, 2**63 - 1),
    st.integers(-1, 2**31 - 1),
)


@given(RECORDS)
def test_a_record_comes_back(record: Record) -> None:
    """Packing loses nothing, and the bytes start with the head."""
    assert unpack(pack(record)) == record
    assert pack(record).startswith(head(record))


@given(RECORDS, st.data())
def test_any_bytes(packed: Record, changes: st.DataObject) -> None:
    """Bytes are what some record packs into, or damaged."""
    whole = pack(packed)
    at = changes.draw(st.integers(0, len(whole)))
    data = whole[:at] + changes.draw(st.binary(max_size=2)) + whole[at + changes.draw(st.integers(0, 2)) :]
    try:
        record = unpack(data)
    except DamagedRecordError:
        return
    assert pack(record) == data


@given(HASHES, TEXTS, TEXTS, st.lists(st.none() | st.binary(min_size=1, max_size=20), min_size=1, max_size=5))
def test_a_chain(ledger_id: bytes, namespace: str, key: str, values: list[bytes | None]) -> None:
    """Each version's hash is the definition's and covers the version before it."""
    place = RecordKey(namespace, key)
    record = ABSENT
    for number, value in enumerate(values, 1):
        previous = record
        record = successor(
            ledger_id, place, previous, value, request_id=bytes(32), writer_sequence=0, writer_index=number
        )
        deleted, content = value is None, value or b""
        parts = [ledger_id, namespace.encode(), key.encode(), number.to_bytes(8, "big"), bytes([deleted])]
        parts += [content, bytes(32), previous.record_hash]
        assert record.record_hash == reference.tagged("record", parts)
        assert record.record_hash == record_hash(ledger_id, place, number, deleted, content, *parts[-2:])
        verify_record(ledger_id, place, unpack(pack(record)))
