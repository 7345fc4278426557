"""From executions to leaves, roots, conditions and writes, as both parties must compute them alike."""

from dataclasses import replace
from typing import Any

import pytest

from protocol import merkle
from protocol.batches import AssembledBatch, assemble, entry_of, leaves_of, outcome_of
from protocol.contracts.calls import Execution, Read, Row, Scan, Write
from protocol.hashing import ZERO_HASH, tagged
from protocol.records import ABSENT, Record, RecordKey, successor
from protocol.requests import OpenedRequest
from schemas.order import Entry, ReadVersion, RowVersion, ScanVersions, WriteVersion
from schemas.outcome import Outcome, ReadPin, RowPin, ScanPins, WritePin
from tests.worlds import World

SEQUENCE = 7
LEDGER_ID = tagged("genesis", b"batches")
A, B = RecordKey("object", "a"), RecordKey("object", "b")


def requests(*entities: str) -> list[OpenedRequest]:
    """One request of each of these entities; who signed it does not matter here."""
    world = World()
    return [world.request("object.put", {"key": "a", "value": 1}, entity, "admin") for entity in entities]


def written(key: RecordKey, before: Record, value: bytes | None, index: int) -> Record:
    """A version written by this batch."""
    request_id = tagged("request", bytes((index,)))
    return successor(LEDGER_ID, key, before, value, request_id=request_id, writer_sequence=SEQUENCE, writer_index=index)


def read_of(key: RecordKey, record: Record) -> Read:
    """A read of it."""
    return Read(*key, record.version, record.writer_sequence, record.writer_index, record.record_hash)


def execution(
    index: int, *, reads: tuple[Read, ...] = (), writes: tuple[Write, ...] = (), output: bytes = b"1"
) -> Execution:
    """An execution that ended well, without scans."""
    return Execution(index, "ok", "", "", output, reads, (), writes)


OLD = successor(LEDGER_ID, A, ABSENT, b"1", request_id=ZERO_HASH, writer_sequence=SEQUENCE - 1, writer_index=4)
FIRST = written(A, OLD, b"2", 0)
DELETED = written(A, FIRST, None, 1)
SCAN = Scan("object", "a", "z", 9, "z", True, (Row("a", 2, SEQUENCE, 0, FIRST.record_hash),))


def batch() -> tuple[list[OpenedRequest], list[Execution], AssembledBatch]:
    """Three requests: one writes a, one reads that and deletes it, one fails."""
    asked = requests("admin", "bob", "admin")
    executions = [
        execution(0, reads=(read_of(A, OLD), read_of(B, ABSENT)), writes=(Write(*A, FIRST),), output=b"[]"),
        execution(1, reads=(read_of(A, FIRST),), writes=(Write(*A, DELETED),), output=b"{}"),
        Execution(2, "failed", "contract.failed", "no", b"", (read_of(A, DELETED),), (SCAN,), ()),
    ]
    return asked, executions, assemble(asked, executions, SEQUENCE)


def test_the_leaves_are_the_entries_and_outcomes() -> None:
    """In the batch's order; the outcomes' root is over them, and an output that failed keeps its place."""
    asked, executions, made = batch()
    pairs = list(zip(asked, executions, strict=True))
    assert made.entries == tuple(entry_of(*pair).to_bytes() for pair in pairs)
    assert made.outcomes == tuple(outcome_of(*pair).to_bytes() for pair in pairs)
    assert made.outcomes_root == merkle.root(made.outcomes)
    assert made.outputs == (b"[]", b"{}", b"")
    assert [Outcome.from_bytes(leaf).entity for leaf in made.outcomes] == ["admin", "bob", "admin"]


def test_every_write_has_its_value() -> None:
    """In the outcomes' order; a deletion's is empty, and has its place too."""
    _, _, made = batch()
    assert made.writes == ((A, FIRST), (A, DELETED))
    assert made.values == (b"2", b"")


def test_only_what_was_there_before_is_a_condition() -> None:
    """A version that the batch wrote itself is none; an absent record is one, by version 0 and zeros."""
    _, _, made = batch()
    assert made.reads == ((A, 1, OLD.record_hash), (B, 0, ZERO_HASH))


def test_a_version_read_twice_is_one_condition() -> None:
    """However many requests of the batch read it."""
    asked = requests("admin", "admin")
    both = [execution(index, reads=(read_of(B, ABSENT), read_of(A, OLD))) for index in range(2)]
    assert assemble(asked, both, SEQUENCE).reads == ((B, 0, ZERO_HASH), (A, 1, OLD.record_hash))


def test_a_genesis_record_is_a_condition_of_the_first_batch() -> None:
    """Its writer is sequence -1, which is nobody's own."""
    genesis = OLD._replace(writer_sequence=-1)
    made = assemble(requests("admin"), [execution(0, reads=(read_of(A, genesis),))], 0)
    assert made.reads == ((A, 1, OLD.record_hash),)


def test_an_empty_batch() -> None:
    """Nothing but the root over nothing."""
    assert assemble([], [], SEQUENCE) == AssembledBatch(
        entries=(), outcomes=(), outcomes_root=merkle.EMPTY_ROOT, outputs=(), values=(), reads=(), writes=()
    )


def test_executions_stand_at_their_places() -> None:
    """One for each request, numbered from 0: anything else is our own mistake."""
    with pytest.raises(AssertionError):
        assemble(requests("admin"), [], SEQUENCE)
    with pytest.raises(AssertionError):
        assemble(requests("admin"), [execution(1)], SEQUENCE)


def test_an_entry_names_versions_and_an_outcome_pins_them() -> None:
    """The entry has no hashes and no values; the outcome repeats whose request it was, and hashes its output."""
    (request,) = requests("bob")
    asked = request.body
    made = Execution(3, "ok", "", "", b"5", (read_of(A, OLD),), (SCAN,), (Write(*A, DELETED),))
    entry, outcome = leaves_of(request, made)
    assert Entry.from_bytes(entry) == Entry(
        index=3,
        envelope=request.envelope_bytes,
        reads=(ReadVersion("object", "a", 1, SEQUENCE - 1, 4),),
        scans=(ScanVersions("object", "a", "z", 9, "z", True, (RowVersion("a", 2, SEQUENCE, 0),)),),
        writes=(WriteVersion("object", "a", 3, True),),
    )
    assert Outcome.from_bytes(outcome) == Outcome(
        index=3,
        request_id=request.request_id,
        entity="bob",
        key_version=asked.key_version,
        contract="object.put",
        contract_version=asked.contract_version,
        status="ok",
        code="",
        fail_text="",
        output_hash=tagged("output", b"5"),
        reads=(ReadPin("object", "a", 1, SEQUENCE - 1, 4, OLD.record_hash),),
        scans=(ScanPins("object", "a", "z", 9, "z", True, (RowPin("a", 2, SEQUENCE, 0, FIRST.record_hash),)),),
        writes=(WritePin("object", "a", 3, True, DELETED.record_hash),),
    )


@pytest.mark.parametrize("field", ["entity", "key_version", "contract", "contract_version"])
def test_what_requests_have_in_common_is_told_apart(field: str) -> None:
    """Parts that are encoded once for a batch are not taken for another request's: each field makes a difference."""
    first, second = requests("admin", "admin")
    changes: dict[str, Any] = {field: "other" if field in ("entity", "contract") else 9}
    other = replace(second.body, **changes)
    asked = [first, second._replace(body=other), first]
    swapped = read_of(RecordKey("a", "object"), OLD)
    executions = [execution(index, reads=(read_of(A, OLD), swapped)) for index in range(3)]
    made = assemble(asked, executions, SEQUENCE)
    alone = [leaves_of(*pair) for pair in zip(asked, executions, strict=True)]
    assert list(zip(made.entries, made.outcomes, strict=True)) == alone
    assert [getattr(Outcome.from_bytes(leaf), field) for leaf in made.outcomes] == [
        getattr(request.body, field) for request in asked
    ]
    assert [(read.namespace, read.key) for read in Outcome.from_bytes(made.outcomes[2]).reads] == [A, ("a", "object")]
