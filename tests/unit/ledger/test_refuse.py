"""What the Ledger refuses: with a proof that names the Auditor, or not at all; its own records are looked at first."""

from dataclasses import replace

import pytest

from protocol.evidence import build
from protocol.evidence.verdicts import AUDITOR, Finding
from protocol.evidence.verify import verify_evidence
from protocol.hashing import tagged
from protocol.records import RecordKey
from protocol.signatures import SignatureCheck, refusal_input
from schemas.evidence import Evidence
from schemas.order import OrderHeader
from schemas.rejection import Refusal, Refused
from schemas.request import RecordName
from storage.effects import (
    Apply,
    Event,
    Execute,
    Fetch,
    FindDecisions,
    Halt,
    Load,
    Note,
    Outgoing,
    Publish,
    ReadOutbox,
    Received,
    Sign,
    Verify,
)
from storage.effects import Refused as StoreRefused
from storage.ports import OutboxEntry, OutboxTrim, StoreCall, Version
from tests.gallery.hanging import alter_entry, alter_read, engine
from tests.parties import key_of
from tests.unit.learners.cluster import verifies
from tests.unit.ledger.committing import A, Committer, kinds, of_kind
from tests.unit.ledger.refused_orders import BOBS_KEY, LIES, begun, instead, order_with, reading

STOPPED = [Apply, Sign, Publish, Halt]
"""How every refusal ends."""


@pytest.fixture
def committer() -> Committer:
    """With records at sequences 0 to 2."""
    return begun()


def check_accused_nobody(committer: Committer, code: str = "store.contradicts_log") -> Halt:
    """Require that the Ledger halted, and signed and sent nothing."""
    assert committer.halt is not None
    assert committer.halt.code == code, committer.halt
    assert committer.values("evidence") == []
    assert committer.state.stopped == ""
    return committer.halt


# --- With a proof ---


def refusal_of(message: bytes) -> tuple[str, int]:
    """Code and entry of a refusal."""
    refusal = Refusal.from_bytes(Refused.from_message(message).refusal)
    return refusal.code, refusal.entry_index


@pytest.mark.parametrize("name", LIES)
def test_an_impossible_order_is_refused_with_a_proof(committer: Committer, name: str) -> None:
    """The refusal is the Ledger's, of this order, with code and entry; what is attached convicts the Auditor, and the
    refusal is no false accusation. The Ledger stops for good before any of it is sent, and signs no statement.
    """
    lie = LIES[name]
    order = lie.make(committer)
    before, epochs = committer.state, committer.world.epochs
    effects = committer.take(order)
    assert kinds(effects)[-4:] == STOPPED
    assert not of_kind(effects, Note)
    (publish,) = of_kind(effects, Publish)
    refused = Refused.from_message(publish.messages[0].value)
    refusal = Refusal.from_bytes(refused.refusal)
    assert (refusal.code, refusal.entry_index) == (lie.code, lie.index)
    assert (refusal.header, refusal.order_signature) == (order.header, order.signature)
    signed = refusal_input(epochs.ledger_id, 0, refused.refusal)
    assert verifies(SignatureCheck(epochs.latest.ledger_key, signed, refused.signature))
    (attachment,) = refused.attachments
    assert refusal.attachments_hash == tagged("attachments", attachment)
    assert publish.messages[1] == Outgoing("evidence", 0, None, Evidence.from_bytes(attachment).to_message())
    verdict = verify_evidence(attachment, epochs.ledger_id, engine())
    assert (verdict.finding, verdict.culprit) == (Finding.GUILTY, AUDITOR)
    accusation = build.false_accusation(epochs, refused).to_bytes()
    assert not verify_evidence(accusation, epochs.ledger_id, engine()).convicts
    (apply,) = of_kind(effects, Apply)
    sequence = OrderHeader.from_bytes(order.header).sequence
    assert apply.call.cells == {"stopped": lie.code.encode()}
    assert apply.call.expected_cells == before.expected()
    unsigned = replace(refused, signature=bytes(64)).to_message()
    assert apply.call.outbox_put == (OutboxEntry("refusal", sequence, unsigned),)
    assert committer.halt is not None
    assert committer.halt.code == "evidence.raised"
    assert committer.halt.text.startswith(f"{lie.code}: order {sequence}, entry ")
    assert committer.state == replace(before, stopped=lie.code)


@pytest.mark.parametrize("name", LIES)
def test_only_what_the_proof_takes_is_searched_for(committer: Committer, name: str) -> None:
    """The search goes over the whole topic; what it finds is not looked for in the outbox."""
    order = LIES[name].make(committer)
    effects = committer.take(order)
    assert not of_kind(effects, ReadOutbox)
    searches = of_kind(effects, FindDecisions)
    assert tuple(sequence for search in searches for sequence in search.sequences) == LIES[name].needed


def test_what_needs_no_record_is_judged_before_any_is_read(committer: Committer) -> None:
    """The store is looked at once more before the refusal: what was read might be of another moment."""
    order = committer.world.reorder(order_with(committer, committer.world.get("a")), kind="empty")
    assert kinds(committer.take(order)) == [Verify, Load, *STOPPED]


def test_what_no_client_signed_is_not_executed(committer: Committer) -> None:
    """The request beside it neither."""
    order = instead(committer, committer.world.request("object.get", {"key": "a"}, "bob", "eve"))
    (verify,) = of_kind(effects := committer.take(order), Verify)[1:]
    assert len(verify.checks) == 2
    assert Execute not in kinds(effects)


def test_an_earlier_order_that_is_not_decided_comes_from_the_ledgers_outbox(committer: Committer) -> None:
    """It acted upon it, and has kept it."""
    world = committer.world
    committer.take(committer.decide(world.put("a", 3)))
    order = reading(committer, version=2, writer_sequence=1, writer_index=0)

    def find_none(effect: FindDecisions) -> Event:
        return Received(now_ms=committer.now_ms, messages=())

    committer.meanwhile[FindDecisions] = find_none
    effects = committer.take(order)
    (read,) = of_kind(effects, ReadOutbox)
    assert (read.kind, read.first, read.last) == ("order", 3, 3)
    assert committer.halt is not None
    assert committer.halt.code == "evidence.raised"


@pytest.mark.parametrize("effect", [Sign, Publish])
def test_a_refusal_that_was_not_sent_is_sent_by_whoever_begins_again(committer: Committer, effect: type) -> None:
    """The Ledger stopped for good, and ended before anybody knew why: the proof is in its outbox, and must not stay
    there.
    """
    order = reading(committer, version=1, writer_sequence=0, writer_index=0)

    def crash(asked: object) -> None:
        raise InterruptedError

    committer.meanwhile[effect] = crash
    with pytest.raises(InterruptedError):
        committer.take(order)
    assert committer.values("evidence") == []
    assert kinds(committer.start()) == [Load, ReadOutbox, Sign, Publish, Halt]
    assert committer.halt == Halt(code="evidence.raised", text="order.stale_read")
    refused, evidence = committer.values("evidence")
    assert refusal_of(refused) == ("order.stale_read", 1)
    assert verify_evidence(Evidence.body_of(evidence), committer.world.ledger_id, engine()).culprit == AUDITOR
    committer.start()
    assert committer.values("evidence") == [refused, evidence] * 2, "the same bytes, however often"
    assert committer.values("results") == committer.expected(0, 1, 2)


# --- Not without one ---


def test_a_damaged_key_accuses_nobody(committer: Committer) -> None:
    """The client's signature fails by the Ledger's own record: that is not the one it stored."""
    record = committer.record(BOBS_KEY)
    value = record.value.replace(
        key_of("bob").public_key.key.hex().encode(), key_of("eve").public_key.key.hex().encode()
    )
    assert value != record.value
    committer.store.overwrite(BOBS_KEY, record._replace(value=value))
    order, _ = committer.world.order(committer.world.request("object.get", {"key": "a"}, "bob"), store=False)
    effects = committer.take(order)
    assert kinds(effects) == [Verify, Fetch, Verify, Load, Halt]
    check_accused_nobody(committer)


def test_a_damaged_record_accuses_nobody(committer: Committer) -> None:
    """A stale order over it neither: the Ledger cannot judge by what it did not write."""
    committer.store.overwrite(A, committer.record(A)._replace(value=b"7"))
    committer.take(reading(committer, version=1, writer_sequence=0, writer_index=0))
    check_accused_nobody(committer, "store.damaged")


@pytest.mark.parametrize("code", ["order.stale_read", "order.versions", "order.client"])
def test_damage_in_any_record_it_looked_at_accuses_nobody(committer: Committer, code: str) -> None:
    """Even where the order is impossible, and the damaged one is only said to be touched: a store that is not what was
    written judges nobody.
    """
    world, damaged = committer.world, RecordName("object", "b")
    order, _ = world.order(world.request("object.get", {"key": "a"}, keys=(damaged,)), store=False)
    match code:
        case "order.stale_read":
            entries = alter_read(order, 0, A, version=1, writer_sequence=0, writer_index=0)
        case "order.versions":
            entries = alter_entry(order, 0, envelope=world.request("nowhere", {}, keys=(damaged,)).envelope_bytes)
        case _:
            forged = world.request("object.get", {"key": "a"}, "bob", "eve", keys=(damaged,))
            entries = alter_entry(order, 0, envelope=forged.envelope_bytes)
    key = RecordKey(*damaged)
    committer.store.overwrite(key, committer.record(key)._replace(value=b"7"))
    committer.take(world.reorder(order, entries))
    assert "version 1 does not have its hash" in check_accused_nobody(committer).text


def test_a_record_that_was_taken_back_accuses_nobody(committer: Committer) -> None:
    """The older version is whole, but the order reads one that was written: the earlier order shows it."""
    older = committer.store.fetch(versions=[Version(A, 1)]).versions[Version(A, 1)]
    committer.store.overwrite(A, older)
    committer.take(order_with(committer, committer.world.get("a")))
    assert "order 3, entry 1: it reads or writes other versions" in check_accused_nobody(committer).text


def test_a_record_from_nowhere_accuses_nobody(committer: Committer) -> None:
    """One with a good hash, said to be written by a batch that did not: by it the order is stale."""
    world = committer.world
    world.ledger.store(world.ledger.execute([world.put("a", 9)], 2, world.now_ms))
    committer.store.overwrite(A, world.ledger.record(A))
    committer.take(order_with(committer, world.get("a")))
    check_accused_nobody(committer)


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", None])
def test_a_proof_that_is_not_found_accuses_nobody(committer: Committer, rubbish: bytes | None) -> None:
    """Neither `decisions` nor the outbox has the earlier order any more, or has rubbish."""
    order = reading(committer, version=1, writer_sequence=0, writer_index=0)
    trims = (OutboxTrim("order", 3),)
    committer.store.apply(StoreCall(expected_cells={}, cells={}, outbox_trim=trims))

    def find(effect: FindDecisions) -> Event:
        return Received(now_ms=committer.now_ms, messages=(committer.message("decisions", rubbish),))

    committer.meanwhile[FindDecisions] = find
    effects = committer.take(order)
    assert kinds(effects)[-4:] == [Load, FindDecisions, ReadOutbox, Halt]
    assert "order 1 was not found" in check_accused_nobody(committer).text


def test_a_key_of_the_same_batch_accuses_nobody(committer: Committer) -> None:
    """No decision shows it, so nothing could be proved by it."""
    world = committer.world
    order, _ = world.order(world.enrol("carol"), world.request("object.get", {"key": "a"}, "carol"), store=False)
    committer.take(order)
    assert "entry 1: its entity has no such key" in check_accused_nobody(committer).text


def test_a_store_that_moved_on_accuses_nobody(committer: Committer) -> None:
    """What was read may be of any moment: it is read again, and judged anew."""
    order = reading(committer, version=1, writer_sequence=0, writer_index=0)
    honest = committer.decide(committer.world.put("a", 3))
    twin = Committer(committer.world)
    twin.store, twin.guard = committer.store, committer.guard
    twin.start()

    def commit_first(effect: Execute) -> None:
        twin.take(honest)

    committer.meanwhile[Execute] = commit_first
    effects = committer.take(order)
    assert Load in kinds(effects)
    assert Halt not in kinds(effects)
    assert committer.values("evidence") == []
    assert committer.state.sequence == 3


def test_only_one_process_sends_the_refusal(committer: Committer) -> None:
    """The store's call decides who; whoever it refuses halts all the same."""
    committer.meanwhile[Apply] = lambda effect: StoreRefused(now_ms=committer.now_ms, reason="cell", cells={})
    effects = committer.take(reading(committer, version=1, writer_sequence=0, writer_index=0))
    assert kinds(effects)[-2:] == [Apply, Halt]
    assert committer.values("evidence") == []
    assert committer.halt is not None
    assert committer.halt.code == "evidence.raised"


def test_an_honest_order_of_the_same_requests_is_not_refused(committer: Committer) -> None:
    """What the lies are made of: a key that is there, a request that is in time, a version that is current."""
    world = committer.world
    committer.take(committer.decide(world.request("object.get", {"key": "a"}, "bob"), world.put("a", 3)))
    committer.take(committer.decide(world.request("object.get", {"key": "a"}, after=3)))
    assert committer.halt is None
    assert committer.values("results") == committer.expected(0, 1, 2, 3, 4)
