"""What the Ledger sends, made from its outbox: each message comes out byte-identical however often it is
sent.

What waits in the outbox lacks the Ledger's signature. The signing guard notes the place, then the message is
signed (deterministically), then sent.
"""

from collections.abc import Sequence
from dataclasses import replace

from protocol.configuration import Epochs
from protocol.signatures import ledger_endorsement_input, statement_hash
from schemas.statement import Result, Statement
from storage.effects import Note, Outbox, Outgoing, Publish, ReadOutbox, Sign, Signed
from storage.machine import Steps
from storage.ports import OutboxEntry, Place

_PORTION = 8
"""Outbox entries read and sent at once, which bounds memory."""

UNSIGNED = bytes(64)
"""Stands where the Ledger's signature goes."""


def results(first: int, last: int, epochs: Epochs) -> Steps:
    """Send results again, as far back as the outbox holds them."""
    for start in range(first, last + 1, _PORTION):
        outbox: Outbox = yield ReadOutbox(kind="result", first=start, last=min(start + _PORTION - 1, last))
        yield from send_results(outbox.entries, epochs)


def send_results(entries: Sequence[OutboxEntry], epochs: Epochs) -> Steps:
    """Note, sign and send results that wait in the outbox."""
    if not entries:
        return
    unsigned = [Result.from_bytes(entry.message) for entry in entries]
    statements = [Statement.from_bytes(result.statement) for result in unsigned]
    yield Note(
        places=tuple(
            Place("statement", s.epoch, s.sequence, statement_hash(result.statement), s.previous_statement_hash)
            for result, s in zip(unsigned, statements, strict=True)
        )
    )
    signed: Signed = yield Sign(
        messages=tuple(
            ledger_endorsement_input(epochs.ledger_id, s.epoch, result.statement, result.order_signature)
            for result, s in zip(unsigned, statements, strict=True)
        )
    )
    yield Publish(
        messages=tuple(
            Outgoing("results", 0, None, replace(result, ledger_signature=signature).to_message())
            for result, signature in zip(unsigned, signed.signatures, strict=True)
        )
    )
