"""Connections to one server, for the table store on Redis or Valkey; its door to the driver.

1. Threads share round trips (`storage.tables.redis_rounds`); each round has a connection, idle ones wait in a pool.
2. What is sent is packed once, by hiredis, and several commands travel together. (The driver's own `execute_command`
   costs 30 microseconds of CPU time a call; an exchange here 13, measured on one core of a 2-core machine.)
3. An exchange that may be tried again is, once, on a new connection. One that may not ends in `UnknownOutcomeError`
   from the first byte sent until its answer is there; before that, and when the server refused it, nothing was done.
"""

import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha1
from importlib.resources import files
from time import monotonic
from typing import Any, cast

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from storage.errors import UnsafeDurabilityError
from storage.model.errors import InvalidOperationError
from storage.tables.errors import StoreContendedError, TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.port import Durability
from storage.tables.redis_commands import Argument, Packed, bulk
from storage.tables.redis_rounds import SharedRounds

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0

RECEIVE_BYTES = 65536

CONNECTIONS_MAX = 2**31
"""The driver's pool only makes connections here, and counts those that are gone as well: with its default of 100, a
process that had to connect anew a hundred times could never connect again."""

IDLE_TRUSTED_S = 0.01
"""A connection that was idle for longer is looked at before it is used: the server may have closed it."""

SETTINGS = ("CONFIG", "GET", "appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy")

NOT_LOCAL = "access a non local key"
"""A script that reads came upon a row that was just moved to another node of a cluster. One that writes declares all
its keys, so that it does not begin."""

LOST = (OSError, redis.exceptions.ConnectionError)
"""What tells that a connection is of no use any more."""

UNKNOWN_SCRIPT = redis.exceptions.NoScriptError

_LOADING = redis.exceptions.BusyLoadingError
"""A server that was started reads its data: the driver counts this among lost connections, but it is a refusal."""

_REFUSALS = (redis.exceptions.ResponseError, _LOADING)

Command = Sequence[Argument]

_pack: Callable[[Sequence[Argument]], bytes] = cast(Any, hiredis).pack_command


class Script:
    """A Lua script of this package, and the name that the server gives it."""

    def __init__(self, file: str) -> None:
        self.source = files("storage.tables").joinpath(file).read_bytes()
        name = sha1(self.source, usedforsecurity=False).hexdigest()
        self._by_name = bulk("EVALSHA") + bulk(name)
        self._by_source = bulk("EVAL") + bulk(self.source)

    def call(self, arguments: Packed) -> bytes:
        """The command that runs it, if the server knows it."""
        return b"*%d\r\n%b%b" % (arguments.size + 2, self._by_name, arguments.content)

    def call_with_source(self, arguments: Packed) -> bytes:
        """The command that runs it in any case."""
        return b"*%d\r\n%b%b" % (arguments.size + 2, self._by_source, arguments.content)


class ElsewhereError(InvalidOperationError):
    """`operation.unsupported`: a node of a cluster does not serve a slot, and says which one does; nothing was done.

    Attributes:
        host: of that node; empty: it is that of the one that was asked.
        port: of that node.
        is_asked: whether it is for this call alone, with an ASKING before it: the slot is being moved.
    """

    def __init__(self, answer: redis.exceptions.AskError) -> None:
        super().__init__("operation.unsupported", f"the cluster has more than one node: {answer}")
        self.host: str = answer.host
        self.port: int = answer.port
        self.is_asked = not isinstance(answer, redis.exceptions.MovedError)


class Wire:
    """A connection of the driver, with its socket and a reader of our own: an answer costs no layers of Python."""

    __slots__ = ("_receive", "_send", "connection", "opened", "reader")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.reader = cast(Any, hiredis).Reader(
            protocolError=redis.exceptions.ConnectionError,
            replyError=partial(_refusal, connection._parser.parse_error),
        )
        opened: socket.socket = connection._sock
        timeout_s = opened.gettimeout()
        if type(opened) is socket.socket and timeout_s:  # by the system: Python makes one more call each time for it
            interval = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1_000_000))
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
            opened.settimeout(None)
        self.opened = opened
        self._send, self._receive = opened.sendall, opened.recv

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        """Send, and read so many answers; errors among them are returned.

        Raises:
            OSError, redis.exceptions.ConnectionError: who knows what the server has done.
        """
        self._send(packed)
        answers: list[Any] = []
        gets, feed = self.reader.gets, self.reader.feed
        while len(answers) < count:
            answer = gets()
            if answer is False:  # not whole yet; no answer of this protocol is a boolean
                received = self._receive(RECEIVE_BYTES)
                if not received:
                    raise ConnectionResetError("the server closed the connection")
                feed(received)
            elif is_last(answer):
                raise answer
            else:
                answers.append(answer)
        return answers


class RedisLink:
    """A pool of connections to one server.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, as `storage.redis_store.RedisStore` takes it.

    Raises:
        InvalidOperationError: `config.invalid`: the URL is none.
        TableStoreUnavailableError: the server does not answer.
        UnsafeDurabilityError: it evicts what it stores when its memory is full.
    """

    def __init__(self, url: str, **overrides: Any) -> None:
        try:
            self._pool = redis.ConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS_MAX,
                protocol=2,
                retry=Retry(NoBackoff(), 0),
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                socket_timeout=ANSWER_TIMEOUT_S,
            )
        except ValueError as error:
            raise InvalidOperationError("config.invalid", f"no URL of a Redis or Valkey: {error}") from error
        self._pool.connection_kwargs.update(overrides)
        self._idle: deque[tuple[Wire, float]] = deque()
        self._rounds = SharedRounds(self._round_trip)
        self._closed = False
        self.durability = Durability.NONE
        [told] = self._exchange(self.open(), _pack(SETTINGS), 1)
        self.durability = _durability(told)

    @property
    def address(self) -> str:
        """Host and port, or the path of a socket."""
        settings = self._pool.connection_kwargs
        return str(settings["path"]) if "path" in settings else f"{settings['host']}:{settings['port']}"

    @property
    def is_encrypted(self) -> bool:
        """Whether its connections are."""
        return issubclass(self._pool.connection_class, redis.SSLConnection)

    def ask(self, *commands: Command) -> list[Any]:
        """Commands that may be tried again, in one round trip.

        Raises:
            TableStoreUnavailableError: the server does not answer, or will not.
        """
        packed = b"".join([_pack(tuple(command)) for command in commands])
        return [checked(answer) for answer in self._asked(packed, len(commands))]

    def read(self, command: bytes) -> Any:
        """One packed command; as `ask`."""
        answer = self._asked(command, 1)[0]
        return answer if type(answer) is list else checked(answer)

    def ask_script(self, script: Script, arguments: Packed) -> Any:
        """Run a script, of which these are the number of keys, the keys and the arguments; as `ask`."""
        try:
            return self.read(script.call(arguments))
        except UNKNOWN_SCRIPT:
            self.ask(("SCRIPT", "LOAD", script.source))
            return self.read(script.call(arguments))

    def ask_scripts(self, script: Script, calls: Sequence[Packed]) -> list[Any]:
        """Run a script several times, in one round trip; as `ask`."""
        command = b"".join([script.call(arguments) for arguments in calls])
        answers = self._asked(command, len(calls))
        if any(isinstance(answer, redis.exceptions.NoScriptError) for answer in answers):
            self.ask(("SCRIPT", "LOAD", script.source))
            answers = self._asked(command, len(calls))
        return [checked(answer) for answer in answers]

    def call_script(self, script: Script, arguments: Packed) -> Any:
        """Run a script once, and never again.

        Raises:
            TableStoreUnavailableError: nothing was done.
            UnknownOutcomeError: nobody knows.
        """
        answer = self._rounds.exchange(script.call(arguments), 1)[0]
        if isinstance(answer, UNKNOWN_SCRIPT):
            answer = self._rounds.exchange(script.call_with_source(arguments), 1)[0]
        return checked(answer)

    def once(self, packed: bytes, count: int) -> list[Any]:
        """Packed commands, once and never again, with nobody else's between them.

        Returns:
            So many answers; those that are errors are raised by `checked`.

        Raises:
            TableStoreUnavailableError: nothing was done.
            UnknownOutcomeError: nobody knows.
        """
        return self._rounds.exchange(packed, count)

    def _asked(self, packed: bytes, count: int) -> list[Any]:
        """The answers to what may be tried again; errors among them are returned."""
        try:
            return self._rounds.exchange(packed, count)
        except UnknownOutcomeError:
            self._drop_idle()
        try:
            return self._rounds.exchange(packed, count)
        except UnknownOutcomeError as error:
            raise TableStoreUnavailableError(error.detail) from error

    def close(self) -> None:
        """End all connections; those in use, when they are given back."""
        self._closed = True
        self._drop_idle()

    def _round_trip(self, packed: bytes, count: int) -> list[Any]:
        return self._exchange(self._connection(), packed, count)

    def _exchange(self, wire: Wire, packed: bytes, count: int) -> list[Any]:
        """Send, and read so many answers; errors among them are returned."""
        try:
            answers = wire.exchange(packed, count)
        except LOST as error:
            wire.connection.disconnect()
            raise UnknownOutcomeError(str(error)) from error
        except BaseException:
            wire.connection.disconnect()  # an answer may yet come, and would be taken for the next one's
            raise
        self._give_back(wire)
        return answers

    def _connection(self) -> Wire:
        """An idle connection, or a new one."""
        while self._idle:
            try:
                wire, since = self._idle.pop()
            except IndexError:  # another thread took the last one
                break
            if monotonic() - since < IDLE_TRUSTED_S or _quiet(wire.connection):
                return wire
            wire.connection.disconnect()
        return self.open()

    def open(self) -> Wire:
        """A new connection, to a server that promises no less than at first.

        Raises:
            TableStoreUnavailableError: it does not answer.
            UnsafeDurabilityError: it promises less.
        """
        connection: Any = self._pool.make_connection()
        try:
            connection.connect()
            connection.send_command(*SETTINGS)
            durability = _durability(_answer(connection))
        except redis.exceptions.RedisError as error:
            connection.disconnect()
            raise TableStoreUnavailableError(str(error)) from error
        except UnsafeDurabilityError:
            connection.disconnect()
            raise
        if _RANK[durability] < _RANK[self.durability]:
            connection.disconnect()
            raise UnsafeDurabilityError(f"it was {self.durability} when the store was opened, and is {durability}")
        return Wire(connection)

    def _give_back(self, wire: Wire) -> None:
        if self._closed:
            wire.connection.disconnect()
        else:
            self._idle.append((wire, monotonic()))

    def _drop_idle(self) -> None:
        while self._idle:
            try:
                wire, _ = self._idle.pop()
            except IndexError:
                return
            wire.connection.disconnect()


_RANK = {durability: rank for rank, durability in enumerate(Durability)}


def _durability(told: Any) -> Durability:
    """What the server's settings promise; where it does not tell them, nothing.

    Raises:
        UnsafeDurabilityError: it may evict rows.
    """
    if isinstance(told, redis.exceptions.ResponseError):
        return Durability.NONE
    flat = [item.decode() for item in told]
    settings = dict(zip(flat[::2], flat[1::2], strict=True))
    if settings["maxmemory-policy"] != "noeviction":
        raise UnsafeDurabilityError(f"maxmemory-policy is {settings['maxmemory-policy']}: rows would be evicted")
    if settings["appendonly"] != "yes" or settings["appendfsync"] == "no":
        return Durability.NONE
    if settings["appendfsync"] == "always" and settings["no-appendfsync-on-rewrite"] == "no":
        return Durability.DISK
    return Durability.PROCESS


def _answer(connection: Any) -> Any:
    """The next answer; one that is an error is returned."""
    try:
        return connection.read_response()
    except redis.exceptions.ResponseError as error:
        return error


def _refusal(parse: Callable[[str], Exception], text: str) -> Exception:
    """The driver's error of an answer; one that it cannot read ends the connection."""
    try:
        return parse(text)
    except ValueError:
        return redis.exceptions.ConnectionError(f"an answer that is none: {text[:100]}")


def _quiet(connection: Any) -> bool:
    """Whether a connection is open and nothing waits to be read on it."""
    try:
        return not connection.can_read(timeout=0)
    except (redis.exceptions.RedisError, OSError):
        return False


def is_last(answer: Any) -> bool:
    """Whether an answer tells that the connection is of no use any more."""
    return isinstance(answer, redis.exceptions.ConnectionError) and not isinstance(answer, _LOADING)


def checked(answer: Any) -> Any:
    """The answer, unless it is an error.

    Raises:
        TableStoreUnavailableError: the server will not do it now.
        ElsewhereError: the slot is on another node of a cluster; nothing was done.
    """
    if not isinstance(answer, _REFUSALS):
        return answer
    if isinstance(answer, UNKNOWN_SCRIPT):
        raise answer
    if isinstance(answer, redis.exceptions.AskError):  # or its kind, MovedError
        raise ElsewhereError(answer)
    if isinstance(answer, redis.exceptions.TryAgainError | redis.exceptions.ClusterDownError):
        raise StoreContendedError(str(answer))
    if NOT_LOCAL in str(answer):
        raise StoreContendedError(str(answer))
    full = isinstance(answer, redis.exceptions.OutOfMemoryError) or str(answer).startswith("MISCONF")
    raise TableStoreUnavailableError(str(answer), "disk.full" if full else "store.unreachable")
