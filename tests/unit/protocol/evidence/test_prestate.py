"""The pre-state that a third party can know: each version with its pin, nothing missing and nothing more."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocol.evidence import build
from protocol.evidence.case import Case
from protocol.evidence.exhibits import ShownOutcome
from protocol.evidence.pins import hash_of_write, show_record
from protocol.evidence.prestate import Prestate, show_prestate
from protocol.evidence.verdicts import NothingProvenError
from protocol.hashing import ZERO_HASH, tagged
from protocol.records import ABSENT, Record, RecordKey, successor
from schemas.exhibit import ShownRecord
from schemas.order import Entry, ReadVersion, RowVersion, ScanVersions
from schemas.outcome import Outcome, WritePin
from tests.parties import make_epochs

EPOCHS = make_epochs()
A, B = RecordKey("object", "a"), RecordKey("object", "b")
KEY = RecordKey("sys", "entity/admin/key/1")
SEQUENCE = 9


def version(key: RecordKey, before: Record, value: bytes | None, sequence: int, index: int = 0) -> Record:
    """The next version of a record."""
    written = {"request_id": tagged("request", b"some"), "writer_sequence": sequence, "writer_index": index}
    return successor(EPOCHS.ledger_id, key, before, value, **written)  # type: ignore[arg-type]


A1 = version(A, ABSENT, b"1", 2)
A2 = version(A, A1, b"2", 4)
A3 = version(A, A2, None, 6, 1)
B1 = version(B, ABSENT, b"1", 6, 1)
OWN = version(B, B1, b"2", SEQUENCE)


def part(key: RecordKey, record: Record) -> ShownRecord:
    """A record as a file shows it."""
    return ShownRecord.from_bytes(build.record_part(key, record))


def pin(*written: tuple[RecordKey, Record]) -> ShownOutcome:
    """A leaf that wrote these."""
    outcome = Outcome(
        index=0,
        request_id=ZERO_HASH,
        entity="admin",
        key_version=1,
        contract="c",
        contract_version=1,
        status="ok",
        code="",
        fail_text="",
        output_hash=ZERO_HASH,
        reads=(),
        scans=(),
        writes=tuple(WritePin(*key, r.version, r.deleted, r.record_hash) for key, r in written),
    )
    record = written[0][1]
    return ShownOutcome(sequence=record.writer_sequence, index=record.writer_index, outcome_bytes=outcome.to_bytes())


def read(key: RecordKey, record: Record) -> ReadVersion:
    """An entry's read of it."""
    return ReadVersion(*key, record.version, record.writer_sequence, record.writer_index)


def entry(*reads: ReadVersion, rows: Sequence[tuple[RecordKey, Record]] = ()) -> Entry:
    """An entry with these reads, and with a scan of these rows if there are any."""
    found = tuple(RowVersion(key.key, r.version, r.writer_sequence, r.writer_index) for key, r in rows)
    scans = (ScanVersions("object", "", "", 9, "", True, found),) if rows else ()
    return Entry(index=1, envelope=b"", reads=reads, scans=scans, writes=())


def show(
    asked: Entry, *records: ShownRecord, pins: Sequence[ShownOutcome] = (), own: Sequence[ShownOutcome] = ()
) -> Prestate:
    """The pre-state out of a file with these parts."""
    case = Case(epochs=EPOCHS, parts={"record": [record.to_bytes() for record in records]})
    return show_prestate(case, asked, SEQUENCE, pins, own)


def test_what_is_shown_with_its_pin_is_known() -> None:
    """Read or scanned or both, of several writers and of the batch itself; what the entry names as absent is."""
    asked = entry(read(A, A3), read(RecordKey("object", "c"), ABSENT), rows=[(A, A3), (B, OWN)])
    pins = [pin((A, A3), (B, B1))]
    state = show(asked, part(A, A3), part(B, OWN), pins=pins, own=[pin((B, OWN))])
    assert (state.record(A), state.record(B)) == (A3, OWN)
    assert state.record(RecordKey("object", "c")) == state.record(RecordKey("other", "a")) == ABSENT


def test_records_of_the_genesis_need_no_pin() -> None:
    """They are known to whoever trusts the ledger; one of another version is not."""
    state = show(entry(ReadVersion(*KEY, 1, -1, 0)))
    assert (state.record(KEY).version, state.record(KEY).writer_sequence) == (1, -1)
    for odd in (ReadVersion(*KEY, 2, -1, 0), ReadVersion(*A, 1, -1, 0)):
        with pytest.raises(NothingProvenError, match="genesis"):
            show(entry(odd))


def test_older_versions_as_far_as_they_are_shown() -> None:
    """From new to old, and no others than those asked for."""
    asked, pins = entry(read(A, A3)), [pin((A, A3))]
    state = show(asked, part(A, A1), part(A, A3), part(A, A2), pins=pins)
    numbers = {
        (newest, count): [record.version for record in state.versions(A, newest, count)]
        for newest, count in ((2, 9), (2, 1), (1, 9), (0, 9))
    }
    assert numbers == {(2, 9): [2, 1], (2, 1): [2], (1, 9): [1], (0, 9): []}
    assert state.versions(B, 9, 9) == []
    assert show(asked, part(A, A3), part(A, A2), pins=pins).versions(A, 2, 9)[0].version == 2


def test_a_range_of_what_the_entry_names() -> None:
    """From its start on, its end not among it, in order and of one namespace; at most as many as asked for."""
    state = show(
        entry(read(B, B1), read(A, A3), ReadVersion(*KEY, 1, -1, 0)),
        part(A, A3),
        part(B, B1),
        pins=[pin((A, A3), (B, B1))],
    )
    assert [name for name, _ in state.scan("object", "", "", 9)] == ["a", "b"]
    assert state.scan("object", "a", "b", 9) == [("a", A3)]
    assert state.scan("object", "b", "", 9) == [("b", B1)]
    assert state.scan("object", "", "", 1) == [("a", A3)]
    assert state.scan("object", "c", "", 9) == state.scan("other", "", "", 9) == []


FORGED = replace(part(A, A2), value=b"9")
PINNED = [pin((A, A3))]
REFUSED = {
    "a pin is missing": (entry(read(A, A3)), [part(A, A3)], [], [], "not shown with its pin"),
    "a record is missing": (entry(read(A, A3)), [], PINNED, [], "not shown with its pin"),
    "a pin of another place": (entry(read(A, A3)), [part(A, A3)], [pin((A, A2))], [], "not shown with its pin"),
    "a pin of another version": (entry(read(A, A3)), [part(A, A3)], [pin((B, B1))], [], "did not write"),
    "a record other than it was written": (
        entry(read(A, A3)),
        [replace(part(A, A3), request_id=ZERO_HASH)],
        PINNED,
        [],
        "not shown as it was written",
    ),
    "a pin too many": (entry(read(A, A3)), [part(A, A3)], [*PINNED, pin((A, A1))], [], "a pin is not needed"),
    "a pin twice": (entry(read(A, A3)), [part(A, A3)], PINNED * 2, [], "stands twice"),
    "a pin of both kinds": (entry(read(A, A3)), [part(A, A3)], PINNED, PINNED, "stands twice"),
    "a pin of the batch itself": (entry(read(B, OWN)), [part(B, OWN)], [pin((B, OWN))], [], "not earlier"),
    "a record too many": (entry(read(A, A3)), [part(A, A3), part(B, B1)], PINNED, [], "a record shown is not needed"),
    "a version with a gap": (entry(read(A, A3)), [part(A, A3), part(A, A1)], PINNED, [], "not needed"),
    "a record twice": (entry(read(A, A3)), [part(A, A3)] * 2, PINNED, [], "shown twice"),
    "a version that does not chain": (entry(read(A, A3)), [part(A, A3), FORGED], PINNED, [], "does not chain"),
    "two versions of one record": (
        entry(read(A, A3), rows=[(A, A2)]),
        [part(A, A3), part(A, A2)],
        [*PINNED, pin((A, A2))],
        [],
        "two versions",
    ),
}


@pytest.mark.parametrize(("asked", "records", "pins", "own", "why"), REFUSED.values(), ids=REFUSED)
def test_what_proves_nothing(
    asked: Entry, records: list[ShownRecord], pins: list[ShownOutcome], own: list[ShownOutcome], why: str
) -> None:
    """Each for a reason of its own."""
    with pytest.raises(NothingProvenError, match=why):
        show(asked, *records, pins=pins, own=own)


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1])
def test_versions_that_a_record_can_have(number: int) -> None:
    """From 1 on; a value is there or deleted, and not both."""
    case = Case(epochs=EPOCHS, parts={})
    shown = replace(part(A, A1), version=number)
    if number > 0:
        assert show_record(case, shown.to_bytes())[1].version == number
    else:
        with pytest.raises(NothingProvenError):
            show_record(case, shown.to_bytes())
    for odd in (replace(part(A, A1), deleted=True), replace(part(A, A3), deleted=False)):
        with pytest.raises(NothingProvenError):
            show_record(case, odd.to_bytes())


def test_a_leaf_pins_what_it_wrote_once() -> None:
    """This record in this version; a leaf that wrote it twice has given it no hash."""
    leaf = pin((A, A3), (B, B1))
    assert (hash_of_write(leaf, A, 3), hash_of_write(leaf, B, 1)) == (A3.record_hash, B1.record_hash)
    for key, number in ((A, 2), (A, 1), (B, 3), (RecordKey("other", "a"), 3)):
        with pytest.raises(NothingProvenError):
            hash_of_write(leaf, key, number)
    twice = pin((A, A3), (A, A3._replace(record_hash=ZERO_HASH)))
    with pytest.raises(NothingProvenError):
        hash_of_write(twice, A, 3)
