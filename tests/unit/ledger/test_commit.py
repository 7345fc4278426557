"""The committing machine, effect by effect: which orders it takes, and what comes of one that it commits."""

from dataclasses import replace

import pytest

from protocol.contracts.calls import Execution, Rejected
from protocol.records import RecordKey
from protocol.signatures import order_hash, statement_hash
from schemas.order import Order, OrderHeader
from schemas.request import RecordName
from schemas.statement import Result
from storage.effects import (
    Apply,
    Event,
    Execute,
    Executed,
    Fetch,
    Halt,
    Note,
    Position,
    Publish,
    Receive,
    Report,
    Seek,
    Sign,
    Verify,
)
from storage.ports import Place
from tests.gallery.hanging import order_of
from tests.parties import key_of
from tests.unit.ledger.committing import COMMITTED, A, Committer, kinds, measured, of_kind
from tests.worlds import MINUTE_MS, World


@pytest.fixture
def committer() -> Committer:
    return Committer()


# --- What comes of an order ---


def test_a_new_ledger_reads_both_topics_from_their_start(committer: Committer) -> None:
    """It has nothing to send, and waits for orders and decisions."""
    (seek,) = of_kind(committer.asked, Seek)
    assert seek.positions == (Position("orders", 0, -2), Position("decisions", 0, -2))
    waits = committer.asked[-1]
    assert isinstance(waits, Receive)
    assert set(waits.topics) == {"orders", "decisions"}
    assert waits.wait_ms == 1000
    assert not committer.published


def test_the_result_is_that_of_an_honest_ledger(committer: Committer) -> None:
    """Byte for byte, signature too, for batches that write, delete, fail and read what the batch itself wrote."""
    world = committer.world
    orders = [
        committer.decide(world.put("a", 1), world.put("b", 2), world.get("a")),
        committer.decide(world.get("nothing")),
        committer.decide(world.put("a", 3), world.request("object.delete", {"key": "a"}), world.get("a")),
        committer.decide(world.enrol("bob")),
    ]
    for order in orders:
        committer.take(order)
    assert committer.values("results") == committer.expected(0, 1, 2, 3)
    for key, versions in world.ledger.history.items():
        assert committer.record(key) == versions[-1]


def test_a_contract_is_told_the_time_of_the_order(committer: Committer) -> None:
    """Not the Ledger's own, which is another."""
    source = 'def execute(argument):\n    put("object", "time", ordered_at())\n'
    world = committer.world
    register = world.request("sys.contract.register", {"contract": "clock", "source": source, "version": 1})
    committer.take(committer.decide(register))
    committer.take(committer.decide(world.request("clock", {})))
    assert committer.values("results") == committer.expected(0, 1)
    assert committer.record(RecordKey("object", "time")).value == str(world.now_ms).encode()


def test_what_was_fetched_goes_along_to_the_executor(committer: Committer) -> None:
    """So a child asks for nothing that its client said the request will touch."""
    world = committer.world
    committer.commit(1)
    request = world.request("object.get", {"key": "a"}, keys=(RecordName("object", "a"),))
    (execute,) = of_kind(committer.take(committer.decide(request)), Execute)
    expected = (A, RecordKey("sys", "entity/admin/key/1"), RecordKey("sys", "contract/object.get/1"))
    assert execute.batch.records == {key: world.ledger.record(key) for key in expected}


def test_a_signature_over_many_requests_is_checked_once(committer: Committer) -> None:
    """A busy client costs one verification per batch; each request of it is covered."""
    world = committer.world
    together = world.sign(*[world.body("object.put", {"key": str(number), "value": 1}) for number in range(4)])
    _, verify = of_kind(committer.take(committer.decide(*together, world.get("a"))), Verify)
    assert len(verify.checks) == 2
    assert committer.values("results") == committer.expected(0)


def test_stored_then_noted_then_signed_then_sent(committer: Committer) -> None:
    """Nothing is signed that is not on the disk and in the guard; nothing is executed that is not authentic."""
    effects = committer.take(committer.decide())
    assert kinds(effects) == [Verify, *COMMITTED]


def test_what_is_noted_is_the_statement(committer: Committer) -> None:
    """Its place, its own hash and that of the statement before it."""
    committer.commit(2)
    statements = [committer.world.updates[sequence].statement for sequence in range(2)]
    hashes = [statement_hash(statement) for statement in statements]
    places = [note.places for note in of_kind(committer.asked, Note)]
    assert places == [
        (Place("statement", 0, 0, hashes[0], bytes(32)),),
        (Place("statement", 0, 1, hashes[1], hashes[0]),),
    ]


def test_the_stores_call_holds_all_of_a_batch(committer: Committer) -> None:
    """What must be so: the cells, no request seen, every record read; and what is changed: records, replay guard,
    cells, and the outbox with the result and its order.
    """
    world = committer.world
    committer.take(committer.decide(world.put("a", 1)))
    before = committer.state
    requests = (world.put("a", 2), world.get("a"), world.get("b"))
    order = committer.decide(*requests)
    message = committer.ordered(order)
    (apply,) = of_kind(committer.deliver(message), Apply)
    call = apply.call
    header = OrderHeader.from_bytes(order.header)
    assert call.expected_cells == before.expected()
    assert [unseen.request_id for unseen in call.unseen] == [request.request_id for request in requests]
    read = {check.key: (check.version, check.record_hash) for check in call.reads}
    first = world.ledger.history[A][0]
    assert read[A] == (1, first.record_hash)
    assert len(read) == len(call.reads)
    assert {key.key for key in read} > {"a", "b", "entity/admin/key/1", "contract/object.put/1", "namespace/object"}
    assert [(write.key, write.record) for write in call.writes] == [(A, world.ledger.record(A))]
    expiries = [request.body.expiry_ms for request in requests]
    assert [entry.sequence for entry in call.replay] == [1, 1, 1]
    assert [entry.expiry_ms for entry in call.replay] == [unseen.expiry_ms for unseen in call.unseen] == expiries
    assert [entry.request_id for entry in call.replay] == [unseen.request_id for unseen in call.unseen]
    assert call.evict_before_ms == header.ordered_at_ms
    kept = {entry.kind: entry for entry in call.outbox_put}
    assert {kind: entry.number for kind, entry in kept.items()} == {"result": 1, "order": 1}
    assert Order.from_bytes(kept["order"].message) == order
    unsigned = Result.from_bytes(kept["result"].message)
    assert unsigned.ledger_signature == bytes(64), "it is not signed before it is stored"
    assert unsigned == replace(Result.from_message(committer.expected(1)[0]), ledger_signature=bytes(64))
    state = committer.state
    assert (state.sequence, state.verified, state.ordered_at_ms) == (1, -1, header.ordered_at_ms)
    assert state.order_hash == order_hash(order.header)
    assert (state.orders, state.decisions) == ((message.offset + 1, message.leader_epoch), (-2, -1))


def test_a_scanned_range_is_read_again_in_the_call(committer: Committer) -> None:
    """The check is of the rows that the store held, not of what the request saw of its own batch."""
    source = 'def execute(argument):\n    return scan("object", "", "", 10)\n'
    world = committer.world
    register = world.request("sys.contract.register", {"contract": "all", "source": source, "version": 1})
    committer.take(committer.decide(register, world.put("b", 1)))
    effects = committer.take(committer.decide(world.put("a", 1), world.request("all", {})))
    (apply,) = of_kind(effects, Apply)
    (scan,) = apply.call.scans
    assert (scan.namespace, scan.exhausted, [row.key for row in scan.rows]) == ("object", True, ["b"])
    assert committer.values("results") == committer.expected(0, 1)


def test_an_empty_order_is_committed_without_execution(committer: Committer) -> None:
    """There is nothing to verify or to run, and a statement all the same."""
    committer.world.decide()
    effects = committer.take(order_of(committer.world, 0))
    assert kinds(effects) == [Verify, Fetch, Apply, Note, Sign, Publish, Report]
    assert committer.values("results") == committer.expected(0)


def test_requests_that_expired_leave_the_replay_guard(committer: Committer) -> None:
    """By the time that the order says, not by anybody's clock."""
    world = committer.world
    committer.commit(2)
    assert committer.store.load().replay_entries == 2
    world.now_ms += 5 * MINUTE_MS
    committer.now_ms = world.now_ms + 1000
    committer.commit(1)
    assert committer.store.load().replay_entries == 1


def test_what_was_committed_is_measured(committer: Committer) -> None:
    """Requests and batches, how long after their order, and how far it is ahead of what is verified."""
    world = committer.world
    committer.commit(1)
    order = committer.decide(world.put("a", 1), world.get("a"))
    committer.now_ms = world.now_ms + 250
    committer.take(order)
    effects = committer.take(committer.decide(world.get("b")))
    assert measured(effects)["gauge_sequence"] == 2
    assert measured(effects)["gauge_unverified"] == 2
    found = measured([effect for effect in committer.asked if isinstance(effect, Report)][1:2])
    assert found == {"committed": 2, "batches": 1, "commit_ms_sum": 250, "gauge_sequence": 1, "gauge_unverified": 1}


def test_an_order_ahead_of_the_clock_took_no_time(committer: Committer) -> None:
    """Within the skew the Ledger's clock may be behind; no measure goes below zero."""
    order = committer.decide()
    committer.now_ms = committer.world.now_ms - 500
    assert measured(committer.take(order))["commit_ms_sum"] == 0


# --- Which orders are taken ---


def test_orders_are_taken_by_sequence_and_what_is_ahead_is_held(committer: Committer) -> None:
    """Whatever order they arrive in; those behind a gap wait until it is filled."""
    orders = [committer.decide() for _ in range(4)]
    assert kinds(committer.take(orders[2], orders[1])) == [Verify]
    assert kinds(committer.take(orders[3])) == [Verify]
    assert committer.state.sequence == -1
    effects = committer.take(orders[0])
    assert kinds(effects) == [Verify, *COMMITTED * 4]
    assert committer.values("results") == committer.expected(0, 1, 2, 3)


def test_an_order_that_came_before_is_dropped(committer: Committer) -> None:
    """Twice in one delivery or later again, it is committed once."""
    first, second = committer.decide(), committer.decide()
    committer.take(first, first, second)
    assert committer.values("results") == committer.expected(0, 1)
    assert committer.take(second, first) == []
    assert committer.values("results") == committer.expected(0, 1)


def test_of_two_orders_of_a_sequence_the_first_that_came_counts(committer: Committer) -> None:
    """Both are signed, which convicts the Auditor without the Ledger's help; it signs one statement."""
    orders = [committer.decide(), committer.decide()]
    other = committer.world.reorder(orders[1], commitment=bytes(32))
    committer.take(orders[1], other)
    committer.take(other)
    committer.take(orders[0])
    assert committer.values("results") == committer.expected(0, 1)


def test_an_order_that_the_auditor_did_not_sign_is_skipped_and_counted(committer: Committer) -> None:
    """Anybody can write to the log; the good order behind the bad ones is taken."""
    order = committer.decide()
    header = OrderHeader.from_bytes(order.header)
    altered = replace(order, header=replace(header, ordered_at_ms=header.ordered_at_ms + 1).to_bytes())
    forged = committer.world.sign_order(header, order.entries, key_of("eve"))
    another = committer.decide()
    effects = committer.take(forged, altered, order, another)
    assert kinds(effects) == [Verify, Report, *COMMITTED * 2]
    assert effects[1] == Report(metrics={"skipped": 2})
    assert committer.values("results") == committer.expected(0, 1)
    forged = committer.world.sign_order(replace(header, sequence=2), order.entries, key_of("ledger"))
    assert measured(committer.take(forged)) == {"skipped": 1}
    assert committer.state.sequence == 1


def test_rubbish_and_what_is_of_another_ledger_costs_nothing(committer: Committer) -> None:
    """Not even a signature is checked; the others of the delivery are taken."""
    other = World(b"other")
    other.decide(other.put("a", 1))
    foreign = order_of(other, 0)
    order = committer.decide()
    without_entries = replace(order, entries=())
    swapped = replace(order, entries=(order.entries[0][:-1] + b"\1",))
    rubbish = [committer.message("orders", value) for value in (None, b"", b"rubbish", order.to_message()[:-1])]
    rubbish += [committer.message("decisions", value) for value in (None, b"", b"rubbish")]
    assert committer.deliver(*rubbish) == []
    assert committer.take(foreign, without_entries, swapped) == []
    assert committer.learn(other.decisions[0]) == []
    committer.take(foreign, order)
    assert committer.values("results") == committer.expected(0)


def test_an_order_of_another_epoch_is_skipped(committer: Committer) -> None:
    """A late one of the epoch before, and one of an epoch that nobody signed: neither is looked at."""
    world = committer.world
    committer.commit(1)
    order = committer.decide()
    for epoch in (1, 2**31):
        assert committer.take(world.reorder(order, epoch=epoch)) == []


def test_what_lies_beyond_the_window_is_not_held() -> None:
    """W sequences ahead are held, and not one more: the queue is bounded."""
    committer = Committer(window=3)
    orders = [committer.decide() for _ in range(4)]
    assert committer.take(orders[3]) == []
    assert kinds(committer.take(orders[2])) == [Verify]
    committer.take(orders[0], orders[1])
    assert committer.state.sequence == 2


def test_an_order_ahead_of_the_clock_is_held() -> None:
    """Up to the skew it is taken; beyond it waits for the clock, without being sent again."""
    committer = Committer(skew_ms=1000)
    orders = [committer.decide(), committer.decide()]
    committer.now_ms = OrderHeader.from_bytes(orders[0].header).ordered_at_ms - 1000
    effects = committer.take(*orders)
    assert kinds(effects) == [Verify, *COMMITTED]
    assert committer.wait(0) == []
    assert kinds(committer.wait(1)) == COMMITTED
    assert committer.values("results") == committer.expected(0, 1)


@pytest.mark.parametrize("kind", ["last", "audit"])
def test_the_machine_halts_at_an_order_of_another_kind(committer: Committer, kind: str) -> None:
    """What comes behind the end of an epoch takes a new configuration; nothing is made of what is not understood."""
    order, _ = committer.world.order(committer.world.get("a"))
    effects = committer.take(committer.world.reorder(order, kind=kind))
    assert kinds(effects) == [Verify, Halt]
    assert committer.halt == Halt(code="epoch.needed", text=f"order 0 is of kind {kind}")


# --- What the executor says ---


@pytest.mark.parametrize("index", [0, 1])
def test_an_order_that_exhausts_this_ledger_halts_it_and_accuses_nobody(committer: Committer, index: int) -> None:
    """The Auditor has executed it, on a machine of its own: nobody can tell who is at fault."""
    world = committer.world
    committer.commit(1)
    order = committer.decide(*(world.put("b", value) for value in range(2)))

    def exhaust(effect: Execute) -> Event:
        results: list[Execution | Rejected] = [*committer.execute(effect.batch).results]
        results[index] = Rejected(code="contract.resources", final=True)
        return Executed(now_ms=committer.now_ms, results=tuple(results))

    committer.meanwhile[Execute] = exhaust
    effects = committer.take(order)
    assert kinds(effects) == [Verify, Fetch, Verify, Execute, Halt]
    assert committer.halt is not None
    assert committer.halt.code == "resources.exceeded"
    assert f"request {index} of order 1" in committer.halt.text
    assert (committer.state.sequence, committer.state.stopped) == (0, "")


def test_a_batch_that_this_ledger_closes_earlier_halts_it_and_accuses_nobody(committer: Committer) -> None:
    """The limits of a batch are alike for both, so it is looked for a proof; there is none."""
    order = committer.decide(committer.world.put("a", 1), committer.world.put("b", 1))

    def close(effect: Execute) -> Event:
        return replace(committer.execute(effect.batch), results=committer.execute(effect.batch).results[:1])

    committer.meanwhile[Execute] = close
    committer.take(order)
    assert committer.halt is not None
    assert committer.halt.code == "store.contradicts_log"
    assert "order 0, entry 1: the batch goes on behind its limit" in committer.halt.text
    assert committer.published == []
