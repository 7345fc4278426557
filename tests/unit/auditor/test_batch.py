"""What one batch changes in the store, what must still be true for it, and the state after it."""

import hmac
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from auditor.batch import BatchBuilder, ExecutedBatch, OrderedBatch
from auditor.candidates import Candidates, open_messages
from auditor.state import OrderState
from protocol import merkle
from protocol.contracts.calls import Execution, Read, Rejected, Write
from protocol.hashing import ZERO_HASH, tagged
from protocol.limits import Limits
from protocol.records import ABSENT, RecordKey, successor
from protocol.requests import OpenedRequest
from protocol.signatures import commitment, order_hash, statement_hash
from schemas.order import Entry, Kind, OrderHeader
from schemas.outcome import Outcome
from schemas.rejection import Rejections, RejectionsHeader
from schemas.statement import Statement, Update
from storage.effects import Message
from storage.ports import OutboxTrim, ReadCheck, ReplayEntry, RequestExpiry, ScanRange, ScanRows, StoreCall
from tests.parties import make_epochs
from tests.worlds import START_MS, World

SECRET = b"secret" * 6
A = RecordKey("object", "a")
KEY_READ = Read("sys", "entity/admin/key/1", 1, -1, 0, b"k" * 32)


def execution(
    index: int, *reads: Read, output: bytes = b"1", values: Sequence[bytes] = (), key: RecordKey = A, sequence: int = 5
) -> Execution:
    """One that went well, and wrote these values one on top of the other."""
    writes: list[Write] = []
    record = ABSENT
    for value in values:
        record = successor(
            b"l" * 32, key, record, value, request_id=b"r" * 32, writer_sequence=sequence, writer_index=index
        )
        writes.append(Write(*key, record))
    return Execution(index, "ok", "", "", output, reads, (), tuple(writes))


def started(**changes: Any) -> OrderState:
    return replace(OrderState.start(make_epochs()), **changes)


def message_of(request: OpenedRequest, partition: int = 0, offset: int = 0, leader_epoch: int = 0) -> Message:
    return Message("requests", partition, offset, leader_epoch, None, request.envelope.to_message(), START_MS)


def executed(world: World, *requests: OpenedRequest, settled: Sequence[Message] = ()) -> ExecutedBatch:
    """Candidates whose results are still to be sorted in."""
    messages = [message_of(request, offset=offset) for offset, request in enumerate(requests)]
    candidates = open_messages(messages, world.ledger_id, Limits())
    return ExecutedBatch(settled=tuple(settled or messages), candidates=candidates, scans=())


def build(
    state: OrderState, batch: ExecutedBatch, kind: Kind = "normal", ordered_at_ms: int = START_MS
) -> OrderedBatch:
    return BatchBuilder(make_epochs(), SECRET).build(state, batch, ordered_at_ms, kind)


def ordered_update(call: StoreCall) -> Update:
    (entry,) = [entry for entry in call.outbox_put if entry.kind == "order"]
    return Update.from_bytes(entry.message)


# --- What was executed ---


def test_results_are_sorted_into_ordered_and_rejected_ones() -> None:
    """Each request beside its own result, as far as results go; a rejection relies on what it read."""
    world = World()
    requests = [world.put("a", number) for number in range(4)]
    batch = executed(world, *requests)
    unknown = Rejected(code="contract.unknown", final=True, reads=(KEY_READ,))
    results: list[Execution | Rejected] = [execution(0), unknown, execution(1)]
    batch.sort(results, sequence=5)
    assert batch.requests == [requests[0], requests[2]]
    assert batch.executions == [results[0], results[2]]
    (entry,) = batch.candidates.rejections.entries
    assert (entry.request_id, entry.code) == (requests[1].request_id, "contract.unknown")
    key = RecordKey(*KEY_READ[:2])
    assert batch.reads == {key: ReadCheck(key, 1, b"k" * 32)}


def test_what_the_batch_itself_wrote_is_no_condition_on_the_store() -> None:
    """Only versions that were there before are looked for."""
    batch = executed(World())
    batch.rely_on([Read("object", "a", 3, 5, 0, b"a" * 32), Read("object", "b", 3, 4, 0, b"b" * 32)], sequence=5)
    assert list(batch.reads) == [RecordKey("object", "b")]


# --- The call ---


def test_a_batch_is_one_call() -> None:
    """It expects the state before it, that its requests were not seen, and every version that anything relied on; it
    writes versions, guard, cells and outbox together, and lets go of what nobody will ask for again.
    """
    world = World()
    first, second, third = world.put("a", 1), world.put("a", 2), world.put("b", 1)
    scan = ScanRows(ScanRange("object", "", "", 3), (), "", True)
    batch = executed(world, first, second, third)
    batch.scans = (scan,)
    state = started(decided=-1, rejection_number=3, rejection_hash=b"p" * 32)
    gone = Read("sys", "contract/object.put/1", 1, -1, 0, b"c" * 32)
    wrote = execution(0, KEY_READ, values=[b"1", b"2"], sequence=0)
    built = Read("object", "a", 2, 0, 0, wrote.writes[-1].record.record_hash)
    batch.sort([wrote, Rejected(code="contract.unknown", final=True, reads=(gone,)), execution(1, built)], sequence=0)
    made = build(state, batch)
    call = made.call
    assert (made.ordered, made.rejected) == (2, 1)
    assert call.expected_cells == state.expected()
    assert call.cells == made.state.cells()
    assert call.unseen == (
        RequestExpiry(first.request_id, first.body.expiry_ms),
        RequestExpiry(third.request_id, third.body.expiry_ms),
    )
    assert set(call.reads) == {
        ReadCheck(RecordKey(*KEY_READ[:2]), 1, b"k" * 32),
        ReadCheck(RecordKey(*gone[:2]), 1, b"c" * 32),
    }
    assert call.scans == (scan.check(),)
    assert [(write.key, write.record.value) for write in call.writes] == [(A, b"1"), (A, b"2")]
    assert call.replay == (
        ReplayEntry(first.request_id, first.body.expiry_ms, 0),
        ReplayEntry(third.request_id, third.body.expiry_ms, 0),
        ReplayEntry(second.request_id, second.body.expiry_ms, -1),
    )
    assert call.evict_before_ms == START_MS
    assert [(entry.kind, entry.number) for entry in call.outbox_put] == [("order", 0), ("rejections", 4)]


def test_orders_are_kept_for_two_windows_behind_the_last_decision() -> None:
    """Decisions are made of them again; of the rejections the last batch may not have been sent."""
    call = build(started(decided=500, rejection_number=3), executed(World())).call
    assert call.outbox_trim == (OutboxTrim("order", 500 - 2 * 64), OutboxTrim("rejections", 3))


def test_positions_go_behind_what_is_settled_partition_by_partition() -> None:
    """Rubbish is settled too; a partition of which nothing came keeps its place."""
    world = World()
    settled = [
        message_of(world.put("a", 1), partition=0, offset=7, leader_epoch=2),
        message_of(world.put("a", 2), partition=2, offset=3, leader_epoch=-1),
        message_of(world.put("a", 3), partition=0, offset=9, leader_epoch=4),
    ]
    state = started(positions={0: (7, 1), 1: (5, 5)})
    after = build(state, executed(world, settled=settled)).state
    assert after.positions == {0: (10, 4), 1: (5, 5), 2: (4, -1)}
    assert state.positions == {0: (7, 1), 1: (5, 5)}


def test_a_batch_that_orders_nothing_takes_no_sequence() -> None:
    """Time, positions and what it relied on are noted all the same."""
    world = World()
    batch = executed(world, world.put("a", 1))
    batch.sort([Rejected(code="contract.unknown", final=True, reads=(KEY_READ,))], sequence=0)
    state = started()
    made = build(state, batch)
    assert (made.state.sequence, made.state.order_hash) == (-1, ZERO_HASH)
    assert made.state.ordered_at_ms == START_MS
    assert [entry.kind for entry in made.call.outbox_put] == ["rejections"]
    assert made.call.expected_cells == state.expected()
    assert [read.record_hash for read in made.call.reads] == [b"k" * 32]
    assert (made.ordered, made.rejected) == (0, 1)


# --- The order ---


def test_an_order_follows_the_one_before_it_and_fixes_what_came_of_it() -> None:
    """Header, statement, entries and outcomes fit each other, and the salt opens the commitment."""
    world = World()
    _, earlier = world.order(world.put("x", 1))
    state = started(
        head=OrderState.start(make_epochs()).head.advance(earlier.statement), order_hash=b"o" * 32, ordered_at_ms=7
    )
    batch = executed(world, world.put("a", 1), world.put("a", 2))
    batch.sort([execution(0, KEY_READ, values=[b"1"], sequence=1), execution(1, sequence=1)], sequence=1)
    made = build(state, batch, ordered_at_ms=START_MS + 5)
    update = ordered_update(made.call)
    header = OrderHeader.from_bytes(update.header)
    assert header == OrderHeader(
        format=1,
        ledger_id=world.ledger_id,
        epoch=0,
        sequence=1,
        previous_order_hash=b"o" * 32,
        kind="normal",
        entries_root=merkle.root(update.entries),
        count=2,
        ordered_at_ms=START_MS + 5,
        commitment=commitment(update.salt, merkle.root(update.outcomes)),
    )
    assert [Entry.from_bytes(entry).envelope for entry in update.entries] == [r.envelope_bytes for r in batch.requests]
    assert [Outcome.from_bytes(outcome).request_id for outcome in update.outcomes] == [
        request.request_id for request in batch.requests
    ]
    assert (update.outputs, update.values) == ((b"1", b"1"), (b"1",))
    statement = Statement.from_bytes(update.statement)
    assert statement == Statement(
        format=1,
        ledger_id=world.ledger_id,
        epoch=0,
        sequence=1,
        order_hash=order_hash(update.header),
        outcomes_root=merkle.root(update.outcomes),
        count=2,
        ordered_at_ms=START_MS + 5,
        kind="normal",
        previous_statement_hash=statement_hash(earlier.statement),
        journal_root=merkle.root([statement_hash(earlier.statement)]),
    )
    assert made.state.order_hash == order_hash(update.header)
    assert made.state.head == state.head.advance(update.statement)
    assert made.state.ordered_at_ms == START_MS + 5


def test_the_salt_is_a_function_of_the_order_and_the_secret() -> None:
    """It comes out the same after the store is lost, and nobody without the secret can guess it (RECOVERY)."""
    world = World()
    batch = executed(world, world.put("a", 1))
    batch.sort([execution(0, sequence=0)], sequence=0)
    update = ordered_update(build(started(epoch=0), batch).call)
    root = merkle.root(update.entries)
    of_order = tagged("salt", world.ledger_id, bytes(8), bytes(8), root)
    assert update.salt == hmac.new(SECRET, of_order, sha256).digest()


@pytest.mark.parametrize("rejecting", [False, True])
def test_an_empty_order_has_a_sequence_and_nothing_else(rejecting: bool) -> None:
    """The paper's null; what was rejected meanwhile is rejected as of after it."""
    world = World()
    batch = executed(world, world.put("a", 1))
    if rejecting:
        batch.sort([Rejected(code="contract.unknown", final=True)], sequence=0)
    made = build(started(), batch, kind="empty")
    update = ordered_update(made.call)
    header = OrderHeader.from_bytes(update.header)
    assert (header.kind, header.count, header.sequence) == ("empty", 0, 0)
    assert (update.entries, update.outcomes, made.state.sequence, made.ordered) == ((), (), 0, 0)
    assert [entry.kind for entry in made.call.outbox_put] == ["order", "rejections"][: 1 + rejecting]


def test_rejections_are_chained_and_numbered_and_say_as_of_when() -> None:
    """As of the batch's own order, where there is one; else of the last."""
    world = World()
    requests = world.put("a", 1), world.put("b", 1)
    rejected = Rejected(code="contract.unknown", final=True)
    state = started(rejection_number=6, rejection_hash=b"p" * 32)
    for first, as_of in ((execution(0, sequence=0), 0), (rejected, -1)):
        results: list[Execution | Rejected] = [first, rejected]
        batch = executed(world, *requests)
        batch.sort(results, sequence=0)
        made = build(state, batch)
        (waiting,) = [entry for entry in made.call.outbox_put if entry.kind == "rejections"]
        unsigned = Rejections.from_bytes(waiting.message)
        header = RejectionsHeader.from_bytes(unsigned.header)
        assert header == RejectionsHeader(
            ledger_id=world.ledger_id,
            epoch=0,
            rejection_number=7,
            previous_hash=b"p" * 32,
            as_of_sequence=as_of,
            entries_root=merkle.root(unsigned.entries),
            count=len(unsigned.entries),
        )
        assert unsigned.entries == tuple(entry.to_bytes() for entry in batch.candidates.rejections.entries)
        assert made.state.rejection_number == waiting.number == 7
        assert made.state.rejection_hash == tagged("rejections", unsigned.header)


def test_without_rejections_their_chain_stands_still() -> None:
    """Numbers have no gaps: a client sees at once that one is missing."""
    state = started(rejection_number=6, rejection_hash=b"p" * 32)
    batch = ExecutedBatch(settled=(), candidates=Candidates(), scans=())
    after = build(state, batch, kind="empty").state
    assert (after.rejection_number, after.rejection_hash) == (6, b"p" * 32)
