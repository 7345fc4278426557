"""The committing machine: executes orders on the Ledger's own records and signs the result (RECOVERY,
"commit").

Rules:

1. Strictly by sequence, and at most W beyond the last verified decision. What is ahead of a gap is held.
2. The Ledger makes entries and outcomes from its own execution and compares the entries' bytes with the
   order's. It never takes a value or a version from the Auditor.
3. It is on disk before it is signed, and the signing guard has noted it before the signature leaves.
4. An order that contradicts what the Auditor signed before is refused with the proof; but first the Ledger
   looks whether its store is still the one it judged by, and for damage in its own records; then it halts and
   accuses nobody.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ledger import send
from ledger.decisions import HeldDecision, hold_decision
from ledger.orders import (
    Contradiction,
    HeldOrder,
    OpenedOrder,
    check_header,
    hold_decided_order,
    hold_order,
    open_order,
)
from ledger.refuse import Refuser
from ledger.state import CommitState
from protocol.batches import AssembledBatch, assemble
from protocol.configuration import Epochs
from protocol.contracts.calls import Batch, Execution, Rejected
from protocol.records import Record, RecordKey
from protocol.requests import ClientSignatures
from protocol.signatures import SignatureCheck, order_hash
from schemas.order import OrderHeader
from schemas.statement import Result
from storage.effects import (
    Applied,
    Apply,
    Effect,
    Execute,
    Executed,
    Fetch,
    Fetched,
    Halt,
    Load,
    Loaded,
    Message,
    Outbox,
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
from storage.ports import (
    OutboxEntry,
    OutboxTrim,
    ReadCheck,
    RecordWrite,
    ReplayEntry,
    RequestExpiry,
    StoreCall,
)

_RECEIVED_AT_ONCE = 8


class CommitMachine(Machine):
    """Commits orders, one sequence after the other.

    Args:
        epochs: genesis and configurations; the latest one is in force.
    """

    def __init__(self, *, epochs: Epochs) -> None:
        super().__init__()
        self._epochs = epochs
        self._configuration = epochs.latest
        self._limits = epochs.limits
        self._refuser = Refuser(epochs)
        self._orders: dict[int, HeldOrder] = {}
        self._decisions: dict[int, HeldDecision] = {}
        self._statements: dict[int, bytes] = {}
        self._silence_ms = self._limits.resend_first_ms
        self._moved_at_ms = 0
        self._asked_again = False

    def run(self) -> Steps:
        """Load, send again what is not verified, serve; and from the start whenever the store refuses a
        call.
        """
        while True:
            state = yield from self._load()
            self._orders.clear()
            self._decisions.clear()
            if not (yield from self._load_statements(state)):
                if (yield from self._is_unchanged(state)):
                    yield Halt(code="store.damaged", text=f"results above {state.verified} are missing")
                continue
            yield Seek(positions=state.positions())
            yield from send.results(state.verified + 1, state.sequence, self._epochs)
            yield from self._serve(state)

    def _load(self) -> Generator[Effect, Any, CommitState]:
        """The state to go on from; what has stopped only sends its refusal again."""
        loaded: Loaded = yield Load()
        state = CommitState.from_cells(loaded.cells)
        if state.stopped:
            yield from self._refuser.send_again(state)
            yield Halt(code="evidence.raised", text=state.stopped)
        if state.epoch != self._configuration.epoch:
            yield Halt(code="epoch.needed", text=f"the store is in epoch {state.epoch}")
        return state

    def _load_statements(self, state: CommitState) -> Generator[Effect, Any, bool]:
        """Load the statements that no decision was seen of yet; whether they are all there."""
        self._statements.clear()
        for first in range(state.verified + 1, state.sequence + 1, _RECEIVED_AT_ONCE):
            last = min(first + _RECEIVED_AT_ONCE - 1, state.sequence)
            outbox: Outbox = yield ReadOutbox(kind="result", first=first, last=last)
            for entry in outbox.entries:
                self._statements[entry.number] = Result.from_bytes(entry.message).statement
        return len(self._statements) == state.sequence - state.verified

    def _is_unchanged(self, state: CommitState) -> Generator[Effect, Any, bool]:
        """Whether it is still the same store, and nobody else has gone on with it."""
        loaded: Loaded = yield Load()
        return all(loaded.cells.get(name, b"") == value for name, value in state.expected().items())

    def _serve(self, state: CommitState) -> Steps:
        """Commit order after order until the store refuses a call."""
        if state.sequence >= 0:  # said at once: nobody can tell else how far an idle line is
            yield Report(metrics={"gauge_sequence": state.sequence})
        self._moved_at_ms = self.now_ms
        while True:
            before = state
            received: Received = yield Receive(
                topics=("orders", "decisions"), max_messages=_RECEIVED_AT_ONCE, wait_ms=self._silence_ms
            )
            yield from self._hold_authentic(state, received.messages)
            state = yield from self._verify_decisions(state)
            while (held := self._orders.get(state.sequence + 1)) and self._may_commit(state, held):
                committed = yield from self._commit(state, held)
                if committed is None:
                    return
                state = committed
            yield from self._send_when_silent(before, state)

    def _hold_authentic(self, state: CommitState, messages: Sequence[Message]) -> Steps:
        """Keep the orders and decisions that are for now or soon and bear the Auditor's signature."""
        parsed = [held for message in messages for held in self._parse(state, message)]
        if not parsed:
            return
        verified: Verified = yield Verify(checks=tuple(held.signature_check(self._epochs) for held in parsed))
        for held, valid in zip(parsed, verified.valid, strict=True):
            if not valid:
                continue
            if isinstance(held, HeldDecision):
                self._decisions.setdefault(held.statement.sequence, held)
            else:
                self._orders.setdefault(held.header.sequence, held)
        if not all(verified.valid):
            yield Report(metrics={"skipped": verified.valid.count(False)})

    def _parse(self, state: CommitState, message: Message) -> Iterator[HeldOrder | HeldDecision]:
        """Orders and decisions that may be needed; note when an order is sent again because its result is missing."""
        window = self._configuration.window
        if message.topic == "decisions":
            decision = hold_decision(message, self._epochs)
            if decision is None or not 0 < decision.statement.sequence - state.verified <= 2 * window:
                return
            yield decision
            order = None
            if decision.statement.sequence > state.sequence:
                order = hold_decided_order(message, self._epochs)
        else:
            order = hold_order(message, self._epochs)
            if order and state.verified < order.header.sequence <= state.sequence:
                self._asked_again = True
        if order and 0 < order.header.sequence - state.sequence <= window:
            yield order

    def _may_commit(self, state: CommitState, held: HeldOrder) -> bool:
        in_time = held.header.ordered_at_ms <= self.now_ms + self._configuration.skew_ms
        return in_time and state.sequence - state.verified < self._configuration.window

    def _verify_decisions(self, state: CommitState) -> Generator[Effect, Any, CommitState]:
        """Go on over decisions that bear the Auditor's signature on this Ledger's own statements."""
        while (held := self._decisions.get(state.verified + 1)) and state.verified < state.sequence:
            sequence = state.verified + 1
            if held.signed.statement != self._statements[sequence]:
                text = f"the Auditor signed another statement at sequence {sequence} than this Ledger"
                yield Halt(code="store.contradicts_log", text=text)
            del self._decisions[sequence], self._statements[sequence]
            state = replace(state, verified=sequence, decisions=(held.message.offset + 1, held.message.leader_epoch))
        return state

    def _send_when_silent(self, before: CommitState, state: CommitState) -> Steps:
        """Send unverified results again when nothing moved for a while; sooner when asked to, but never more often than
        anything is sent again: an answer to each of many old orders would bury the Auditor.
        """
        if (state.sequence, state.verified) != (
            before.sequence,
            before.verified,
        ) or state.verified == state.sequence:
            self._silence_ms, self._moved_at_ms = self._limits.resend_first_ms, self.now_ms
            self._asked_again = False
            return
        patience_ms = self._limits.resend_first_ms if self._asked_again else self._silence_ms
        if self.now_ms - self._moved_at_ms >= patience_ms:
            yield from send.results(state.verified + 1, state.sequence, self._epochs)
            self._silence_ms = min(2 * self._silence_ms, self._limits.resend_longest_ms)
            self._moved_at_ms = self.now_ms
            self._asked_again = False

    def _commit(self, state: CommitState, held: HeldOrder) -> Generator[Effect, Any, CommitState | None]:
        """Commit the next order; None if the store refused."""
        sequence = held.header.sequence
        if held.header.kind not in ("normal", "empty"):
            yield Halt(code="epoch.needed", text=f"order {sequence} is of kind {held.header.kind}")
        contradiction = check_header(held, state)
        opened = contradiction or open_order(held, self._limits)
        if isinstance(opened, Contradiction):
            yield from self._refuse(state, held, opened)
            return None
        surely, probably = opened.records
        fetched: Fetched = yield Fetch(keys=surely, ahead=probably, replay=opened.replay())
        contradiction = yield from self._authenticate(opened, fetched)
        if contradiction:
            yield from self._refuse(state, held, contradiction, records=fetched.records)
            return None
        executed = yield from self._execute(state, opened, fetched)
        assembled = self._assemble(opened, executed)
        if isinstance(assembled, Contradiction):
            yield from self._refuse(state, held, assembled, records=fetched.records)
            return None
        for index, (own, ordered) in enumerate(zip(assembled.entries, held.order.entries, strict=True)):
            if own != ordered:
                text = "it reads or writes other versions than there are"
                differing = Contradiction(code="order.stale_read", entry_index=index, text=text)
                yield from self._refuse(state, held, differing, records=fetched.records, own_entry=own)
                return None
        return (yield from self._store(state, opened, executed, assembled))

    def _refuse(
        self,
        state: CommitState,
        held: HeldOrder,
        contradiction: Contradiction,
        *,
        records: Mapping[RecordKey, Record] | None = None,
        own_entry: bytes | None = None,
    ) -> Steps:
        """Refuse an order, unless the store is another one by now, or somebody else has gone on with it: then what
        was read may be of any moment, and says nothing about the Auditor.
        """
        if (yield from self._is_unchanged(state)):
            yield from self._refuser.refuse(state, held, contradiction, records=records, own_entry=own_entry)

    def _authenticate(self, opened: OpenedOrder, fetched: Fetched) -> Generator[Effect, Any, Contradiction | None]:
        """Check what the clients signed, and that no request was decided before."""
        for index, request in enumerate(opened.requests):
            if request.request_id in fetched.replayed:
                earlier = fetched.replayed[request.request_id]
                text = f"it stands in order {earlier} as well"
                return Contradiction(code="order.repeated", entry_index=index, text=text, earlier=earlier)
        signatures = ClientSignatures(fetched.records)
        checks: list[SignatureCheck] = []
        for index, request in enumerate(opened.requests):
            check = signatures.check_of(request)
            if check is None:
                return Contradiction(code="order.client", entry_index=index, text="its entity has no such key")
            checks.append(check)
        distinct = tuple(dict.fromkeys(checks))
        if not distinct:
            return None
        verified: Verified = yield Verify(checks=distinct)
        forged = {check for check, valid in zip(distinct, verified.valid, strict=True) if not valid}
        for index, check in enumerate(checks):
            if check in forged:
                return Contradiction(code="order.client", entry_index=index, text="its client did not sign it")
        return None

    def _execute(self, state: CommitState, opened: OpenedOrder, fetched: Fetched) -> Generator[Effect, Any, Executed]:
        if not opened.requests:
            return Executed(now_ms=self.now_ms, results=())
        header = opened.held.header
        batch = Batch(
            ledger_id=self._epochs.ledger_id,
            sequence=header.sequence,
            ordered_at_ms=header.ordered_at_ms,
            calls=opened.calls(),
            records=fetched.records,
        )
        executed: Executed = yield Execute(batch=batch)
        for index, result in enumerate(executed.results):
            if isinstance(result, Rejected) and result.code == "contract.resources":
                text = f"request {index} of order {header.sequence} exhausts this Ledger"
                yield Halt(code="resources.exceeded", text=text)
        return executed

    def _assemble(self, opened: OpenedOrder, executed: Executed) -> AssembledBatch | Contradiction:
        """Assemble the batch from what was executed here."""
        executions: list[Execution] = []
        for index, result in enumerate(executed.results):
            if isinstance(result, Rejected):
                code = "order.client" if result.code.startswith("entity.") else "order.versions"
                return Contradiction(code=code, entry_index=index, text=result.code, reads=result.reads)
            executions.append(result)
        if len(executions) < len(opened.requests):
            text = "the batch goes on behind its limit"
            return Contradiction(code="order.malformed", entry_index=len(executions), text=text)
        return assemble(opened.requests, executions, opened.held.header.sequence)

    def _store(
        self, state: CommitState, opened: OpenedOrder, executed: Executed, assembled: AssembledBatch
    ) -> Generator[Effect, Any, CommitState | None]:
        """Make the store's call, then sign and send the result; None if the store refused."""
        held = opened.held
        header = held.header
        statement = state.head.next_statement(held.order.header, header, assembled.outcomes_root).to_bytes()
        result = Result(
            statement=statement,
            order_signature=held.order.signature,
            ledger_signature=send.UNSIGNED,
            outcomes=assembled.outcomes,
        )
        after = replace(
            state,
            head=state.head.advance(statement),
            order_hash=order_hash(held.order.header),
            ordered_at_ms=header.ordered_at_ms,
            orders=(held.message.offset + 1, held.message.leader_epoch) if held.message else state.orders,
        )
        outbox = OutboxEntry("result", header.sequence, result.to_bytes())
        ordered = OutboxEntry("order", header.sequence, held.order.to_bytes())
        kept = state.verified - 2 * self._configuration.window
        call = StoreCall(
            expected_cells=state.expected(),
            unseen=tuple(RequestExpiry(r.request_id, r.body.expiry_ms) for r in opened.requests),
            reads=tuple(ReadCheck(key, version, hashed) for key, version, hashed in assembled.reads),
            scans=tuple(scan.check() for scan in executed.scans),
            writes=tuple(RecordWrite(key, record) for key, record in assembled.writes),
            replay=tuple(ReplayEntry(r.request_id, r.body.expiry_ms, header.sequence) for r in opened.requests),
            evict_before_ms=header.ordered_at_ms,
            cells=after.cells(),
            outbox_put=(outbox, ordered),
            outbox_trim=(OutboxTrim("result", kept), OutboxTrim("order", kept)),
        )
        answer: Applied | Refused = yield Apply(call=call)
        if isinstance(answer, Refused):
            yield Report(metrics={f"refused_{answer.reason}": 1})
            return None
        del self._orders[header.sequence]
        self._statements[header.sequence] = statement
        yield from send.send_results((outbox,), self._epochs)
        yield Report(metrics=self._measures(after, header))
        return after

    def _measures(self, state: CommitState, header: OrderHeader) -> dict[str, float]:
        return {
            "committed": header.count,
            "batches": 1,
            "commit_ms_sum": max(0, self.now_ms - header.ordered_at_ms),
            "gauge_sequence": state.sequence,
            "gauge_unverified": state.sequence - state.verified,
        }
