"""What machines ask of the world, and what comes back.

1. A machine's `step` takes one event and gives one effect; the next event answers that effect.
2. A machine begins with the event `Started`.
3. Whoever performs effects (a stage in a real run, an actor in the simulation) has the clock: every event
   says when it happened.
4. What cannot be performed because the world is away is tried again by whoever performs it. Only `Apply` is
   not: after `StoreUnavailableError` nobody knows whether it was done, so the machine is dropped, and a new
   one loads what there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.contracts.calls import Batch
from protocol.records import RecordKey
from protocol.signatures import SignatureCheck
from storage.events import (
    Appended,
    Applied,
    Awaited,
    Event,
    Executed,
    Fetched,
    GuardRead,
    JournalRead,
    Loaded,
    Noted,
    Outbox,
    PositionLoaded,
    Published,
    Received,
    Refused,
    Reported,
    Signed,
    Sought,
    Started,
    Verified,
)
from storage.messages import END_OFFSET, FIRST_OFFSET, Alarm, Message, Outgoing, Position
from storage.ports import (
    GuardKind,
    Place,
    RequestExpiry,
    ScanRange,
    StoreCall,
    Version,
)
from storage.views import ViewPosition, ViewRows

__all__ = [  # events and messages too: a machine finds all it speaks with in one place
    "END_OFFSET",
    "FIRST_OFFSET",
    "Alarm",
    "Append",
    "Appended",
    "Applied",
    "Apply",
    "Await",
    "Awaited",
    "Effect",
    "Event",
    "Execute",
    "Executed",
    "Fetch",
    "Fetched",
    "FindDecisions",
    "GuardRead",
    "Halt",
    "JournalRead",
    "Load",
    "LoadPosition",
    "Loaded",
    "Message",
    "Note",
    "Noted",
    "Outbox",
    "Outgoing",
    "Position",
    "PositionLoaded",
    "Publish",
    "Published",
    "ReadGuard",
    "ReadJournal",
    "ReadOutbox",
    "ReadTail",
    "Receive",
    "Received",
    "Refused",
    "Report",
    "Reported",
    "Seek",
    "Sign",
    "Signed",
    "Sought",
    "Started",
    "StoreEffect",
    "Verified",
    "Verify",
]  # fmt: skip


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

    Attributes:
        keys: records that are read in any case.
        ahead: others that will probably be needed. Of many great ones only the first are read: whoever needs another
            reads it then.
    """

    keys: tuple[RecordKey, ...] = ()
    ahead: tuple[RecordKey, ...] = ()
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
    Answered by `Executed`; a call that exhausts its child even alone is rejected with `contract.resources`.
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
class ReadJournal:
    """Read the part of the journal that holds a sequence, which `decisions` no longer has, from the replicas' pieces.

    Performed by a learner beside the stage. Answered by `JournalRead`; nothing of it is to be trusted.
    """

    sequence: int


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
    | ReadJournal
    | FindDecisions
    | Await
    | LoadPosition
    | Append
    | Report
    | Halt
)

StoreEffect = Load | Fetch | Apply | ReadOutbox | Note | ReadGuard
"""Effects that `storage.performer` can perform."""
