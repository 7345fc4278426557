"""The validating machine: compares the Ledger's results with the Auditor's own, and countersigns (RECOVERY,
"validate").

Rules:

1. Strictly by sequence. Nothing above a disputed sequence is ever countersigned.
2. Equal means equal bytes: the Auditor made the same statement when it ordered. What differs becomes evidence
   only after the offline verifier has convicted the Ledger of it; where it names the Auditor, or cannot
   judge, the Auditor halts.
3. A result for an order that is not known yet is held, bounded by the window; one that fails authentication
   is skipped.
"""

import struct
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from auditor import send
from auditor.accuse import Accuser
from auditor.heal import DecisionHealer
from auditor.state import read_sequence, write_sequence
from protocol import merkle
from protocol.configuration import Epochs
from protocol.errors import CountersignError
from protocol.journal import FORMAT
from protocol.signatures import SignatureCheck, ledger_endorsement_input, order_input
from schemas.errors import MalformedMessageError
from schemas.statement import Result, Statement, Update
from storage.effects import (
    FIRST_OFFSET,
    Applied,
    Apply,
    Effect,
    Halt,
    Load,
    Loaded,
    Message,
    Outbox,
    Position,
    ReadOutbox,
    Receive,
    Received,
    Refused,
    Report,
    Seek,
    Verified,
    Verify,
)
from storage.machine import Machine, Steps
from storage.ports import OutboxEntry, OutboxTrim, StoreCall

RESULTS = "results"
_RECEIVED_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateState:
    """Where validating stands.

    Attributes:
        decided: the last sequence that both parties have signed.
        delivered: the last decision that the broker was known to have at the time of the last call.
        position: next offset and leader epoch in `results`.
    """

    store_id: bytes
    epoch: bytes
    decided: int
    delivered: int
    position: bytes

    @classmethod
    def from_cells(cls, cells: Mapping[str, bytes]) -> Self:
        """Read back what `cells` wrote.

        Raises:
            CountersignError: `store.damaged`, a cell is missing or not in our own form.
        """
        try:
            return cls(
                store_id=cells["store_id"],
                epoch=cells["epoch"],
                decided=read_sequence(cells["decided"]),
                delivered=read_sequence(cells["delivered"]),
                position=cells.get("results_position", b""),
            )
        except (KeyError, ValueError, struct.error) as error:
            raise CountersignError("store.damaged", f"cells: {error!r}") from error

    def cells(self) -> dict[str, bytes]:
        """The cells that validating writes."""
        return {
            "decided": write_sequence(self.decided),
            "delivered": write_sequence(self.delivered),
            "results_position": self.position,
        }

    def expected(self) -> dict[str, bytes]:
        """The cells that must be unchanged for the next call."""
        return {
            "store_id": self.store_id,
            "epoch": self.epoch,
            "stopped": b"",
            "decided": write_sequence(self.decided),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldResult:
    """A result that parses, with the message it came in."""

    message: Message
    result: Result
    statement: Statement


class ValidateMachine(Machine):
    """Validates and countersigns, one sequence after the other.

    Args:
        epochs: genesis and configurations; the latest one is in force.
    """

    def __init__(self, *, epochs: Epochs) -> None:
        super().__init__()
        self._epochs = epochs
        self._configuration = epochs.latest
        self._limits = epochs.limits
        self._accuser = Accuser(epochs)
        self._healer = DecisionHealer(epochs)
        self._held: dict[int, HeldResult] = {}
        self._silence_ms = self._limits.resend_first_ms
        self._moved_at_ms = 0

    def run(self) -> Steps:
        """Load, send what may not have been sent, serve; and from the start whenever the store refuses a
        call.
        """
        while True:
            loaded: Loaded = yield Load()
            state = ValidateState.from_cells(loaded.cells)
            if loaded.cells.get("stopped"):
                yield from send.waiting_evidence(state.decided + 1)
                yield Halt(code="evidence.raised", text=loaded.cells["stopped"].decode())
            self._held.clear()
            yield Seek(positions=(self._position(state),))
            yield from send.note_decided(state.decided, self._configuration.window)
            yield from send.decisions(state.delivered + 1, state.decided, self._epochs)
            state = replace(state, delivered=state.decided)
            if state.decided >= 0:  # said at once: nobody can tell else how far an idle line is
                yield Report(metrics={"gauge_decided": state.decided})
            yield from self._serve(state)

    def _position(self, state: ValidateState) -> Position:
        if not state.position:
            return Position(RESULTS, 0, FIRST_OFFSET)
        offset = int.from_bytes(state.position[:8], "big")
        return Position(RESULTS, 0, offset, int.from_bytes(state.position[8:], "big", signed=True))

    def _serve(self, state: ValidateState) -> Steps:
        """Validate result after result until the store refuses a call."""
        self._moved_at_ms = self.now_ms
        while True:
            received: Received = yield Receive(
                topics=(RESULTS,), max_messages=_RECEIVED_AT_ONCE, wait_ms=self._silence_ms
            )
            for message in received.messages:
                yield from self._hold(state, message)
            validated = yield from self._validate(state)
            if validated is None:
                return
            yield from self._healer.answer(self.now_ms)
            if validated.decided != state.decided:
                self._silence_ms, self._moved_at_ms = self._limits.resend_first_ms, self.now_ms
            elif self.now_ms - self._moved_at_ms >= self._silence_ms:
                yield from self._healer.look(validated.decided)
                self._silence_ms = min(2 * self._silence_ms, self._limits.resend_longest_ms)
                self._moved_at_ms = self.now_ms
            state = validated

    def _hold(self, state: ValidateState, message: Message) -> Steps:
        """Keep a result that may be validated now or soon; one that is decided asks for its decision."""
        try:
            result = Result.from_message(message.value or b"")
            statement = Statement.from_bytes(result.statement)
        except MalformedMessageError:
            yield Report(metrics={"skipped": 1})
            return
        if (statement.format, statement.ledger_id) != (FORMAT, self._epochs.ledger_id):
            yield Report(metrics={"skipped": 1})  # nothing that evidence could be made of
            return
        ahead = statement.sequence - state.decided
        window = self._configuration.window
        if statement.epoch != self._configuration.epoch or not -2 * window < ahead <= window:
            return
        held = HeldResult(message=message, result=result, statement=statement)
        if not (yield from self._authentic(held)):
            yield Report(metrics={"skipped": 1})
        elif ahead > 0:
            self._held.setdefault(statement.sequence, held)
        else:
            self._healer.ask(statement.sequence)

    def _authentic(self, held: HeldResult) -> Generator[Effect, Any, bool]:
        """Whether the Ledger endorsed this result."""
        signed = ledger_endorsement_input(
            self._epochs.ledger_id, held.statement.epoch, held.result.statement, held.result.order_signature
        )
        check = SignatureCheck(self._configuration.ledger_key, signed, held.result.ledger_signature)
        verified: Verified = yield Verify(checks=(check,))
        return verified.valid[0]

    def _validate(self, state: ValidateState) -> Generator[Effect, Any, ValidateState | None]:
        """Countersign every held result that follows the last decision; None if the store refused."""
        last = state.decided
        while last + 1 in self._held:
            last += 1
        if last == state.decided:
            return state
        outbox: Outbox = yield ReadOutbox(kind="order", first=state.decided + 1, last=last)
        agreed: list[tuple[HeldResult, OutboxEntry]] = []
        for entry in outbox.entries:
            if entry.number != state.decided + 1 + len(agreed):
                break
            held = self._held[entry.number]
            if not (yield from self._agrees(held, entry.message)):
                if agreed:
                    break  # settle what is below first
                if merkle.root(held.result.outcomes) != held.statement.outcomes_root:
                    del self._held[entry.number]  # altered on the way: the Ledger will send it again
                    break
                yield from self._dispute(state, held, entry.message)
                return None
            agreed.append((held, entry))
        if not agreed:
            return state
        return (yield from self._countersign(state, agreed))

    def _agrees(self, held: HeldResult, update_bytes: bytes) -> Generator[Effect, Any, bool]:
        """Whether the Ledger made the same statement, upon the order that was really signed."""
        update = Update.from_bytes(update_bytes)
        if held.result.statement != update.statement:
            return False
        signed = order_input(self._epochs.ledger_id, held.statement.epoch, update.header)
        check = SignatureCheck(self._configuration.auditor_key, signed, held.result.order_signature)
        verified: Verified = yield Verify(checks=(check,))
        return verified.valid[0]

    def _countersign(
        self, state: ValidateState, agreed: Sequence[tuple[HeldResult, OutboxEntry]]
    ) -> Generator[Effect, Any, ValidateState | None]:
        """Make the store's call for these decisions, then sign and send them."""
        newest = agreed[-1][0].message
        position = (newest.offset + 1).to_bytes(8, "big") + newest.leader_epoch.to_bytes(4, "big", signed=True)
        after = replace(state, decided=agreed[-1][1].number, position=position)
        call = StoreCall(
            expected_cells=state.expected(),
            cells=after.cells(),
            outbox_put=tuple(OutboxEntry("decision", e.number, held.result.ledger_signature) for held, e in agreed),
            outbox_trim=(OutboxTrim("decision", after.decided - 2 * self._configuration.window),),
        )
        answer: Applied | Refused = yield Apply(call=call)
        if isinstance(answer, Refused):
            yield Report(metrics={f"refused_{answer.reason}": 1})
            return None
        yield from send.send(
            [send.decision(entry.message, held.result.ledger_signature, self._epochs) for held, entry in agreed]
        )
        for _, entry in agreed:
            del self._held[entry.number]
        yield Report(metrics=self._measures(after, agreed))
        return replace(after, delivered=after.decided)

    def _measures(self, state: ValidateState, agreed: Sequence[tuple[HeldResult, OutboxEntry]]) -> dict[str, float]:
        statements = [held.statement for held, _ in agreed]
        return {
            "decided": sum(statement.count for statement in statements),
            "decisions": len(statements),
            "decide_ms_sum": sum(max(0, self.now_ms - statement.ordered_at_ms) for statement in statements),
            "gauge_decided": state.decided,
        }

    def _dispute(self, state: ValidateState, held: HeldResult, update_bytes: bytes) -> Steps:
        """Raise evidence against the Ledger if the offline verifier convicts it, and halt; go on only if the store
        refused: whatever it holds then, this process did not know of it.
        """
        accusation = yield from self._accuser.accuse(Update.from_bytes(update_bytes), held.result)
        if accusation.evidence is None:
            yield Halt(code=accusation.code, text=accusation.text)
            return
        call = StoreCall(
            expected_cells=state.expected(),
            cells={"stopped": accusation.text.encode()},
            outbox_put=(OutboxEntry("evidence", held.statement.sequence, accusation.evidence),),
        )
        answer: Applied | Refused = yield Apply(call=call)
        if isinstance(answer, Refused):
            yield Report(metrics={f"refused_{answer.reason}": 1})
            return
        yield from send.evidence(accusation.evidence)
        yield Halt(code="evidence.raised", text=accusation.text)
