"""The rebuilding machine: makes a lost store of the Ledger anew from `decisions` (RECOVERY, "A party lost its
store").

Rules:

1. What is decided is taken as decided, checked by the Ledger's own signature; it is not executed again, for
   an older epoch may have had another engine.
2. What was ordered above it is left to the committing machine; the signing guard compares whatever is signed
   again.
3. It ends at the last decision that the log has. A rebuild that was interrupted goes on where its store
   stands, and so does one whose store somebody else went on with.
4. What `decisions` no longer has comes from the replicas' pieces (`ledger.learned_updates`). Where neither has it,
   the Ledger waits: it never leaves anything out.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ledger.decisions import hold_decision
from ledger.learned_updates import LearnedUpdateError, check_updates
from ledger.state import CommitState
from protocol import merkle
from protocol.configuration import Epochs
from protocol.countersigned import CheckedStatement, check_parts
from protocol.errors import CountersignError
from protocol.records import DamagedRecordError, Record, RecordKey, verify_record
from protocol.requests import open_request
from schemas.errors import MalformedMessageError
from schemas.order import Entry
from schemas.outcome import Outcome
from schemas.statement import Decision, Update
from storage.effects import (
    END_OFFSET,
    FIRST_OFFSET,
    Applied,
    Apply,
    Effect,
    Fetch,
    Fetched,
    Halt,
    JournalRead,
    Load,
    Loaded,
    Message,
    Position,
    ReadJournal,
    ReadTail,
    Receive,
    Received,
    Refused,
    Report,
    Seek,
    Verified,
    Verify,
)
from storage.machine import Machine, Steps
from storage.ports import RecordWrite, ReplayEntry, StoreCall

REBUILT = "store.rebuilt"
"""Code of the halt with which this machine ends: the store holds all that is decided."""

_RECEIVED_AT_ONCE = 8
_GLANCE_MS = 500
"""After so long without a message `decisions` has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    """A decision or an update that follows the head, with what it wrote.

    Attributes:
        content: statement, entries, outcomes and values.
        statement: its bytes.
        behind: offset and leader epoch of what follows it in `decisions`.
    """

    content: Decision | Update
    statement: bytes
    checked: CheckedStatement
    outcomes: tuple[Outcome, ...]
    behind: tuple[int, int]

    def keys(self) -> tuple[RecordKey, ...]:
        """The records it wrote, each once."""
        written = (RecordKey(w.namespace, w.key) for outcome in self.outcomes for w in outcome.writes)
        return tuple(dict.fromkeys(written))


class _Start(NamedTuple):
    """Where `decisions` begins: its first offset, -1 if it is empty, and its first decision's sequence, if any."""

    offset: int
    sequence: int | None

    def is_above(self, sequence: int) -> bool:
        """Whether it begins above what follows a sequence."""
        return self.sequence is None or self.sequence > sequence + 1


class RebuildMachine(Machine):
    """Loads every decision into an empty Ledger's store that already holds the genesis.

    Args:
        epochs: genesis and configurations.
    """

    def __init__(self, *, epochs: Epochs) -> None:
        super().__init__()
        self._epochs = epochs
        self._limits = epochs.limits
        self._stored = self._from_pieces = 0

    def run(self) -> Steps:
        """Read `decisions` to the end of the log; from where the store stands, whenever it refuses a call."""
        while (sequence := (yield from self._rebuild())) is None:
            pass
        yield Halt(code=REBUILT, text=self._summary(sequence))

    def _summary(self, sequence: int) -> str:
        """What was done, for people."""
        if not self._stored:
            return "nothing is decided yet" if sequence < 0 else f"the store lacks nothing up to sequence {sequence}"
        pieces = f", {self._from_pieces} of them from the replicas' pieces" if self._from_pieces else ""
        return f"{self._stored} batches are back in the store{pieces}, up to sequence {sequence}"

    def _rebuild(self) -> Generator[Effect, Any, int | None]:
        """The last sequence rebuilt; None if the store refused a call, or something is missing still."""
        loaded: Loaded = yield Load()
        state = CommitState.from_cells(loaded.cells)
        end = yield from self._end_of_log()
        start = yield from self._start_of_log()
        if start.is_above(state.sequence):
            older = yield from self._load_older(state, start)
            if older is None:
                return None
            state = older
        if 0 <= state.decisions[0] < start.offset:
            moved = yield from self._pass_over(state, start.offset)
            if moved is None:
                return None
            state = moved
        yield Seek(positions=(Position("decisions", 0, *state.decisions),))
        read = max(-1, state.decisions[0] - 1)
        while read < end:
            received: Received = yield Receive(
                topics=("decisions",), max_messages=_RECEIVED_AT_ONCE, wait_ms=self._limits.resend_first_ms
            )
            if not received.messages:
                end = yield from self._end_of_log()  # it may have lost its tail meanwhile
            for message in received.messages:
                read = message.offset
                after = yield from self._load_message(state, message)
                if after is None:
                    return None
                state = after
            yield Report(metrics={"gauge_rebuilt": state.sequence})
        if start.sequence is not None and start.is_above(state.sequence):
            yield Report(metrics={"waits_for_older": 1})
            yield Seek(positions=(Position("decisions", 0, END_OFFSET),))
            yield Receive(topics=("decisions",), max_messages=1, wait_ms=self._limits.resend_first_ms)
            return None
        return state.sequence

    def _end_of_log(self) -> Generator[Effect, Any, int]:
        """Offset of the newest decision, -1 if there is none."""
        tail: Received = yield ReadTail(topic="decisions", count=1)
        return max((message.offset for message in tail.messages), default=-1)

    def _start_of_log(self) -> Generator[Effect, Any, _Start]:
        """Where `decisions` begins, by its first message and its first decision."""
        yield Seek(positions=(Position("decisions", 0, FIRST_OFFSET),))
        offset = -1
        while True:
            received: Received = yield Receive(
                topics=("decisions",), max_messages=_RECEIVED_AT_ONCE, wait_ms=_GLANCE_MS
            )
            for message in received.messages:
                offset = message.offset if offset < 0 else offset
                sequence = yield from self._decided_sequence(message)
                if sequence is not None:
                    return _Start(offset, sequence)
            if not received.messages:
                return _Start(offset, None)

    def _decided_sequence(self, message: Message) -> Generator[Effect, Any, int | None]:
        """The sequence of a decision, None if the message is none that both parties signed."""
        held = hold_decision(message, self._epochs)
        if held is None:
            return None
        try:
            checked = check_parts(held.signed, self._epochs)
        except CountersignError:
            return None
        verified: Verified = yield Verify(checks=checked.checks)
        return held.statement.sequence if all(verified.valid) else None

    def _load_older(self, state: CommitState, start: _Start) -> Generator[Effect, Any, CommitState | None]:
        """The state after what the replicas have below the start of `decisions`; None if the store refused."""
        while start.is_above(state.sequence):
            read: JournalRead = yield ReadJournal(sequence=state.sequence + 1)
            if read.last is None:
                break
            try:
                updates, end = check_updates(state.head, read.updates, read.last, self._epochs)
            except LearnedUpdateError as error:
                yield Halt(code="store.contradicts_log", text=f"after sequence {state.sequence}: {error}")
                raise AssertionError("a halted machine is not stepped again") from error
            verified: Verified = yield Verify(checks=end.checks)
            if not all(verified.valid):
                yield Halt(code="store.contradicts_log", text=f"sequence {end.statement.sequence} is not signed")
            for update, checked in updates:
                outcomes = _outcomes(update)
                if outcomes is None:
                    yield Halt(code="store.contradicts_log", text=f"sequence {checked.statement.sequence} is not whole")
                    raise AssertionError("a halted machine is not stepped again")
                decided = _Decided(
                    content=update,
                    statement=update.statement,
                    checked=checked,
                    outcomes=outcomes,
                    behind=state.decisions,
                )
                after = yield from self._store(state, decided)
                if after is None:
                    return None
                self._from_pieces += 1
                state = after
            yield Report(metrics={"gauge_rebuilt": state.sequence})
        return state

    def _pass_over(self, state: CommitState, offset: int) -> Generator[Effect, Any, CommitState | None]:
        """Read on where the log now begins: what is gone of it the store has; None if the store refused."""
        after = replace(state, decisions=(offset, -1))
        answer: Applied | Refused = yield Apply(
            call=StoreCall(expected_cells=state.expected(), cells=after.cells())
        )
        return after if isinstance(answer, Applied) else None

    def _load_message(self, state: CommitState, message: Message) -> Generator[Effect, Any, CommitState | None]:
        """The state after a message; None if the store refused."""
        decided = self._parse(state, message)
        if decided is None:
            return state
        verified: Verified = yield Verify(checks=decided.checked.checks)
        if not all(verified.valid):
            return state
        return (yield from self._store(state, decided))

    def _store(self, state: CommitState, decided: _Decided) -> Generator[Effect, Any, CommitState | None]:
        """Store what was decided next; the state after it, None if the store refused."""
        fetched: Fetched = yield Fetch(keys=decided.keys())
        try:
            writes = self._writes(decided, fetched.records)
        except DamagedRecordError:
            if (yield from self._is_unchanged(state)):
                raise
            return None
        after = replace(
            state,
            head=state.head.advance(decided.statement),
            order_hash=decided.checked.statement.order_hash,
            ordered_at_ms=decided.checked.header.ordered_at_ms,
            verified=decided.checked.statement.sequence,
            decisions=decided.behind,
        )
        call = StoreCall(
            expected_cells=state.expected(),
            writes=writes,
            replay=self._replay(decided),
            evict_before_ms=after.ordered_at_ms,
            cells=after.cells(),
        )
        answer: Applied | Refused = yield Apply(call=call)
        if isinstance(answer, Refused):
            yield Report(metrics={f"refused_{answer.reason}": 1})
            return None
        self._stored += 1
        return after

    def _is_unchanged(self, state: CommitState) -> Generator[Effect, Any, bool]:
        """Whether nobody else has gone on with the store, so that what was read from it is of this state."""
        loaded: Loaded = yield Load()
        return all(loaded.cells.get(name, b"") == value for name, value in state.expected().items())

    def _parse(self, state: CommitState, message: Message) -> _Decided | None:
        """The decision in a message, if it is whole and the next one; anything else is skipped."""
        try:
            decision = Decision.from_message(message.value or b"")
            checked = check_parts(decision.signed, self._epochs)
            state.head.check_follows(checked.statement)
            if merkle.root(decision.outcomes) != checked.statement.outcomes_root:
                return None
            if merkle.root(decision.entries) != checked.header.entries_root:
                return None
        except (MalformedMessageError, CountersignError):
            return None
        outcomes = _outcomes(decision)
        if outcomes is None:
            return None
        return _Decided(
            content=decision,
            statement=decision.signed.statement,
            checked=checked,
            outcomes=outcomes,
            behind=(message.offset + 1, message.leader_epoch),
        )

    def _writes(self, decided: _Decided, records: Mapping[RecordKey, Record]) -> tuple[RecordWrite, ...]:
        """The record versions a decision wrote; their hashes are recomputed.

        Raises:
            DamagedRecordError: a value is not the one whose hash both parties signed: the log was altered. Or the
                store's record is none that this version follows.
        """
        current = dict(records)
        values = iter(decided.content.values)
        writes: list[RecordWrite] = []
        for outcome in decided.outcomes:
            for pin in outcome.writes:
                key = RecordKey(pin.namespace, pin.key)
                if current[key].version != pin.version - 1:
                    raise DamagedRecordError(f"{key}: version {pin.version} after {current[key].version}")
                record = Record(
                    version=pin.version,
                    deleted=pin.deleted,
                    value=next(values),
                    request_id=outcome.request_id,
                    previous_hash=current[key].record_hash,
                    record_hash=pin.record_hash,
                    writer_sequence=decided.checked.statement.sequence,
                    writer_index=outcome.index,
                )
                verify_record(self._epochs.ledger_id, key, record)
                current[key] = record
                writes.append(RecordWrite(key, record))
        return tuple(writes)

    def _replay(self, decided: _Decided) -> tuple[ReplayEntry, ...]:
        sequence = decided.checked.statement.sequence
        requests = (
            open_request(Entry.from_compared(entry).envelope, self._epochs.ledger_id, self._limits)
            for entry in decided.content.entries
        )
        return tuple(ReplayEntry(request.request_id, request.body.expiry_ms, sequence) for request in requests)


def _outcomes(content: Decision | Update) -> tuple[Outcome, ...] | None:
    """The outcomes of a batch, None if they cannot be read or the values are not theirs."""
    try:
        outcomes = tuple(Outcome.from_bytes(outcome) for outcome in content.outcomes)
    except MalformedMessageError:
        return None
    return outcomes if sum(len(outcome.writes) for outcome in outcomes) == len(content.values) else None
