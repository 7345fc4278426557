"""Refusing an order that contradicts what its own signer signed before (PROTOCOL 2, "Refusal").

A refusal without a proof proves nothing and makes the Ledger a false accuser. So the Ledger first looks at its own
records, and refuses only with evidence that the offline verifier convicts the Auditor of; otherwise it halts and
accuses nobody.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ledger.orders import Contradiction, HeldOrder
from ledger.send import UNSIGNED
from ledger.state import CommitState
from protocol.configuration import Epochs
from protocol.errors import CountersignError
from protocol.evidence import build
from protocol.evidence.decisions import select_decisions
from protocol.evidence.local_engine import LocalEngine
from protocol.evidence.objections import Objection, Objector
from protocol.evidence.verdicts import Finding, NothingProvenError
from protocol.evidence.verify import verify_evidence
from protocol.records import Record, RecordKey, verify_record
from protocol.signatures import refusal_input
from schemas.evidence import Evidence
from schemas.order import Entry, Order
from schemas.rejection import Refused as RefusedOrder
from schemas.statement import Decision
from storage.effects import (
    Applied,
    Apply,
    Effect,
    FindDecisions,
    Halt,
    Outbox,
    Outgoing,
    Publish,
    ReadOutbox,
    Received,
    Sign,
    Signed,
)
from storage.effects import (
    Refused as StoreRefused,
)
from storage.machine import Steps
from storage.ports import OutboxEntry, StoreCall


class Refuser:
    """Refuses orders of one ledger."""

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs

    def refuse(
        self,
        state: CommitState,
        held: HeldOrder,
        contradiction: Contradiction,
        *,
        records: Mapping[RecordKey, Record] | None = None,
        own_entry: bytes | None = None,
    ) -> Steps:
        """Stop at an order that contradicts the Ledger's records: with a proof, or accusing nobody.

        Args:
            state: where committing stands.
            held: the order, authentic.
            contradiction: what was found.
            records: of the Ledger, that the judgement relied on; they are checked for damage first.
            own_entry: what the Ledger made of the request, where the versions differ.
        """
        where = f"order {held.header.sequence}, entry {contradiction.entry_index}: {contradiction.text}"
        try:
            for key, record in (records or {}).items():
                verify_record(self._epochs.ledger_id, key, record)
            objection = self._object(held, contradiction, own_entry)
            evidence = yield from self._prove(state, objection)
        except (NothingProvenError, CountersignError) as error:
            yield Halt(code="store.contradicts_log", text=f"{where}: {error}")
            return
        verdict = verify_evidence(evidence.to_bytes(), self._epochs.ledger_id, LocalEngine())
        if verdict.finding is not Finding.GUILTY or not verdict.culprit or verdict.culprit.role != "auditor":
            yield Halt(code="store.contradicts_log", text=f"{where}: {verdict}")
        yield from self._stop(state, objection, evidence)
        yield Halt(code="evidence.raised", text=f"{objection.code}: {where}: {verdict}")

    def _object(self, held: HeldOrder, contradiction: Contradiction, own_entry: bytes | None) -> Objection:
        """The objection that fits what was found.

        Raises:
            NothingProvenError: none does.
        """
        objector, index = Objector(self._epochs, held.order), contradiction.entry_index
        if index < 0:
            return objector.object_to_header(contradiction.code)
        malformed = objector.object_to_form(index)
        if malformed:
            return malformed
        if contradiction.code == "order.repeated":
            assert contradiction.earlier is not None
            return objector.object_to_repetition(index, contradiction.earlier)
        if contradiction.code == "order.client":
            return objector.object_to_client(index, contradiction.reads)
        if contradiction.code in ("order.stale_read", "order.versions"):
            own = Entry.from_bytes(own_entry) if own_entry is not None else None
            return objector.object_to_versions(index, own, contradiction.reads)
        return objector.object_to_entry(index)

    def _prove(self, state: CommitState, objection: Objection) -> Generator[Effect, Any, Evidence]:
        sequences = objection.needed_orders | objection.needed_decisions
        decisions: dict[int, Decision] = {}
        if sequences:
            found: Received = yield FindDecisions(sequences=tuple(sorted(sequences)))
            decisions = select_decisions((message.value or b"" for message in found.messages), self._epochs)
        orders = {sequence: build.order_of(decision) for sequence, decision in decisions.items()}
        undecided = sorted(objection.needed_orders - orders.keys())
        if undecided:
            outbox: Outbox = yield ReadOutbox(kind="order", first=undecided[0], last=undecided[-1])
            orders.update(_orders(outbox.entries))
        return objection.build(orders, decisions)

    def _stop(self, state: CommitState, objection: Objection, evidence: Evidence) -> Steps:
        """Stop for good, then sign and send the refusal; whoever else has stopped or gone on sends his own."""
        refusal, attachments = build.refusal(objection.order, objection.code, objection.entry_index, evidence)
        unsigned = RefusedOrder(
            epoch=state.epoch, refusal=refusal.to_bytes(), signature=UNSIGNED, attachments=attachments
        )
        kept = OutboxEntry("refusal", state.sequence + 1, unsigned.to_message())
        call = StoreCall(
            expected_cells=state.expected(),
            cells={"stopped": objection.code.encode()},
            outbox_put=(kept,),
        )
        answer: Applied | StoreRefused = yield Apply(call=call)
        if isinstance(answer, Applied):
            yield from self._send(kept)

    def send_again(self, state: CommitState) -> Steps:
        """Send the refusal of a Ledger that has stopped: it may have ended before it was sent."""
        number = state.sequence + 1
        outbox: Outbox = yield ReadOutbox(kind="refusal", first=number, last=number)
        for kept in outbox.entries:
            yield from self._send(kept)

    def _send(self, kept: OutboxEntry) -> Steps:
        """Sign and send a refusal that waits in the outbox, and the evidence that is attached to it."""
        unsigned = RefusedOrder.from_message(kept.message)
        signed: Signed = yield Sign(messages=(refusal_input(self._epochs.ledger_id, unsigned.epoch, unsigned.refusal),))
        message = replace(unsigned, signature=signed.signatures[0]).to_message()
        evidence = (Evidence.from_bytes(attachment).to_message() for attachment in unsigned.attachments)
        yield Publish(messages=tuple(Outgoing("evidence", 0, None, value) for value in (message, *evidence)))


def _orders(entries: Sequence[OutboxEntry]) -> dict[int, Order]:
    return {entry.number: Order.from_bytes(entry.message) for entry in entries}
