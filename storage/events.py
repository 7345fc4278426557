"""What comes back from the world: the events that answer `storage.effects`.

Whoever performs effects (a stage in a real run, an actor in the simulation) has the clock: every event says when
it happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.contracts.calls import Execution, Rejected
from protocol.records import Record, RecordKey
from schemas.statement import Countersigned
from storage.messages import Alarm, Message
from storage.ports import OutboxEntry, Place, RefusalReason, ScanRows, Version
from storage.views import ViewPosition


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
class JournalRead(Event):
    """A part of the journal, none if the replicas do not have it.

    Attributes:
        updates: the bytes of each `Update`, in sequence.
        last: the countersigned statement of the last one.
    """

    updates: tuple[bytes, ...] = ()
    last: Countersigned | None = None


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
