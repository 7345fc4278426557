"""Connections to a PostgreSQL that forgets nothing it acknowledged; its errors in our own words.

1. Durable means: `fsync`, `full_page_writes` and `synchronous_commit` are on. It is checked on every new connection,
   because the server may come back with other settings, and on one that is lent again after `DURABLE_FOR_S`, because
   a server can be told others while it runs: for so long it is believed.
2. A connection is lent to one thread at a time. One that failed is closed, and so are the idle ones: after a
   server's end they are worth nothing.
3. No command is ever tried again. One whose answer was lost, or does not come in time, raises.
"""

import select
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from protocol.errors import CountersignError
from protocol.records import DamagedRecordError
from storage.errors import StoreDiskFullError, StoreUnavailableError, UnsafeDurabilityError

DURABLE: Mapping[str, tuple[str, ...]] = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply"),
}
"""What the server must be set to."""

DURABLE_FOR_S = 5.0
_ENCODING = "UTF8"
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 30.0
_LOOK_S = 0.5


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait for an answer for ever.

    Attributes:
        durable_until_s: when the server's settings are to be looked at again.
    """

    durable_until_s = 0.0

    def wait(self, gen: Any, interval: float = _LOOK_S, timeout: float | None = None) -> Any:
        """Wait for an answer.

        Raises:
            psycopg.OperationalError: it does not come in time.
        """
        return super().wait(gen, interval=interval, timeout=ANSWER_TIMEOUT_S if timeout is None else timeout)


class PostgresqlConnections:
    """The connections of one store.

    Args:
        url: `postgresql://`, with user, password, database and TLS settings as libpq has them.
        settings: what each connection is set to.
        allow_unsafe: take a server that may lose what it acknowledged; for tests only.
        greet: called with each new connection.

    Raises:
        CountersignError: `config.invalid`, for another URL; when connecting, for a database that is not in UTF-8.
    """

    def __init__(
        self,
        url: str,
        settings: Mapping[str, str],
        *,
        allow_unsafe: bool = False,
        greet: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        place_of(url)
        self._url = url
        self._settings = settings
        self._allow_unsafe = allow_unsafe
        self._greet = greet
        self._lock = Lock()
        self._idle: list[Connection] = []
        self._closed = False

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """A connection in autocommit mode, for one thread.

        Raises:
            StoreUnavailableError, StoreDiskFullError, UnsafeDurabilityError, DamagedRecordError: for the driver's
                errors, also those of the block.
        """
        with translated():
            connection = self._take()
            try:
                yield connection
            finally:
                if connection.pgconn.transaction_status == TransactionStatus.IDLE:
                    self._give_back(connection)
                else:
                    self._drop(connection)

    def close(self) -> None:
        """Close the idle connections now, and those that are lent when they come back."""
        self._closed = True
        self._drop_idle()

    def _take(self) -> Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._open()
            if not _is_quiet(connection):
                self._drop(connection)
                continue
            try:
                self._check(connection)
            except psycopg.OperationalError:  # it was lost without a word: nothing was sent, so another will do
                self._drop(connection)
            except BaseException:
                self._drop(connection)
                raise
            else:
                return connection

    def _check(self, connection: Connection) -> None:
        """Look at the server's settings, unless that was just done."""
        now_s = time.monotonic()
        if self._allow_unsafe or now_s < connection.durable_until_s:
            return
        _require_durable(connection)
        connection.durable_until_s = now_s + DURABLE_FOR_S

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _drop(self, connection: Connection) -> None:
        """Close a connection that failed; if it was lost, the idle ones as well."""
        lost = connection.broken
        connection.close()
        if lost:
            self._drop_idle()

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _open(self) -> Connection:
        options = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in self._settings.items())
        connection = Connection.connect(
            self._url,
            autocommit=True,
            prepare_threshold=1,
            connect_timeout=CONNECT_TIMEOUT_S,
            options=options,
            client_encoding=_ENCODING,
        )
        try:
            encoding = connection.info.parameter_status("server_encoding")
            if encoding != _ENCODING:  # else a letter is not one character of LIKE
                raise CountersignError("config.invalid", f"the database is in {encoding}, not in {_ENCODING}")
            self._check(connection)
            self._greet(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def place_of(url: str) -> str:
    """User, host, port and database of a URL, for people; never its password, nor what might be a part of it.

    Raises:
        CountersignError: `config.invalid`. It does not say what is wrong: libpq's own words quote the password.
    """
    try:
        told = conninfo_to_dict(url)
    except psycopg.Error:
        raise CountersignError("config.invalid", "the address of PostgreSQL cannot be read") from None
    host, port = str(told.get("host", "")), str(told.get("port", ""))
    if "@" in host or not all(each.isdecimal() for each in port.split(",") if each):
        raise CountersignError("config.invalid", "a user or password of PostgreSQL wants percent-encoding")
    return " ".join(f"{name}={told[name]}" for name in ("user", "host", "port", "dbname") if name in told)


@contextmanager
def in_pipeline(connection: Connection) -> Iterator[None]:
    """Send several statements in one round trip.

    A connection that failed at it is closed: the driver takes statements for prepared that the server skipped.
    """
    try:
        with connection.pipeline():
            yield
    except psycopg.Error:
        connection.close()
        raise


def _is_quiet(connection: Connection) -> bool:
    """Whether an idle connection is still there: a server that ended has said so."""
    readable, _, _ = select.select([connection.fileno()], [], [], 0)
    return not readable


def _require_durable(connection: Connection) -> None:
    found: dict[str, str] = dict(
        connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", [list(DURABLE)]).fetchall()
    )
    wrong = [f"{name} is {found[name]}" for name, accepted in DURABLE.items() if found[name] not in accepted]
    if wrong:
        raise UnsafeDurabilityError(", ".join(wrong))


@contextmanager
def translated() -> Iterator[None]:
    """Raise our own errors for the driver's."""
    try:
        yield
    except (errors.DiskFull, errors.OutOfMemory) as error:
        raise StoreDiskFullError(_text(error)) from error
    except (errors.DataCorrupted, errors.IndexCorrupted) as error:
        raise DamagedRecordError(_text(error)) from error
    except psycopg.Error as error:
        raise StoreUnavailableError(_text(error)) from error


def _text(error: psycopg.Error) -> str:
    return " ".join(str(error).split())
