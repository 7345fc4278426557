"""The ordering machine: from client requests to signed orders (RECOVERY, "order" and "send").

Rules:

1. One store call per batch changes everything: records, replay guard, positions, sequence, outbox. It is on
   disk before anything is signed, and the signing guard has noted it before the signature leaves.
2. Anything unexpected (a refused call, another active process) is met in one way: load what the store holds,
   send what is undecided again, go on from the stored positions.
3. At most W batches are ordered beyond the last decision.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from auditor import send
from auditor.batch import BatchBuilder, ExecutedBatch, OrderedBatch
from auditor.candidates import Candidates, drop_forged, drop_untimely, open_messages, signature_checks
from auditor.rejections import UnauthenticatedAllowance
from auditor.state import OrderState, write_sequence
from protocol.configuration import Epochs
from protocol.contracts.calls import Batch
from schemas.order import Kind
from storage.effects import (
    FIRST_OFFSET,
    Applied,
    Apply,
    Await,
    Awaited,
    Effect,
    Execute,
    Executed,
    Fetch,
    Fetched,
    GuardRead,
    Halt,
    Load,
    Loaded,
    Message,
    Position,
    ReadGuard,
    Receive,
    Received,
    Refused,
    Report,
    Seek,
    Verified,
    Verify,
)
from storage.machine import Machine, Steps

REQUESTS = "requests"


class OrderMachine(Machine):
    """Orders requests, one batch after the other.

    Args:
        epochs: genesis and configurations; the latest one is in force.
        salt_secret: kept with the signing key, so that a commitment's salt survives the store.
        partitions: of the topic `requests`.
    """

    def __init__(self, *, epochs: Epochs, salt_secret: bytes, partitions: int) -> None:
        super().__init__()
        self._epochs = epochs
        self._configuration = epochs.latest
        self._limits = epochs.limits
        self._builder = BatchBuilder(epochs, salt_secret)
        self._partitions = partitions
        self._allowance = UnauthenticatedAllowance(self._limits)
        self._repeated = send.RepeatedReceipts()
        self._pending: tuple[Message, ...] = ()
        self._silence_ms = self._limits.resend_first_ms
        self._moved_at_ms = 0
        self._grown_at_ms = 0

    def run(self) -> Steps:
        """Load, send again what is undecided, serve; and from the start whenever the store refuses a call."""
        while True:
            state = yield from self._load()
            self._pending = ()
            yield Seek(positions=self._positions(state))
            yield from send.undecided_orders(state, self._epochs)
            yield from send.waiting_rejections(state, self._epochs)
            yield from self._serve(state)

    def _positions(self, state: OrderState) -> tuple[Position, ...]:
        start = (FIRST_OFFSET, -1)
        return tuple(Position(REQUESTS, p, *state.positions.get(p, start)) for p in range(self._partitions))

    def _load(self) -> Generator[Effect, Any, OrderState]:
        """The store's state, once it is certain that this process may order with it."""
        guarded: GuardRead = yield ReadGuard(kind="order")  # before the store, which may go on meanwhile
        loaded: Loaded = yield Load()
        state = OrderState.from_cells(loaded.cells, loaded.replay_entries)
        if state.stopped:
            yield Halt(code="evidence.raised", text=state.stopped)
        if state.epoch != self._configuration.epoch or state.store_id != self._configuration.auditor_store_id:
            yield Halt(code="epoch.needed", text="the epoch's configuration names another store")
        if guarded.place and (guarded.place.epoch, guarded.place.sequence) > (state.epoch, state.sequence):
            text = f"order {guarded.place.sequence} was signed, the store ends at {state.sequence}"
            yield Halt(code="epoch.needed", text=text)
        return state

    def _serve(self, state: OrderState) -> Steps:
        """Order batch after batch until the store refuses a call."""
        if state.sequence >= 0:  # said at once: nobody can tell else how far an idle line is
            yield Report(metrics={"gauge_sequence": state.sequence})
        self._moved_at_ms = self._grown_at_ms = self.now_ms
        while True:
            before = state
            if state.sequence - state.decided >= self._configuration.window:
                awaited: Awaited = yield Await(
                    cell="decided",
                    value_to_differ_from=write_sequence(state.decided),
                    timeout_ms=self._silence_ms,
                )
                state = state.with_decided(awaited.cells)
            else:
                if not self._pending:
                    self._pending = yield from self._receive(state)
                ordered = yield from self._order(state, self._portion())
                if ordered is None:
                    return
                state = ordered
            yield from self._send_when_silent(before, state)

    def _receive(self, state: OrderState) -> Generator[Effect, Any, tuple[Message, ...]]:
        wait_ms = self._limits.block_half_full_ms if self._half_full(state) else self._silence_ms
        received: Received = yield Receive(
            topics=(REQUESTS,), max_messages=self._limits.batch_requests, wait_ms=wait_ms
        )
        return received.messages

    def _portion(self) -> tuple[Message, ...]:
        """The first of the pending messages, as many as the bytes of a batch allow; at least one."""
        size = 0
        for place, message in enumerate(self._pending):
            size += len(message.value or b"")
            if size > self._limits.batch_bytes and place:
                return self._pending[:place]
        return self._pending

    def _half_full(self, state: OrderState) -> bool:
        return (state.sequence + 1) % self._configuration.block_updates != 0

    def _filling_is_due(self, state: OrderState) -> bool:
        """Whether a block has been half full for too long, whatever may have been rejected meanwhile."""
        return self._half_full(state) and self.now_ms - self._grown_at_ms >= self._limits.block_half_full_ms

    def _send_when_silent(self, before: OrderState, state: OrderState) -> Steps:
        """Send undecided orders again when nothing was decided for a while, and then ever more rarely."""
        if state.decided != before.decided or state.decided == state.sequence:
            self._silence_ms, self._moved_at_ms = self._limits.resend_first_ms, self.now_ms
        elif self.now_ms - self._moved_at_ms >= self._silence_ms:
            yield from send.undecided_orders(state, self._epochs)
            self._silence_ms = min(2 * self._silence_ms, self._limits.resend_longest_ms)
            self._moved_at_ms = self.now_ms

    def _order(self, state: OrderState, messages: Sequence[Message]) -> Generator[Effect, Any, OrderState | None]:
        """Order what these messages hold; None if the store refused."""
        candidates = open_messages(messages, self._epochs.ledger_id, self._limits)
        touched = candidates.records()
        fetched: Fetched = yield Fetch(
            keys=touched.surely, ahead=touched.probably, replay=candidates.replay(), cells=("decided",)
        )
        state = state.with_decided(fetched.cells)
        ordered_at_ms = max(self.now_ms, state.ordered_at_ms)
        if not messages and not self._filling_is_due(state):
            return state
        duplicates = self._drop_replayed(candidates, fetched)
        yield from self._authenticate(candidates, fetched)
        drop_untimely(candidates, ordered_at_ms=ordered_at_ms, sequence=state.sequence, limits=self._limits)
        self._drop_beyond_guard(candidates, state)
        executed = yield from self._execute(state, candidates, fetched, ordered_at_ms)
        settled = self._settle(messages, candidates, len(executed.results))  # it ends where the batch is full
        batch = ExecutedBatch(settled=settled, candidates=candidates, scans=executed.scans)
        batch.sort(executed.results, state.sequence + 1)
        answered = candidates.unauthenticated[: self._allowed(candidates)]
        candidates.unanswered = len(candidates.unauthenticated) - len(answered)
        for envelope_bytes, code in answered:
            candidates.rejections.add_unauthenticated(envelope_bytes, code)
        kind: Kind = "empty" if not batch.requests and self._filling_is_due(state) else "normal"
        after = yield from self._commit(state, batch, ordered_at_ms, kind)
        if after is not None and duplicates:
            yield from self._repeated.send(duplicates, after, self._epochs, self.now_ms)
        return after

    def _drop_replayed(self, candidates: Candidates, fetched: Fetched) -> set[int]:
        """Drop requests that were decided or rejected before; give the sequences whose receipts are asked
        for again.
        """
        replayed = fetched.replayed
        if not replayed:
            return set()
        sequences = {replayed[r.request_id] for r in candidates.requests if r.request_id in replayed}
        candidates.keep([request.request_id not in replayed for request in candidates.requests])
        return {sequence for sequence in sequences if sequence >= 0}

    def _authenticate(self, candidates: Candidates, fetched: Fetched) -> Steps:
        distinct, needed = signature_checks(candidates, fetched.records)
        if distinct:
            verified: Verified = yield Verify(checks=distinct)
            drop_forged(candidates, needed, dict(zip(distinct, verified.valid, strict=True)))

    def _drop_beyond_guard(self, candidates: Candidates, state: OrderState) -> None:
        """Reject what the replay guard has no room for."""
        room = max(0, self._limits.replay_guard_entries - state.replay_entries)
        for request in candidates.requests[room:]:
            candidates.rejections.add(request, "busy")
        candidates.keep([place < room for place in range(len(candidates.requests))])

    def _execute(
        self, state: OrderState, candidates: Candidates, fetched: Fetched, ordered_at_ms: int
    ) -> Generator[Effect, Any, Executed]:
        """Execute the candidates; a request that exhausts its child process is rejected, and the rest
        executed again.
        """
        if not candidates.requests:
            return Executed(now_ms=self.now_ms, results=())
        batch = Batch(
            ledger_id=self._epochs.ledger_id,
            sequence=state.sequence + 1,
            ordered_at_ms=ordered_at_ms,
            calls=candidates.calls(),
            records=fetched.records,
        )
        executed: Executed = yield Execute(batch=batch)
        return executed

    def _settle(self, messages: Sequence[Message], candidates: Candidates, fit: int) -> tuple[Message, ...]:
        """The messages that a batch settles; those from the first request that does not fit on are taken
        up again.
        """
        cut = len(messages)
        if fit < len(candidates.requests):
            first_left = candidates.messages[fit]
            cut = next(place for place, message in enumerate(messages) if message is first_left)
        self._pending = self._pending[cut:]
        return tuple(messages[:cut])

    def _allowed(self, candidates: Candidates) -> int:
        return self._allowance.take(self.now_ms, len(candidates.unauthenticated))

    def _commit(
        self, state: OrderState, executed: ExecutedBatch, ordered_at_ms: int, kind: Kind
    ) -> Generator[Effect, Any, OrderState | None]:
        """Make the store's call for a batch, then sign and send it; None if the store refused."""
        batch = self._builder.build(state, executed, ordered_at_ms, kind)
        answer: Applied | Refused = yield Apply(call=batch.call)
        if isinstance(answer, Refused):
            yield Report(metrics={f"refused_{answer.reason}": 1})
            return None
        if batch.state.sequence > state.sequence:
            self._grown_at_ms = self.now_ms
        yield from send.send_entries(batch.call.outbox_put, self._epochs)
        yield Report(metrics=_measures(batch, executed, ordered_at_ms))
        return replace(batch.state, replay_entries=answer.replay_entries)


def _measures(batch: OrderedBatch, executed: ExecutedBatch, ordered_at_ms: int) -> dict[str, float]:
    return {
        "ordered": batch.ordered,
        "rejected": batch.rejected,
        "skipped": executed.candidates.skipped,
        "unauthenticated": len(executed.candidates.unauthenticated),
        "unanswered": executed.candidates.unanswered,
        "order_wait_ms_sum": sum(max(0, ordered_at_ms - message.timestamp_ms) for message in executed.settled),
        "order_wait_count": len(executed.settled),
        "gauge_ordered_at_ms": ordered_at_ms,
        "gauge_sequence": batch.state.sequence,
        "gauge_undecided": batch.state.sequence - batch.state.decided,
    }
