r"""The signing guard in a file: what a party has signed, on another disk than its store.

1. Nothing is signed before its place is in this file, on disk. What may be noted is `storage.guard_entries`.
2. Whoever holds the lock is the party's active process. The lock is on a file of its own beside it (`.lock`),
   because compaction replaces the guard's file. It ends with the process, however that ends; a child made by
   `fork` would share it, so children are started afresh (`spawn`).
3. The file is a header and frames; a frame is what one `note` wrote. A frame's head has a check of its own,
   so no length is believed unchecked. A bad last frame is the torn tail of a crash: it was never
   acknowledged, so nothing was signed on it, and it is cut off. Anything bad before the end is damage: the
   guard does not open.
4. When a sync fails, what is on disk is unknown, and the guard refuses everything until it is opened again.
   It does the same when somebody else has written the file: the lock was lost, say because its file was
   removed, and another process is the active one now.

File, integers big-endian: header `"countersign-guard-1\n"`, then frames: u32 length of the payload, u32
CRC-32 of the payload, u32 CRC-32 of these two, payload. A payload is entries of 81 bytes: u8 kind, i64
epoch, i64 sequence, hash 32, previous hash 32.
"""

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Event, Lock
from zlib import crc32

from storage.errors import EquivocationError, GuardDamagedError, StoreDiskFullError
from storage.guard_entries import GuardEntries
from storage.ports import GuardKind, Place

HEADER = b"countersign-guard-1\n"
KEEP_WINDOWS = 4
COMPACT_FACTOR = 8
LOCK_POLL_S = 0.05

_KINDS: tuple[GuardKind, ...] = ("order", "statement", "rejections", "proposal", "configuration")
_FRAME = struct.Struct(">III")
_LENGTH_AND_CHECK = struct.Struct(">II")
_ENTRY = struct.Struct(">Bqq32s32s")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class FileSigningGuard:
    """A party's signing guard. See `storage.ports.SigningGuard` for what each method promises.

    Args:
        path: its file, made if there is none; beside it `.lock`, and `.new` while it is compacted.
        window: W, in sequences; the last 4W entries of each kind are kept.

    Raises (from `acquire`):
        GuardDamagedError: the file is not what a guard wrote.
    """

    def __init__(self, path: Path, *, window: int) -> None:
        self._path = path
        self._entries = GuardEntries(KEEP_WINDOWS * window)
        self._compact_at = COMPACT_FACTOR * KEEP_WINDOWS * window
        self._mutex = Lock()
        self._stopped = Event()
        self._lock_file = -1
        self._file = -1
        self._size = 0
        self._appended = 0

    def acquire(self, wait: bool) -> bool:
        """Take the exclusive lock and read the file."""
        assert self._lock_file < 0, "the lock is taken once"
        lock_file = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        while not _try_lock(lock_file):
            if not wait or self._stopped.wait(LOCK_POLL_S):
                os.close(lock_file)
                return False
        self._lock_file = lock_file
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return True

    def stop(self) -> None:
        """Make a waiting `acquire` return False."""
        self._stopped.set()

    def note(self, places: Sequence[Place]) -> None:
        """Note places, on disk before it returns."""
        with self._mutex:
            if self._file < 0:
                raise GuardDamagedError("the guard is not open")
            new = self._entries.new(places)
            if not new:
                return
            self._append(_frame(new))
            self._entries.add(new)
            self._appended += len(new)
            if self._appended >= self._compact_at:
                self._compact()

    def highest(self, kind: GuardKind) -> Place | None:
        """The last entry of a kind."""
        with self._mutex:
            return self._entries.highest(kind)

    def entry(self, kind: GuardKind, epoch: int, sequence: int) -> Place | None:
        """What a place holds, among the last 4W."""
        with self._mutex:
            return self._entries.entry(kind, epoch, sequence)

    def close(self) -> None:
        """Give back the file, then the lock."""
        with self._mutex:
            self._close_file()
            if self._lock_file >= 0:
                os.close(self._lock_file)
                self._lock_file = -1

    def _open(self) -> None:
        if not self._path.exists():
            self._replace(HEADER)
            return
        self._file = os.open(self._path, os.O_RDWR)
        data = self._path.read_bytes()
        self._size = len(HEADER)
        for frame_end, places in _frames(data):
            self._entries.add(places)
            self._appended += len(places)
            self._size = frame_end
        if self._size < len(data):
            os.ftruncate(self._file, self._size)
            os.fsync(self._file)

    def _append(self, frame: bytes) -> None:
        """Write a frame behind the last one and wait until it is on disk."""
        self._require_alone()
        try:
            _write(self._file, frame, self._size)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                self._close_file()
                raise GuardDamagedError(f"cannot write: {error}") from error
            os.ftruncate(self._file, self._size)
            raise StoreDiskFullError(f"{self._path}: {error}") from error
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._close_file()
            raise GuardDamagedError(f"cannot sync: {error}") from error
        self._size += len(frame)

    def _require_alone(self) -> None:
        """Require that the file is as this process left it.

        Raises:
            EquivocationError: another process has written or replaced it.
        """
        mine = os.fstat(self._file)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino, there.st_size) != (mine.st_dev, mine.st_ino, self._size):
            self._close_file()
            raise EquivocationError(f"another process has written {self._path}: this one has lost its lock")

    def _compact(self) -> None:
        """Replace the file by one with what is kept; where there is no room, go on with the old one."""
        with contextlib.suppress(StoreDiskFullError):
            self._replace(HEADER + _frame(list(self._entries)))
            self._appended = len(self._entries)

    def _replace(self, content: bytes) -> None:
        path = self._path.with_name(self._path.name + ".new")
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write(file, content, 0)
            os.fsync(file)
        except OSError as error:
            os.close(file)
            path.unlink()
            raise StoreDiskFullError(f"{path}: {error}") from error
        path.rename(self._path)
        self._close_file()
        self._file = file
        self._size = len(content)
        try:
            _sync_directory(self._path.parent)
        except OSError as error:  # after a crash the old file may be back, without what is noted from here on
            self._close_file()
            raise GuardDamagedError(f"cannot sync the directory: {error}") from error

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def shares_device(path: Path, other: Path) -> bool:
    """Whether two existing paths lie on one device: then one loss takes both a store and its guard."""
    return path.stat().st_dev == other.stat().st_dev


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(file: int, content: bytes, at: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(file, rest, at)
        at += written
        rest = rest[written:]


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _frame(places: Iterable[Place]) -> bytes:
    payload = b"".join(
        _ENTRY.pack(_KINDS.index(kind), epoch, sequence, own_hash, previous_hash)
        for kind, epoch, sequence, own_hash, previous_hash in places
    )
    head = _LENGTH_AND_CHECK.pack(len(payload), crc32(payload))
    return _FRAME.pack(len(payload), crc32(payload), crc32(head)) + payload


def _frames(data: bytes) -> Iterator[tuple[int, list[Place]]]:
    """The end and the entries of each whole frame of a file.

    Raises:
        GuardDamagedError: what is bad is not merely the end.
    """
    if not data.startswith(HEADER):
        raise GuardDamagedError("it does not begin as a guard's file")
    at = len(HEADER)
    while len(data) - at >= _FRAME.size:
        length, payload_check, head_check = _FRAME.unpack_from(data, at)
        if crc32(data[at : at + _LENGTH_AND_CHECK.size]) != head_check:
            if any(data[at + _FRAME.size :]):
                raise GuardDamagedError(f"a bad frame at byte {at}")
            return  # the file grew, but nothing of the payload arrived
        end = at + _FRAME.size + length
        payload = data[at + _FRAME.size : end]
        if end > len(data) or (end == len(data) and crc32(payload) != payload_check):
            return
        if crc32(payload) != payload_check:
            raise GuardDamagedError(f"a bad payload at byte {at}")
        yield end, _places(payload)
        at = end


def _places(payload: bytes) -> list[Place]:
    try:
        return [Place(_KINDS[kind], *rest) for kind, *rest in _ENTRY.iter_unpack(payload)]
    except (IndexError, struct.error) as error:
        raise GuardDamagedError("an entry of another format") from error
