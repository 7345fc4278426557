"""The two ports a party keeps its state behind: its record store and its signing guard.

A party's state is four things, changed together by one atomic, durable `StoreCall`:

1. *records*: the current version of every record and all versions before it;
2. *cells*: a few small named byte values (store_id, epoch, sequence, ...); empty and absent are the same;
3. the *replay guard*: request_id -> sequence, in buckets by the minute of the request's expiry, dropped
   bucket by bucket;
4. the *outbox*: encoded messages by kind and number.

Both are synchronous and may be called from several threads. Adapters raise the errors of `storage.errors`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

from protocol.records import Record, RecordKey

GuardKind = Literal["order", "statement", "rejections", "proposal", "configuration"]
RefusalReason = Literal["cell", "replay", "read", "scan"]

BUCKET_MS: Final = 60_000
"""Length of a bucket of the replay guard: a minute."""


class Version(NamedTuple):
    """One version of a record, to be fetched from its history."""

    key: RecordKey
    version: int


class ReadCheck(NamedTuple):
    """A record must be at this version with this hash; version 0 and a hash of zeros: it must be absent."""

    key: RecordKey
    version: int
    record_hash: bytes


class RequestExpiry(NamedTuple):
    """A request and its signed expiry, which says in which bucket of the replay guard it belongs."""

    request_id: bytes
    expiry_ms: int


class ReplayEntry(NamedTuple):
    """A request that must not be accepted again before it has expired."""

    request_id: bytes
    expiry_ms: int
    sequence: int


class ScanRange(NamedTuple):
    """The first `limit` keys `start <= key < end` of a namespace; an empty `end` is the namespace's."""

    namespace: str
    start: str
    end: str
    limit: int


class SeenRow(NamedTuple):
    """A record version that was in a scanned range before the batch."""

    key: str
    version: int
    record_hash: bytes


class ScanCheck(NamedTuple):
    """A range must hold exactly these rows, tombstones too; what the batch itself wrote is left out.

    The range is `start <= key < covered_to` where `exhausted` (an empty `covered_to`: to the end of the
    namespace), else `start <= key <= covered_to`.
    """

    namespace: str
    start: str
    covered_to: str
    exhausted: bool
    rows: tuple[SeenRow, ...]


class ScanRows(NamedTuple):
    """The first `limit` keys of a range with their current records, in order of code points.

    Every key that was ever written counts, deleted ones too: tombstones are among the rows and count towards
    the limit, so a scan is bounded, and a later insert or delete always shows. With fewer rows than `limit`
    it is `exhausted` and `covered_to` is `end`, else `covered_to` is the last key seen, itself covered.
    """

    range: ScanRange
    rows: tuple[tuple[str, Record], ...]
    covered_to: str
    exhausted: bool

    def check(self) -> ScanCheck:
        """The check that the store still holds what was seen."""
        rows = tuple(SeenRow(key, record.version, record.record_hash) for key, record in self.rows)
        return ScanCheck(self.range.namespace, self.range.start, self.covered_to, self.exhausted, rows)


class RecordWrite(NamedTuple):
    """A new version of a record. Several versions of one record may stand in one call, in ascending order."""

    key: RecordKey
    record: Record


class OutboxEntry(NamedTuple):
    """An encoded message waiting to be answered; the same kind and number again replaces it."""

    kind: str
    number: int
    message: bytes


class OutboxTrim(NamedTuple):
    """Drop every entry of a kind whose number is below."""

    kind: str
    below: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCall:
    """What one step changes in a store, and what must still be true for it: all of it, or nothing.

    Checks, in this order; the first kind that fails is the reason of the refusal:
        expected_cells: each cell must hold this value (b"": absent).
        unseen: none of these may be in the replay guard.
        reads: each record must be at this version with this hash. Every write is such a check by itself, too:
            the store must hold the version before the first one written, with the hash that it chains to.
        scans: each range is read again and must hold exactly these rows.

    Changes:
        writes: new record versions.
        replay: entries for the replay guard.
        evict_before_ms: drop the buckets of the replay guard that end at or before this (signed) time.
        cells: new values (b"" removes).
        outbox_trim, outbox_put: first trimmed, then put.
    """

    expected_cells: Mapping[str, bytes]
    unseen: Sequence[RequestExpiry] = ()
    reads: Sequence[ReadCheck] = ()
    scans: Sequence[ScanCheck] = ()
    writes: Sequence[RecordWrite] = ()
    replay: Sequence[ReplayEntry] = ()
    evict_before_ms: int = 0
    cells: Mapping[str, bytes]
    outbox_put: Sequence[OutboxEntry] = ()
    outbox_trim: Sequence[OutboxTrim] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a fetch found.

    Its parts may be of different moments where another process writes meanwhile: a `StoreCall` checks again.

    Attributes:
        records: one for each key asked for; `ABSENT` where there is none.
        versions: those that exist of the versions asked for.
        scans: in the order asked for.
        replayed: request_id -> sequence, of those that are in the replay guard.
        cells: those that are present.
    """

    records: Mapping[RecordKey, Record]
    versions: Mapping[Version, Record]
    scans: tuple[ScanRows, ...]
    replayed: Mapping[bytes, int]
    cells: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All cells that are present, and the number of entries in the replay guard."""

    cells: Mapping[str, bytes]
    replay_entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A call was done and is on disk; the replay guard holds `replay_entries` requests now."""

    replay_entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a call changed nothing.

    Attributes:
        reason: the first kind of check that failed.
        cells: all cells as they are now.
        stale: for "read": the records at another version or with another hash; for "scan": (namespace, start)
            of each range that differs.
        replayed: for "replay": request_id -> sequence of those seen before.
    """

    reason: RefusalReason
    cells: Mapping[str, bytes]
    stale: tuple[RecordKey, ...] = ()
    replayed: Mapping[bytes, int] = field(default_factory=dict)


class RecordStore(Protocol):
    """A party's store."""

    def create(self, store_id: bytes) -> None:
        """Make an empty store into this one; only `init` and a rebuild do this.

        Raises:
            StoreExistsError: there is a store already.
        """
        ...

    def load(self) -> Contents:
        """Return all cells.

        Raises:
            StoreAbsentError: the store is empty: it was never created, or was wiped.
        """
        ...

    def fetch(
        self,
        keys: Sequence[RecordKey] = (),
        *,
        versions: Sequence[Version] = (),
        scans: Sequence[ScanRange] = (),
        replay: Sequence[RequestExpiry] = (),
        cells: Sequence[str] = (),
    ) -> Snapshot:
        """Read all of this at once, in two round trips (four if there are scans).

        Raises:
            DamagedRecordError: what is stored is no record, or not the one that is current.
        """
        ...

    def apply(self, call: StoreCall) -> Stored | Refusal:
        """Check and change all of it atomically; on disk before it returns.

        Raises:
            StoreUnavailableError: unknown whether it was done; load again and look.
        """
        ...

    def read_outbox(self, kind: str, first: int, last: int) -> tuple[OutboxEntry, ...]:
        """Return the entries of a kind from `first` to `last`, both included, in order."""
        ...

    def records(self, namespace: str) -> Iterator[tuple[str, Record]]:
        """All current records of a namespace, tombstones too, by key; for comparing stores."""
        ...

    def count(self, namespace: str) -> int:
        """Number of keys ever written in a namespace."""
        ...

    def close(self) -> None:
        """Give back connections and files."""
        ...


class Place(NamedTuple):
    """What a party is about to sign: the place (kind, epoch, sequence) may hold one hash for ever."""

    kind: GuardKind
    epoch: int
    sequence: int
    hash: bytes
    previous_hash: bytes


class SigningGuard(Protocol):
    """A party's memory of what it signed, on another disk than its store.

    Its exclusive lock makes a process the party's active one.
    """

    def acquire(self, wait: bool) -> bool:
        """Take the exclusive lock. `wait`: block until it is free (True) or `stop` was called (False)."""
        ...

    def stop(self) -> None:
        """Make a waiting `acquire` return False; from any thread."""
        ...

    def note(self, places: Sequence[Place]) -> None:
        """Note places, on disk before it returns; nothing is signed before. All of them are noted, or none.

        A place that holds the same hash already is left as it is. Otherwise it must be the successor of the
        last entry of its kind and epoch: the next sequence, chained by `previous_hash`. The first entry of a
        kind, and of a newer epoch, is taken as it comes.

        Raises:
            EquivocationError: the place holds another hash, or is no successor.
        """
        ...

    def highest(self, kind: GuardKind) -> Place | None:
        """The last entry of a kind."""
        ...

    def entry(self, kind: GuardKind, epoch: int, sequence: int) -> Place | None:
        """What a place holds, as far back as the guard keeps it."""
        ...

    def close(self) -> None:
        """Give back the lock and the file."""
        ...
