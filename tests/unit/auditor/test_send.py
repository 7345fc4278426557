"""What the Auditor sends is made from its outbox: noted, then signed, then sent, and always the same bytes."""

import hmac
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import pytest

from auditor import send
from auditor.rejections import rejections_header, unsigned_rejections
from auditor.state import OrderState
from protocol.hashing import ZERO_HASH, tagged
from protocol.signatures import (
    SignatureCheck,
    auditor_endorsement_input,
    order_hash,
    order_input,
    rejections_input,
    statement_hash,
)
from protocol.signing import verify_key
from schemas.order import Order, OrderHeader
from schemas.receipt import Receipts
from schemas.rejection import RejectionEntry, Rejections
from schemas.statement import Decision, Statement
from storage.effects import Note, Outgoing, Publish, ReadGuard, ReadOutbox, Sign
from storage.ports import OutboxEntry, Place
from tests.parties import key_of
from tests.unit.auditor.auditor_world import ValidateWorld, Watched

AUDITOR = key_of("auditor").public_key


def ordered(count: int, decided: int = 0) -> ValidateWorld:
    """Orders in the outbox, and the Ledger's endorsements of the first ones."""
    world = ValidateWorld()
    for _ in range(count):
        world.order()
    world.store(*[OutboxEntry("decision", n, world.results[n].ledger_signature) for n in range(decided)])
    return world


def state_of(world: ValidateWorld, sequence: int, decided: int = -1, rejection_number: int = -1) -> OrderState:
    """A state that stands at a sequence."""
    head = OrderState.start(world.epochs).head
    for update in world.updates[: sequence + 1]:
        head = head.advance(update.statement)
    return replace(OrderState.start(world.epochs), head=head, decided=decided, rejection_number=rejection_number)


def sequences(values: Sequence[bytes]) -> list[int]:
    return [OrderHeader.from_bytes(Order.from_message(value).header).sequence for value in values]


def asked(stage: Watched) -> list[tuple[str, int, int]]:
    """What was read of the outbox."""
    return [(effect.kind, effect.first, effect.last) for effect in stage.of(ReadOutbox)]


def note_statement(world: ValidateWorld, sequence: int) -> None:
    world.disks.guard.note([send.statement_place(world.updates[sequence].statement)])


def test_the_salt_binds_ledger_epoch_sequence_and_entries() -> None:
    """Each in its place: no two orders share one, and only who has the secret can make it."""
    places = (b"l" * 32, 1, 2, b"e" * 32)
    bound = tagged("salt", b"l" * 32, (1).to_bytes(8, "big"), (2).to_bytes(8, "big"), b"e" * 32)
    assert send.salt(b"secret", *places) == hmac.new(b"secret", bound, sha256).digest()


# --- Noted, signed, sent ---


def test_orders_are_noted_then_signed_then_sent_all_at_once() -> None:
    """One effect of each for all; a place names epoch, sequence, hash and predecessor, the signature the header."""
    world = ordered(3)
    stage = world.perform(lambda: send.undecided_orders(state_of(world, 2), world.epochs))
    assert stage.names() == ["ReadOutbox", "Note", "Sign", "Publish"]
    headers = [update.header for update in world.updates]
    previous = [ZERO_HASH, *map(order_hash, headers[:2])]
    assert stage.of(Note)[0].places == tuple(
        Place("order", 0, number, order_hash(header), previous[number]) for number, header in enumerate(headers)
    )
    assert stage.of(Sign)[0].messages == tuple(order_input(world.epochs.ledger_id, 0, header) for header in headers)
    orders = world.orders()
    assert [order.header for order in orders] == headers
    assert [order.entries for order in orders] == [update.entries for update in world.updates]
    for order in orders:
        verify_key(*AUDITOR).verify(order_input(world.epochs.ledger_id, 0, order.header), order.signature)


def test_what_is_sent_again_is_the_same_bytes() -> None:
    """Signatures are deterministic, so receivers may drop what they have."""
    world = ordered(2)
    for _ in range(2):
        world.perform(lambda: send.undecided_orders(state_of(world, 1), world.epochs))
    sent = world.values("orders")
    assert sent[:2] == sent[2:]
    assert len(set(sent)) == 2


def test_nothing_to_send_asks_for_nothing() -> None:
    """No empty note, signature or message."""
    world = ordered(2)
    idle = world.perform(lambda: send.undecided_orders(state_of(world, 1, decided=1), world.epochs))
    assert idle.effects == []
    assert world.perform(lambda: send.send([])).effects == []
    assert world.perform(lambda: send.send_entries([], world.epochs)).effects == []
    assert world.perform(lambda: send.waiting_rejections(state_of(world, 1), world.epochs)).effects == []


def test_undecided_orders_are_read_few_at_a_time() -> None:
    """From the first undecided one to the last, none left out and none twice."""
    world = ordered(20)
    stage = world.perform(lambda: send.undecided_orders(state_of(world, 19, decided=1), world.epochs))
    assert asked(stage) == [("order", 2, 9), ("order", 10, 17), ("order", 18, 19)]
    assert sequences(world.values("orders")) == list(range(2, 20))


@pytest.mark.parametrize("number", [0, 7])
def test_the_last_rejections_are_noted_signed_and_sent(number: int) -> None:
    """Whatever the sequence: they have numbers of their own."""
    world = ordered(1)
    entry = RejectionEntry(envelope_hash=b"e" * 32, request_id=b"r" * 32, code="busy", final=False).to_bytes()
    header = rejections_header(
        [entry], ledger_id=world.epochs.ledger_id, epoch=0, number=number, previous_hash=b"p" * 32, as_of_sequence=0
    ).to_bytes()
    world.store(OutboxEntry("rejections", number, unsigned_rejections(header, [entry])))
    stage = world.perform(lambda: send.waiting_rejections(state_of(world, 0, rejection_number=number), world.epochs))
    assert stage.names() == ["ReadOutbox", "Note", "Sign", "Publish"]
    assert asked(stage) == [("rejections", number, number)]
    assert stage.of(Note)[0].places == (Place("rejections", 0, number, tagged("rejections", header), b"p" * 32),)
    (sent,) = map(Rejections.from_message, world.values("rejections"))
    assert (sent.header, sent.entries) == (header, (entry,))
    verify_key(*AUDITOR).verify(rejections_input(world.epochs.ledger_id, 0, header), sent.signature)


def test_an_order_and_rejections_go_together() -> None:
    """Each under its own signature: one note and one wait on the disk for both."""
    world = ordered(1)
    header = rejections_header(
        [], ledger_id=world.epochs.ledger_id, epoch=0, number=0, previous_hash=ZERO_HASH, as_of_sequence=0
    ).to_bytes()
    entries = (
        OutboxEntry("order", 0, world.updates[0].to_bytes()),
        OutboxEntry("rejections", 0, unsigned_rejections(header, [])),
    )
    stage = world.perform(lambda: send.send_entries(entries, world.epochs))
    assert stage.names() == ["Note", "Sign", "Publish"]
    assert [place.kind for place in stage.of(Note)[0].places] == ["order", "rejections"]
    assert [message.topic for message in stage.of(Publish)[0].messages] == ["orders", "rejections"]
    rejections = Rejections.from_message(world.values("rejections")[0])
    verify_key(*AUDITOR).verify(rejections_input(world.epochs.ledger_id, 0, header), rejections.signature)


# --- Decisions ---


def test_a_decision_bears_both_signatures_and_its_receipts_go_along() -> None:
    """The order's signature comes out as it was sent; the Auditor's endorsement opens the commitment."""
    world = ordered(2, decided=2)
    world.perform(lambda: send.undecided_orders(state_of(world, 1), world.epochs))
    stage = world.perform(lambda: send.decisions(0, 1, world.epochs))
    assert stage.names() == ["ReadOutbox", "ReadOutbox", "Note", "Sign", "Publish"]
    assert [message.topic for message in stage.of(Publish)[0].messages] == ["decisions", "receipts"] * 2
    assert [place[:3] for place in stage.of(Note)[0].places] == [("statement", 0, 0), ("statement", 0, 1)]
    for number, decision in enumerate(world.decisions()):
        update, signed = world.updates[number], decision.signed
        assert signed.order_signature == world.orders()[number].signature
        assert signed.ledger_signature == world.results[number].ledger_signature
        endorsed = auditor_endorsement_input(world.epochs.ledger_id, 0, update.statement, update.salt)
        check = SignatureCheck(AUDITOR, endorsed, signed.auditor_signature)
        verify_key(*check.key).verify(check.signed, check.signature)
        assert (signed.statement, signed.header, signed.salt) == (update.statement, update.header, update.salt)
        assert decision == Decision(
            signed=signed,
            entries=update.entries,
            outcomes=update.outcomes,
            outputs=update.outputs,
            values=update.values,
        )
        receipts = Receipts.from_message(world.values("receipts")[number])
        assert receipts == Receipts(signed=signed, outcomes=update.outcomes, outputs=update.outputs)


def test_an_empty_batch_has_no_receipts() -> None:
    """Nobody waits for them."""
    world = ordered(0)
    world.clients.now_ms += 1
    order, update = world.clients.order()
    result = world.clients.commit(order, ())
    unsigned = send.decision(update.to_bytes(), result.ledger_signature, world.epochs)
    stage = world.perform(lambda: send.send([unsigned]))
    assert [message.topic for message in stage.of(Publish)[0].messages] == ["decisions"]


def test_a_statement_s_place_chains_to_the_one_before_it() -> None:
    """Epoch, sequence, its own hash, the hash before it: what the guard compares."""
    world = ordered(2)
    before = statement_hash(world.updates[0].statement)
    statement = world.updates[1].statement
    assert Statement.from_bytes(statement).previous_statement_hash == before
    assert send.statement_place(statement) == Place("statement", 0, 1, statement_hash(statement), before)


def test_decisions_are_made_of_what_the_outbox_holds_of_both() -> None:
    """An order that the Ledger has not endorsed, or an endorsement whose order is gone, makes none."""
    world = ordered(3, decided=2)
    world.store(OutboxEntry("decision", 7, bytes(64)))
    world.perform(lambda: send.decisions(0, 9, world.epochs))
    assert world.decided() == [0, 1]
    silent = world.perform(lambda: send.decisions(2, 9, world.epochs))
    assert silent.names() == ["ReadOutbox", "ReadOutbox"]


def test_decisions_are_read_few_at_a_time() -> None:
    """Orders and endorsements of the same portion together, up to the last one that is wanted."""
    world = ordered(18, decided=18)
    stage = world.perform(lambda: send.decisions(1, 17, world.epochs))
    assert asked(stage)[::2] == [("order", 1, 8), ("order", 9, 16), ("order", 17, 17)]
    assert asked(stage)[1::2] == [("decision", first, last) for _, first, last in asked(stage)[::2]]
    assert world.decided() == list(range(1, 18))
    assert world.perform(lambda: send.decisions(5, 4, world.epochs)).effects == []


# --- The guard of statements ---


def test_a_guard_is_filled_up_to_the_last_decision() -> None:
    """From the first that it does not have; what it has is not asked for."""
    world = ordered(12)
    note_statement(world, 0)
    stage = world.perform(lambda: send.note_decided(10, 64))
    assert asked(stage) == [("order", 1, 8), ("order", 9, 10)]
    highest = world.disks.guard.highest("statement")
    assert highest is not None
    assert highest.sequence == 10
    assert world.perform(lambda: send.note_decided(10, 64)).names() == ["ReadGuard"]
    assert [effect.kind for effect in stage.of(ReadGuard)] == ["statement"]


def test_a_lost_guard_is_filled_from_the_oldest_statement_that_may_be_signed_again() -> None:
    """Three windows back, and where the outbox does not go that far, from where it begins."""
    world = ordered(12)
    stage = world.perform(lambda: send.note_decided(11, 3))
    assert asked(stage)[0] == ("order", 2, 9)
    assert [place.sequence for note in stage.of(Note) for place in note.places] == list(range(2, 12))
    fresh = ordered(2)
    assert asked(fresh.perform(lambda: send.note_decided(1, 3)))[0] == ("order", 0, 1)
    nothing_there = fresh.perform(lambda: send.note_decided(40, 3))
    assert nothing_there.names() == ["ReadGuard", *["ReadOutbox"] * 5]
    assert fresh.perform(lambda: send.note_decided(-1, 3)).names() == ["ReadGuard"]


# --- Receipts again ---


def repeating(
    world: ValidateWorld, wanted: set[int], at_ms: int, repeated: send.RepeatedReceipts, decided: int = 1
) -> Watched:
    state = state_of(world, len(world.updates) - 1, decided=decided)
    return world.perform(lambda: repeated.send(wanted, state, world.epochs, at_ms))


def test_receipts_are_sent_again_without_their_decision() -> None:
    """In order, each with what it had the first time."""
    world = ordered(3, decided=2)
    world.perform(lambda: send.decisions(0, 1, world.epochs))
    before = world.values("receipts")
    repeating(world, {1, 0}, 5_000, send.RepeatedReceipts())
    assert world.values("receipts") == before * 2
    assert len(world.decided()) == 2


def test_receipts_are_repeated_once_a_second() -> None:
    """For each batch by itself, whoever asks however often."""
    world = ordered(2, decided=2)
    world.perform(lambda: send.note_decided(1, 64))
    repeated = send.RepeatedReceipts()
    found = [
        len(repeating(world, wanted, at_ms, repeated).of(Publish))
        for wanted, at_ms in (({0}, 5_000), ({0, 1}, 5_999), ({0, 1}, 6_000), ({1}, 6_998), ({1}, 6_999))
    ]
    assert found == [1, 1, 1, 0, 1]


@pytest.mark.parametrize(("noted", "decided", "sent"), [(1, 1, [0, 1]), (1, 0, [0]), (0, 1, [0]), (None, 1, [])])
def test_only_what_is_decided_and_in_the_guard_is_repeated(noted: int | None, decided: int, sent: list[int]) -> None:
    """A guard that was lost is filled from the oldest statement on: taking a newer one first would end that."""
    world = ordered(2, decided=2)
    for sequence in range(0 if noted is None else noted + 1):
        note_statement(world, sequence)
    repeating(world, {0, 1}, 5_000, send.RepeatedReceipts(), decided)
    receipts = [Receipts.from_message(value) for value in world.values("receipts")]
    assert [Statement.from_bytes(each.signed.statement).sequence for each in receipts] == sent


def test_what_the_outbox_no_longer_holds_is_not_repeated() -> None:
    """Nothing is published, and nothing signed."""
    world = ordered(2, decided=0)
    world.perform(lambda: send.note_decided(1, 64))
    stage = repeating(world, {0}, 5_000, send.RepeatedReceipts())
    assert stage.names() == ["ReadGuard", "ReadOutbox", "ReadOutbox"]


def test_evidence_is_sent_as_it_is() -> None:
    """Unsigned: an accuser's word adds no weight."""
    stage = ordered(0).perform(lambda: send.evidence(b"evidence"))
    assert stage.effects == [Publish(messages=(Outgoing("evidence", 0, None, b"evidence"),))]
