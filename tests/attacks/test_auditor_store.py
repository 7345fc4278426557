"""An Auditor whose data was altered, that changes its mind, or that signs two things: it never gets away with it, and
never names the Ledger for it.
"""

import pytest

from protocol.errors import CountersignError
from protocol.evidence import build
from protocol.evidence.verdicts import AUDITOR
from protocol.hashing import ZERO_HASH
from protocol.records import RecordKey
from protocol.requests import OpenedRequest
from schemas.order import Order
from schemas.receipt import Receipts
from schemas.rejection import RejectionEntry, Rejections, RejectionsHeader
from schemas.statement import Countersigned, Decision, Result, Update
from storage.effects import Apply, Publish
from streams.client_receipts import check_receipts
from tests.attacks.lies import bend_order, bend_result, refusal_codes
from tests.attacks.line import Line
from tests.gallery.hanging import A, alter_entry, alter_outcome
from tests.parties import key_of


def started(*, learns: bool = False) -> Line:
    """A line with two versions of object "a"."""
    line = Line(learns=learns)
    line.put("a", 1)
    line.put("a", 2)
    line.check_honest()
    return line


# --- Data altered at rest ---


def test_an_altered_value_whose_hash_was_recomputed_halts_the_auditor() -> None:
    """Its own verifier names the Auditor before anything is published: it accuses nobody."""
    line = started()
    decided = max(line.decisions())
    line.alter(line.auditor, A, 99, recompute=True)
    request = line.get("a")
    line.run()
    assert line.halts() == {"validate": "store.contradicts_log"}
    line.check_nobody_accused()
    assert max(line.decisions()) == decided
    assert request.request_id not in line.receipts()


@pytest.mark.parametrize("key", [A, RecordKey("sys", "entity/admin/key/1"), RecordKey("sys", "contract/object.get/1")])
def test_an_altered_value_whose_hash_was_left_halts_the_auditor(key: RecordKey) -> None:
    """It finds itself at fault, and orders nothing more."""
    line = started()
    orders = len(line.values("orders"))
    record = line.auditor.store.fetch((key,)).records[key]
    line.auditor.store.overwrite(key, record._replace(value=b"99"))
    line.get("a")
    line.run()
    assert line.halts() == {"order": "store.damaged"}
    assert len(line.values("orders")) == orders
    line.check_nobody_accused()


def test_an_altered_key_of_a_client_names_the_auditor() -> None:
    """Somebody who put his own key into the Auditor's store, and recomputed the hash, signs in another's name."""
    line = started()
    public_key = key_of("eve").public_key
    value = {"algorithm": public_key.algorithm, "public_key": public_key.key.hex(), "status": "active"}
    line.alter(line.auditor, RecordKey("sys", "entity/admin/key/1"), value, recompute=True)
    request = line.clients.request("object.get", {"key": "a"}, signer="eve")
    line.ask(request)
    line.run()
    assert refusal_codes(line) == ["order.client"]
    assert line.named() == {AUDITOR}
    assert request.request_id not in line.receipts()


# --- Changing its mind ---


def countersign(line: Line, sequence: int, result: Result, update: Update, salt: bytes) -> Countersigned:
    """Have the Auditor's key countersign a result, and send the decision and its receipts."""
    signed = line.clients.endorse(result.statement, line.orders()[sequence], result, salt)
    decision = Decision(
        signed=signed,
        entries=update.entries,
        outcomes=result.outcomes,
        outputs=update.outputs,
        values=update.values,
    )
    line.send("decisions", decision.to_message())
    receipts = Receipts(signed=signed, outcomes=result.outcomes, outputs=update.outputs)
    line.send("receipts", receipts.to_message())
    return signed


def test_an_auditor_that_takes_over_the_ledgers_result_is_named() -> None:
    """It had committed to another one. No client takes the receipt, no replica the decision."""
    line = started(learns=True)
    sequence = max(line.orders()) + 1
    bend_result(
        line,
        sequence,
        lambda result: line.clients.restate(result, alter_outcome(result.outcomes, 0, output_hash=ZERO_HASH)),
    )
    line.stages["validate"].stopped = True
    request = line.get("a")
    line.run(200)
    (entry,) = line.auditor.store.read_outbox("order", sequence, sequence)
    update = Update.from_bytes(entry.message)
    learned = len(line.views.requests)
    signed = countersign(line, sequence, line.results()[sequence], update, update.salt)
    line.run()
    with pytest.raises(CountersignError) as refused:
        check_receipts(line.values("receipts")[-1], line.epochs)
    assert refused.value.code == "statement.commitment"
    assert request.request_id not in line.receipts()
    assert len(line.views.requests) == learned
    evidence = build.commitment(line.epochs, line.orders()[sequence], signed)
    assert line.judge(evidence).culprit == AUDITOR


def test_an_auditor_that_countersigns_something_else_is_named() -> None:
    """The receipt fails, and its two statements of one sequence convict it."""
    line = started()
    honest = line.decisions()[0].signed
    result = line.results()[0]
    other = line.clients.restate(result, alter_outcome(result.outcomes, 0, output_hash=ZERO_HASH))
    endorsed = line.clients.endorse(other.statement, line.orders()[0], result, honest.salt)
    receipts = Receipts(signed=endorsed, outcomes=other.outcomes, outputs=line.decisions()[0].outputs)
    with pytest.raises(CountersignError):
        check_receipts(receipts.to_message(), line.epochs)
    evidence = build.two_auditor_statements(line.epochs, honest, endorsed)
    assert line.judge(evidence).culprit == AUDITOR


def test_a_decision_about_another_statement_halts_the_ledger() -> None:
    """The Auditor has countersigned what this Ledger never signed: it accuses nobody, and goes no further."""
    line = started()
    sequence = max(line.orders()) + 1
    line.stages["validate"].stopped = True
    line.get("a")
    line.run(200)
    (entry,) = line.auditor.store.read_outbox("order", sequence, sequence)
    update = Update.from_bytes(entry.message)
    result = line.results()[sequence]
    other = line.clients.restate(result, alter_outcome(result.outcomes, 0, output_hash=ZERO_HASH))
    countersign(line, sequence, other, update, update.salt)
    line.run(200)
    assert line.halts() == {"commit": "store.contradicts_log"}
    line.check_nobody_accused()


# --- Two orders for one sequence ---


def two_orders(line: Line) -> tuple[int, list[Order]]:
    """The order that the next request will get, and another one of the same place."""
    sequence = max(line.orders()) + 1
    line.stages["commit"].stopped = True
    line.get("a")
    line.run(50)
    first = line.orders()[sequence]
    return sequence, [first, line.clients.reorder(first, ordered_at_ms=line.log.now_ms - 1)]


def test_two_orders_around_a_crash_of_the_ledger_name_the_auditor() -> None:
    """The Ledger has acted upon the first one and died before it answered: it sends that answer, and none about the
    second.
    """
    line = started()
    sequence, (first, second) = two_orders(line)
    commit = line.stages["commit"]
    commit.stopped = False
    commit.move(until=Publish)
    line.log.lose_tail("orders", 0, 1)
    line.send("orders", second.to_message())
    commit.crash()
    line.run()
    line.check_nobody_accused()
    assert line.results()[sequence].order_signature == first.signature
    assert sequence in line.decisions()
    assert line.judge(build.two_orders(line.epochs, first, second)).culprit == AUDITOR


def test_two_orders_before_the_ledger_acted_halt_the_auditor() -> None:
    """The Ledger acts upon the one it is given. The Auditor, whose store has the other, accuses nobody of it."""
    line = started()
    _, (first, second) = two_orders(line)
    commit = line.stages["commit"]
    line.log.lose_tail("orders", 0, 1)
    line.send("orders", second.to_message())
    commit.stopped = False
    commit.move(until=Apply)
    commit.crash()
    line.send("orders", first.to_message())
    line.run(200)
    assert line.halts() == {"validate": "store.contradicts_log"}
    line.check_nobody_accused()
    line.run()
    assert refusal_codes(line) == ["order.predecessor"], "its next order follows the one the Ledger was not given"
    assert line.named() == {AUDITOR}
    assert line.judge(build.two_orders(line.epochs, first, second)).culprit == AUDITOR


def test_statements_about_two_orders_name_the_auditor_and_never_the_ledger() -> None:
    """A Ledger that lost store and guard in between has signed about both: it is excused."""
    line = started()
    sequence, (_, second) = two_orders(line)
    ledger = line.ledger.store.copy()
    line.stages["commit"].stopped = False
    line.run(100)
    about_first = line.results()[sequence]
    line.restore_ledger(ledger)
    line.stages["validate"].stopped = True
    line.log.lose_tail("orders", 0, 1)
    line.log.lose_tail("decisions", 0, len(line.values("decisions")) - sequence)
    line.send("orders", second.to_message())
    line.run(100)
    about_second = line.results()[sequence]
    assert about_second.statement != about_first.statement
    evidence = build.two_ledger_statements(line.epochs, about_first, about_second)
    assert line.judge(evidence).culprit == AUDITOR


# --- Rejected, and ordered all the same ---


def test_an_order_of_what_was_rejected_for_good_names_the_auditor() -> None:
    line = started()
    rejected = line.clients.request("nowhere", {})
    line.ask(rejected)
    line.run()
    (rejections,) = map(Rejections.from_message, line.values("rejections"))
    assert RejectionEntry.from_bytes(rejections.entries[0]).final
    sequence = max(line.orders()) + 1

    def order_it(order: Order) -> Order:
        return line.clients.reorder(order, alter_entry(order, 0, envelope=rejected.envelope_bytes))

    bend_order(line, sequence, order_it)
    line.get("a")
    line.run()
    assert sequence > RejectionsHeader.from_bytes(rejections.header).as_of_sequence
    evidence = build.rejected_then_ordered(line.epochs, rejections, 0, line.orders()[sequence], 0)
    assert line.judge(evidence).culprit == AUDITOR


def test_a_client_that_lies_about_what_it_has_seen_is_told_to_retry() -> None:
    """Nothing else happens to it, or to anybody; when the sequence has come it is decided."""
    line = started()
    request: OpenedRequest = line.clients.request("object.get", {"key": "a"}, after=max(line.orders()) + 3)
    line.ask(request)
    line.run(1000)
    assert line.code_of(request) == "request.after_unknown"
    for turn in range(4):
        line.put("b", turn)
    line.ask(request)
    line.run()
    line.check_honest()
    assert line.receipts()[request.request_id].ok


def test_the_lies_of_this_file_are_authentic() -> None:
    """Unbent, the same stages decide the same requests."""
    line = started()
    _, (first, _) = two_orders(line)
    line.stages["commit"].stopped = False
    line.run()
    line.check_honest()
    assert first in line.orders().values()
