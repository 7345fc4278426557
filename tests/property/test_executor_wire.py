"""Whatever a client or a store brings reaches the child as it is: the same values, of the same types."""

from hypothesis import example, given
from hypothesis import strategies as st

from protocol.contracts.calls import Batch, Call
from protocol.records import ABSENT, VERSION_MAX, Record, RecordKey
from streams.executor_wire import (
    LENGTH_BYTES,
    batch_message,
    parse_batch,
    parse_rows,
    read_told,
    record_rows,
    told_frame,
)

NAMES = st.text(max_size=5)
HASHES = st.binary(min_size=32, max_size=32)
NUMBERS = st.integers(-1, VERSION_MAX) | st.sampled_from([-1, 0, 255, 256, 2**31 - 1, 2**31, 2**63 - 1])
VERSIONS = st.integers(1, VERSION_MAX)
BYTES = st.binary(max_size=9) | st.text(max_size=9).map(str.encode) | st.just(b"[" * 70_000)
CALLS = st.builds(Call, HASHES, NAMES, VERSIONS, NAMES, VERSIONS, BYTES)
VERSIONED = st.builds(Record, VERSIONS, st.booleans(), BYTES, HASHES, HASHES, HASHES, NUMBERS, NUMBERS)
RECORDS = st.dictionaries(st.builds(RecordKey, NAMES, NAMES), st.just(ABSENT) | VERSIONED, max_size=4)
BATCHES = st.builds(
    Batch,
    ledger_id=HASHES,
    sequence=NUMBERS,
    ordered_at_ms=NUMBERS,
    calls=st.lists(CALLS, max_size=4).map(tuple),
    records=RECORDS,
    first_index=NUMBERS,
)


def crossed(message: object) -> object:
    """What the child reads of what the parent says."""
    frame = told_frame(message)
    assert int.from_bytes(frame[:LENGTH_BYTES], "big") == len(frame) - LENGTH_BYTES
    return read_told(frame[LENGTH_BYTES:])


def same(found: object, sent: object) -> bool:
    """Equal, and of the same types: True is no 1, and what is absent is `ABSENT` itself, which is never verified."""
    return found == sent and repr(found) == repr(sent)


@given(BATCHES)
@example(Batch(ledger_id=b"", sequence=0, ordered_at_ms=0, calls=(), records={}))
def test_a_batch_crosses_unchanged(batch: Batch) -> None:
    """Its records in their order, too, by which both sides number them."""
    found = parse_batch(crossed(batch_message(batch)))
    assert same(found, batch)
    assert list(found.records.items()) == list(batch.records.items())
    for key, record in batch.records.items():
        assert type(found.records[key]) is Record
        assert (found.records[key] is ABSENT) is (record is ABSENT)


@given(st.lists(st.tuples(st.builds(RecordKey, NAMES, NAMES), st.just(ABSENT) | VERSIONED), max_size=4))
def test_an_answer_crosses_unchanged(records: list[tuple[RecordKey, Record]]) -> None:
    """With one key several times, too, as in a history."""
    found = parse_rows(crossed(record_rows(records)))
    assert same(found, records)
    assert [record is ABSENT for _, record in found] == [record is ABSENT for _, record in records]
    assert {type(key) for key, _ in found} <= {RecordKey}


def test_a_full_batch_of_large_requests_crosses_unchanged() -> None:
    """Nothing is cut where there is much."""
    calls = tuple(Call(bytes(32), "entity", 1, "contract", n, b"%d" % n * 4000) for n in range(1, 1001))
    batch = Batch(ledger_id=bytes(32), sequence=2**40, ordered_at_ms=2**41, calls=calls, records={})
    assert same(parse_batch(crossed(batch_message(batch))), batch)
