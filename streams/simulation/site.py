"""Where a party keeps what outlives its processes: its store, its signing guard, its key.

The troubles of a store are made here: it is away, it answers a call twice or not at all, it was wiped or put
back from a backup.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from protocol.signing import SigningKey
from storage.errors import StoreUnavailableError
from storage.guard_entries import GuardEntries
from storage.memory_store import MemoryStore
from storage.ports import GuardKind, Place, Refusal, StoreCall, Stored
from storage.signing_guard import KEEP_WINDOWS
from streams.executor import BatchExecutor

PartyName = Literal["auditor", "ledger"]

CallTrouble = Literal["answer lost", "call lost", "driver retries"]
"""What may happen to a store call: done and not answered, never done, done and then made again."""


class LockLostError(Exception):
    """The process believed itself active, and another one holds the guard's lock now: it ends."""


@dataclass(kw_only=True)
class Site:
    """One party's disks.

    Attributes:
        window: W, in sequences.
        lock_protects: whether a process that lost the lock is kept from the guard. If not, several processes
            may believe themselves active, and the store alone keeps them apart.
        away: the store does not answer.
        troubles: of the next calls, in order.
        backup: an older copy of the store, if one was taken.
        holder: the process that has the guard's lock.
        guard_was_lost, store_was_lost: at least once; both together would need a new epoch.
        stores_made: the id of every store the party has had.
    """

    party: PartyName
    store: MemoryStore
    key: SigningKey
    executor: BatchExecutor
    window: int
    lock_protects: bool = True
    away: bool = False
    troubles: deque[CallTrouble] = field(default_factory=deque)
    backup: MemoryStore | None = None
    holder: "Guard | None" = None
    guard_was_lost: bool = False
    store_was_lost: bool = False
    stores_made: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.entries = GuardEntries(KEEP_WINDOWS * self.window)

    def wipe_guard(self) -> None:
        """Lose the guard's disk."""
        self.entries = GuardEntries(KEEP_WINDOWS * self.window)
        self.guard_was_lost = True

    def apply(
        self, call: StoreCall, on_done: Callable[[PartyName, StoreCall], None]
    ) -> Stored | Refusal:
        """Make a call, with the trouble that is due.

        Args:
            call: what to change.
            on_done: told each time it was done.

        Raises:
            StoreUnavailableError: it may have been done.
        """
        trouble = self.troubles.popleft() if self.troubles else None
        if trouble == "call lost":
            raise StoreUnavailableError("the connection broke")
        done = self._make(call, on_done)
        if trouble == "answer lost":
            raise StoreUnavailableError("the connection broke")
        return self._make(call, on_done) if trouble == "driver retries" else done

    def _make(self, call: StoreCall, on_done: Callable[[PartyName, StoreCall], None]) -> Stored | Refusal:
        done = self.store.apply(call)
        if isinstance(done, Stored):
            on_done(self.party, call)
        return done


class Guard:
    """One process's signing guard at a site; see `storage.ports.SigningGuard`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def holds_lock(self) -> bool:
        """Whether this process is the active one."""
        return self._site.holder is self

    def acquire(self, wait: bool) -> bool:
        """Take the lock if nobody has it; never waits."""
        if self._site.holder is None:
            self._site.holder = self
        return self.holds_lock

    def stop(self) -> None:
        """Nothing waits here."""

    def note(self, places: Sequence[Place]) -> None:
        """Note places.

        Raises:
            LockLostError: another process has taken over.
            EquivocationError: a place holds another hash, or is no successor.
        """
        if self._site.lock_protects and not self.holds_lock:
            raise LockLostError
        entries = self._site.entries
        entries.add(entries.new(places))

    def highest(self, kind: GuardKind) -> Place | None:
        """The last entry of a kind."""
        return self._site.entries.highest(kind)

    def entry(self, kind: GuardKind, epoch: int, sequence: int) -> Place | None:
        """What a place holds."""
        return self._site.entries.entry(kind, epoch, sequence)

    def close(self) -> None:
        """Give back the lock, as a crash does too."""
        if self.holds_lock:
            self._site.holder = None
