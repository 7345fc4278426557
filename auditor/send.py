"""What the Auditor sends, made from its outbox: each message comes out byte-identical however often it is
sent.

Rules:

1. What waits in the outbox holds no signature of the Auditor. The signing guard notes the place, then the
   message is signed (deterministically), then sent.
2. Whoever sends twice does no harm: receivers drop what they have.
"""

import hmac
from collections.abc import Callable, Generator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from auditor.state import OrderState
from protocol.configuration import Epochs
from protocol.hashing import tagged
from protocol.limits import SECOND_MS
from protocol.signatures import (
    auditor_endorsement_input,
    order_hash,
    order_input,
    rejections_input,
    statement_hash,
)
from schemas.order import Order, OrderHeader
from schemas.receipt import Receipts
from schemas.rejection import Rejections, RejectionsHeader
from schemas.statement import Countersigned, Decision, Statement, Update
from storage.effects import Effect, GuardRead, Note, Outbox, Outgoing, Publish, ReadGuard, ReadOutbox, Sign, Signed
from storage.machine import Steps
from storage.ports import OutboxEntry, Place

_PORTION = 8
"""Outbox entries read and sent at once, which bounds memory."""


def salt(secret: bytes, ledger_id: bytes, epoch: int, sequence: int, entries_root: bytes) -> bytes:
    """The salt of an order's commitment: a function of the order, so that it survives the store
    (RECOVERY).
    """
    numbers = epoch.to_bytes(8, "big"), sequence.to_bytes(8, "big")
    return hmac.digest(secret, tagged("salt", ledger_id, *numbers, entries_root), sha256)


class Unsigned(NamedTuple):
    """A message that lacks signatures.

    Attributes:
        place: what the signing guard notes.
        inputs: what is signed.
        build: from the signatures to what is sent.
    """

    place: Place
    inputs: tuple[bytes, ...]
    build: Callable[[Sequence[bytes]], tuple[Outgoing, ...]]


def send(unsigned: Sequence[Unsigned]) -> Steps:
    """Note, sign and send, all at once."""
    outgoing = yield from sign(unsigned)
    if outgoing:
        yield Publish(messages=outgoing)


def sign(unsigned: Sequence[Unsigned]) -> Generator[Effect, Any, tuple[Outgoing, ...]]:
    """Note and sign; what is to be sent."""
    if not unsigned:
        return ()
    yield Note(places=tuple(message.place for message in unsigned))
    signed: Signed = yield Sign(messages=tuple(data for message in unsigned for data in message.inputs))
    signatures = iter(signed.signatures)
    outgoing: list[Outgoing] = []
    for message in unsigned:
        outgoing += message.build([next(signatures) for _ in message.inputs])
    return tuple(outgoing)


def send_entries(entries: Sequence[OutboxEntry], epochs: Epochs) -> Steps:
    """Send outbox entries of the kinds "order" and "rejections"."""
    makers = {"order": _order, "rejections": _rejections}
    yield from send([makers[entry.kind](entry.message, epochs) for entry in entries])


def undecided_orders(state: OrderState, epochs: Epochs) -> Steps:
    """Send every order that is not decided yet, in order."""
    for first in range(state.decided + 1, state.sequence + 1, _PORTION):
        last = min(first + _PORTION - 1, state.sequence)
        outbox: Outbox = yield ReadOutbox(kind="order", first=first, last=last)
        yield from send_entries(outbox.entries, epochs)


def waiting_rejections(state: OrderState, epochs: Epochs) -> Steps:
    """Send the rejection batch that may not have been sent before a crash."""
    if state.rejection_number >= 0:
        number = state.rejection_number
        outbox: Outbox = yield ReadOutbox(kind="rejections", first=number, last=number)
        yield from send_entries(outbox.entries, epochs)


def _order(message: bytes, epochs: Epochs) -> Unsigned:
    update = Update.from_bytes(message)
    header = OrderHeader.from_bytes(update.header)

    def build(signatures: Sequence[bytes]) -> tuple[Outgoing, ...]:
        order = Order(header=update.header, entries=update.entries, signature=signatures[0])
        return (Outgoing("orders", 0, None, order.to_message()),)

    return Unsigned(
        place=Place("order", header.epoch, header.sequence, order_hash(update.header), header.previous_order_hash),
        inputs=(order_input(epochs.ledger_id, header.epoch, update.header),),
        build=build,
    )


def _rejections(message: bytes, epochs: Epochs) -> Unsigned:
    rejections = Rejections.from_bytes(message)
    header = RejectionsHeader.from_bytes(rejections.header)

    def build(signatures: Sequence[bytes]) -> tuple[Outgoing, ...]:
        signed = Rejections(header=rejections.header, entries=rejections.entries, signature=signatures[0])
        return (Outgoing("rejections", 0, None, signed.to_message()),)

    hashed = tagged("rejections", rejections.header)
    return Unsigned(
        place=Place("rejections", header.epoch, header.rejection_number, hashed, header.previous_hash),
        inputs=(rejections_input(epochs.ledger_id, header.epoch, rejections.header),),
        build=build,
    )


def decision(update_bytes: bytes, ledger_signature: bytes, epochs: Epochs) -> Unsigned:
    """A decision and its receipts, from the Auditor's own update and the Ledger's endorsement of the same
    statement.
    """
    update = Update.from_bytes(update_bytes)
    statement = Statement.from_bytes(update.statement)
    place = (epochs.ledger_id, statement.epoch)

    def build(signatures: Sequence[bytes]) -> tuple[Outgoing, ...]:
        signed = Countersigned(
            statement=update.statement,
            header=update.header,
            order_signature=signatures[0],
            ledger_signature=ledger_signature,
            salt=update.salt,
            auditor_signature=signatures[1],
        )
        decided = Decision(
            signed=signed,
            entries=update.entries,
            outcomes=update.outcomes,
            outputs=update.outputs,
            values=update.values,
        )
        messages = [Outgoing("decisions", 0, None, decided.to_message())]
        if update.outcomes:
            receipts = Receipts(signed=signed, outcomes=update.outcomes, outputs=update.outputs)
            messages.append(Outgoing("receipts", 0, None, receipts.to_message()))
        return tuple(messages)

    return Unsigned(
        place=statement_place(update.statement),
        inputs=(
            order_input(*place, update.header),
            auditor_endorsement_input(*place, update.statement, update.salt),
        ),
        build=build,
    )


def note_decided(decided: int, window: int) -> Steps:
    """Note every statement that may be signed again: a guard that was lost takes no older ones once it has a newer one.

    Args:
        decided: the last sequence decided.
        window: W; the outbox goes back three times as far at most.
    """
    guarded: GuardRead = yield ReadGuard(kind="statement")
    start = guarded.place.sequence + 1 if guarded.place else max(0, decided - 3 * window)
    for first in range(start, decided + 1, _PORTION):
        outbox: Outbox = yield ReadOutbox(kind="order", first=first, last=min(first + _PORTION - 1, decided))
        if outbox.entries:
            updates = [Update.from_bytes(entry.message) for entry in outbox.entries]
            yield Note(places=tuple(statement_place(update.statement) for update in updates))


def statement_place(statement_bytes: bytes) -> Place:
    """The place that a statement takes in the signing guard."""
    statement = Statement.from_bytes(statement_bytes)
    return Place(
        "statement",
        statement.epoch,
        statement.sequence,
        statement_hash(statement_bytes),
        statement.previous_statement_hash,
    )


def decisions(first: int, last: int, epochs: Epochs) -> Steps:
    """Send decisions and their receipts again, as far back as the outbox holds them."""
    for start in range(first, last + 1, _PORTION):
        messages = yield from decision_messages(start, min(start + _PORTION - 1, last), epochs)
        if messages:
            yield Publish(messages=messages)


def decision_messages(first: int, last: int, epochs: Epochs) -> Generator[Effect, Any, tuple[Outgoing, ...]]:
    """Decisions and their receipts as they are sent, those that the outbox holds; few at once."""
    updates: Outbox = yield ReadOutbox(kind="order", first=first, last=last)
    endorsements: Outbox = yield ReadOutbox(kind="decision", first=first, last=last)
    endorsed = {entry.number: entry.message for entry in endorsements.entries}
    present = [entry for entry in updates.entries if entry.number in endorsed]
    return (yield from sign([decision(entry.message, endorsed[entry.number], epochs) for entry in present]))


class RepeatedReceipts:
    """Receipts that clients ask for again by sending a decided request again: at most once a second for
    each batch.
    """

    def __init__(self) -> None:
        self._sent_at_ms: dict[int, int] = {}

    def send(self, sequences: set[int], state: OrderState, epochs: Epochs, now_ms: int) -> Steps:
        """Send the receipts of these sequences again, if they are decided and the outbox still holds them.

        Those that the guard has not got yet are left out: after its loss it is filled from the oldest one on.
        """
        guarded: GuardRead = yield ReadGuard(kind="statement")
        signed = guarded.place.sequence if guarded.place else -1
        self._sent_at_ms = {s: at for s, at in self._sent_at_ms.items() if now_ms - at < SECOND_MS}
        for sequence in sorted(sequences):
            if sequence <= min(state.decided, signed) and sequence not in self._sent_at_ms:
                self._sent_at_ms[sequence] = now_ms
                messages = yield from decision_messages(sequence, sequence, epochs)
                receipts = tuple(message for message in messages if message.topic == "receipts")
                if receipts:  # not the decision: it is kept for ever
                    yield Publish(messages=receipts)


def evidence(message: bytes) -> Steps:
    """Send evidence; it is unsigned, for an accuser's word adds no weight."""
    yield Publish(messages=(Outgoing("evidence", 0, None, message),))


def waiting_evidence(sequence: int) -> Steps:
    """Send the evidence about a sequence that may not have been sent before a crash."""
    outbox: Outbox = yield ReadOutbox(kind="evidence", first=sequence, last=sequence)
    for entry in outbox.entries:
        yield from evidence(entry.message)
