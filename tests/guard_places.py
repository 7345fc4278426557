"""Places of a signing guard, in a chain that begins at 0, and guards that keep few of them."""

from pathlib import Path

from protocol.hashing import ZERO_HASH
from storage.ports import GuardKind, Place
from storage.signing_guard import FileSigningGuard

WINDOW = 2
KEPT = 4 * WINDOW


def hash_of(sequence: int, epoch: int = 0, salt: int = 0) -> bytes:
    return b"%010d%010d%012d" % (sequence, epoch, salt)


def place(sequence: int, epoch: int = 0, kind: GuardKind = "order") -> Place:
    """A place in a chain that begins at 0."""
    previous = hash_of(sequence - 1, epoch) if sequence else ZERO_HASH
    return Place(kind, epoch, sequence, hash_of(sequence, epoch), previous)


def chain(first: int, last: int) -> list[Place]:
    return [place(sequence) for sequence in range(first, last + 1)]


def file_guard(directory: Path) -> FileSigningGuard:
    return FileSigningGuard(directory / "guard", window=WINDOW)


def opened(directory: Path) -> FileSigningGuard:
    guard = file_guard(directory)
    assert guard.acquire(wait=False)
    return guard
