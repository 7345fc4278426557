"""The signing guard in memory, for simulation and unit tests.

`MemoryGuardDisk` outlives a process; each process opens a `MemoryGuard` on it, and one at a time holds it.
"""

from collections.abc import Sequence

from storage.guard_entries import GuardEntries
from storage.ports import GuardKind, Place
from storage.signing_guard import KEEP_WINDOWS


class MemoryGuardDisk:
    """The entries of a party's guard, and who holds the lock.

    Args:
        window: W, in sequences.
    """

    def __init__(self, *, window: int) -> None:
        self.window = window
        self.holder: MemoryGuard | None = None
        self.wipe()

    def wipe(self) -> None:
        """Lose everything, as when a disk is lost."""
        self.entries = GuardEntries(KEEP_WINDOWS * self.window)


class MemoryGuard:
    """One process's guard. See `storage.ports.SigningGuard`; but `acquire` never blocks: ask again."""

    def __init__(self, disk: MemoryGuardDisk) -> None:
        self._disk = disk

    def acquire(self, wait: bool) -> bool:
        """Take the lock if nobody else holds it."""
        if self._disk.holder not in (None, self):
            return False
        self._disk.holder = self
        return True

    def stop(self) -> None:
        """Nothing waits here."""

    def note(self, places: Sequence[Place]) -> None:
        """Note places."""
        assert self._disk.holder is self, "only who holds the lock may note"
        self._disk.entries.add(self._disk.entries.new(places))

    def highest(self, kind: GuardKind) -> Place | None:
        """The last entry of a kind."""
        return self._disk.entries.highest(kind)

    def entry(self, kind: GuardKind, epoch: int, sequence: int) -> Place | None:
        """What a place holds."""
        return self._disk.entries.entry(kind, epoch, sequence)

    def close(self) -> None:
        """Give back the lock, as a crash does too."""
        if self._disk.holder is self:
            self._disk.holder = None
