"""What machines ask of the world, and what comes back.

1. A machine's `step` takes one event and gives one effect; the next event answers that effect.
2. A machine begins with the event `Started`.
3. Whoever performs effects (a stage in a real run, an actor in the simulation) has the clock: every event
   says when it happened.
4. What cannot be performed because the world is away is tried again by whoever performs it. Only `Apply` is
   not: after `StoreUnavailableError` nobody knows whether it was done, so the machine is dropped, and a new
   one loads what there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from storage.ports import (
    GuardKind,
    OutboxEntry,
    Place,
    RefusalReason,
    RequestExpiry,
    ScanRange,
    ScanRows,
    StoreCall,
    Version,
)

if TYPE_CHECKING:
    from protocol.contracts.calls import Batch, Execution, Rejected
    from protocol.records import Record, RecordKey
    from protocol.signatures import SignatureCheck
    from storage.views import ViewPosition, ViewRows

FIRST_OFFSET = -2
"""Offset of the oldest message that a partition still has."""

END_OFFSET = -1
"""Offset behind the newest message of a partition."""


# --- Values that effects and events carry ---


class Message(NamedTuple):
    """A message as the log gave it; nothing of it is to be trusted."""

    topic: str
    partition: int
    offset: int
    leader_epoch: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


class Outgoing(NamedTuple):
    """A message to be published; the key may be None."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes


class Position(NamedTuple):
    """Where to read next; a leader epoch of -1 is unknown."""

    topic: str
    partition: int
    offset: int
    leader_epoch: int = -1


class Alarm(NamedTuple):
    """A log ends before its reader's position: it lost its tail.

    The reader was moved to `end_offset`, and goes on by sequence.
    """

    topic: str
    partition: int
    position: int
    end_offset: int


# --- Effects ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive:
    """Wait up to `wait_ms` for messages of these topics, in the order of each partition.

    Performed by the log. Answered by `Received`.
    """

    topics: tuple[str, ...]
    max_messages: int
    wait_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seek:
    """Read on from these positions; messages of their partitions that are held back are dropped.

    Performed by the log. Answered by `Sought`.
    """

    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Read all cells.

    Performed by the store; an empty one ends the machine with `StoreAbsentError`. Answered by `Loaded`.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Read records, versions, ranges, replay guard and cells, all at once.

    Performed by the store. Answered by `Fetched`.
    """

    keys: tuple[RecordKey, ...] = ()
    versions: tuple[Version, ...] = ()
    scans: tuple[ScanRange, ...] = ()
    replay: tuple[RequestExpiry, ...] = ()
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """Check signatures.

    Performed by the stage in threads. Answered by `Verified`.
    """

    checks: tuple[SignatureCheck, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """Run a batch's contracts.

    Performed by the executor's child processes, which may fetch more from the store.
    Answered by `Executed` or `ExecutionFailed`.
    """

    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """Make the one atomic, durable call.

    Performed by the store. Answered by `Applied` or `Refused`.
    """

    call: StoreCall


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOutbox:
    """Read a kind's entries from `first` to `last`, both included.

    Performed by the store. Answered by `Outbox`.
    """

    kind: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Note what is about to be signed.

    Performed by the signing guard, on disk before it answers; `EquivocationError` ends the machine.
    Answered by `Noted`.
    """

    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """Sign these bytes (`protocol.signatures` makes them) with the party's key.

    Performed by the stage in threads. Answered by `Signed`.
    """

    messages: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Send messages, in order within a partition.

    Performed by the log, which answers when the broker has them all. Answered by `Published`.
    """

    messages: tuple[Outgoing, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadGuard:
    """Read the last entry of a kind.

    Performed by the signing guard. Answered by `GuardRead`.
    """

    kind: GuardKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTail:
    """Read the newest `count` messages of a topic's partition 0, wherever its reader stands.

    Performed by the log. Answered by `Received`.
    """

    topic: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FindDecisions:
    """Search the whole topic `decisions` for these sequences: rare and slow, for evidence.

    Performed by the log. Answered by `Received` with all messages that claim one of the sequences; nothing of
    them is checked.
    """

    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """Wait until a cell holds another value, for at most `timeout_ms`.

    Performed by the stage with the store. Answered by `Awaited`.
    """

    cell: str
    value_to_differ_from: bytes
    timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPosition:
    """Read how far a learner's views reach.

    Performed by the views. Answered by `PositionLoaded`.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Store the rows of verified blocks, and the position behind them, in one transaction.

    Performed by the views. Answered by `Appended`.
    """

    rows: ViewRows
    position: ViewPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Add to counters and set gauges, by name.

    Performed by the stage's metrics. Answered by `Reported`.
    """

    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """The last effect of a machine: it must not go on.

    Attributes:
        code: one of `protocol.errors`.
        text: what was seen, for people.
    """

    code: str
    text: str


Effect = (
    Receive
    | Seek
    | Load
    | Fetch
    | Verify
    | Execute
    | Apply
    | ReadOutbox
    | Note
    | Sign
    | Publish
    | ReadGuard
    | ReadTail
    | FindDecisions
    | Await
    | LoadPosition
    | Append
    | Report
    | Halt
)

StoreEffect = Load | Fetch | Apply | ReadOutbox | Note | ReadGuard
"""Effects that `storage.performer` can perform."""


# --- Events ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at `now_ms`, milliseconds since 1970 by the clock of whoever performs."""

    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """The first event of a machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(Event):
    """Messages, perhaps none, and lost tails that were seen meanwhile."""

    messages: tuple[Message, ...]
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought(Event):
    """The log reads on from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Event):
    """All cells that are present, and how many requests the replay guard holds."""

    cells: Mapping[str, bytes]
    replay_entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched(Event):
    """What the store holds.

    Attributes:
        records: one for each key; `ABSENT` where there is none.
        versions: those that exist of the versions asked for.
        scans: in the order asked for.
        replayed: request_id -> sequence, of those that are in the replay guard.
        cells: those that are present.
    """

    records: Mapping[RecordKey, Record]
    versions: Mapping[Version, Record] = field(default_factory=dict)
    scans: tuple[ScanRows, ...] = ()
    replayed: Mapping[bytes, int] = field(default_factory=dict)
    cells: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified(Event):
    """For each check whether the signature is good."""

    valid: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed(Event):
    """One result for each call of the batch, in order.

    `scans`: the ranges that were fetched from the store for them, as the store holds them (`ScanRows.check`).
    """

    results: tuple[Execution | Rejected, ...]
    scans: tuple[ScanRows, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFailed(Event):
    """The call at this position (from 0) kills its child even when executed alone."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied(Event):
    """It is done, and on disk. `replay_entries`: how many requests the replay guard holds now."""

    replay_entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Event):
    """Nothing was changed. All cells as they are now; the rest as in `storage.ports.Refusal`."""

    reason: RefusalReason
    cells: Mapping[str, bytes]
    stale: tuple[RecordKey, ...] = ()
    replayed: Mapping[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox(Event):
    """The entries found, in order of their numbers."""

    entries: tuple[OutboxEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """The guard has them on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed(Event):
    """One signature for each message, in order."""

    signatures: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(Event):
    """The broker has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRead(Event):
    """The last entry of the kind asked for, None if there is none."""

    place: Place | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited(Event):
    """All cells as they are now, whether the awaited one has changed or not."""

    cells: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionLoaded(Event):
    """How far the views reach; `storage.views.START` if they are new."""

    position: ViewPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended(Event):
    """The views have them on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported(Event):
    """It is counted."""
