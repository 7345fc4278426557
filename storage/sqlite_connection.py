"""Connections to SQLite files whose commits survive a crash; the errors of SQLite in our own words.

1. Durable means: write-ahead log, and `synchronous=FULL`, which waits for the disk at every commit.
2. Transactions are begun and ended by name: the driver begins none by itself.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from protocol.errors import CountersignError
from protocol.records import DamagedRecordError
from storage.errors import StoreDiskFullError, StoreUnavailableError

BUSY_TIMEOUT_S = 30.0
CACHE_KIB = 65_536
CHECKPOINT_PAGES = 4_000
WAL_BYTES_KEPT = 64 << 20

_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # macOS, where a plain fsync does not reach the disk
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA secure_delete = OFF",
    "PRAGMA temp_store = MEMORY",
    f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
    f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}",
    f"PRAGMA cache_size = -{CACHE_KIB}",
)

_FULL = frozenset({sqlite3.SQLITE_FULL})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY = 0xFF
"""An extended result code's lowest byte is the primary one."""


def file_of(url: str) -> Path:
    """The file of a URL `sqlite:///path`, which is always a whole path.

    Raises:
        CountersignError: `config.invalid`.
    """
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.scheme != "sqlite" or parts.netloc or parts.query or not path.is_absolute() or path == Path("/"):
        raise CountersignError("config.invalid", f"{url} is not sqlite:///path/to/file")
    return path


def open_database(file: Path, *, synchronous: bool = True) -> sqlite3.Connection:
    """A connection to a file, which is made where there is none, in a directory that must be there.

    Any thread may use it, one at a time.

    Args:
        synchronous: False only for tests: a crash of the machine may lose what was committed.

    Raises:
        StoreUnavailableError, DamagedRecordError: the file cannot be opened, or is no database.
    """
    with translated(f"{file}: "):
        connection = sqlite3.connect(
            file, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=512
        )
        try:
            for setting in _SETTINGS:
                connection.execute(setting)
            if not synchronous:
                connection.execute("PRAGMA synchronous = OFF")
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        except BaseException:
            connection.close()
            raise
    if mode != "wal":
        connection.close()
        raise StoreUnavailableError(f"{file} cannot have a write-ahead log: it is in mode {mode}")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, how: str) -> Iterator[None]:
    """Do all of the block, or nothing; what is committed is on disk.

    Args:
        how: IMMEDIATE, to be the only writer from the start, or DEFERRED, to see one moment.
    """
    with translated():
        connection.execute(f"BEGIN {how}")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # the first error counts; SQLite may have rolled back by itself
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise


@contextmanager
def translated(what: str = "") -> Iterator[None]:
    """Raise our own errors for SQLite's; `what` stands before its words."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
        if code in _FULL:
            raise StoreDiskFullError(f"{what}{error}") from error
        if code in _DAMAGED:
            raise DamagedRecordError(f"{what}{error}") from error
        raise StoreUnavailableError(f"{what}{error}") from error
