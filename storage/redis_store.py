"""The record store on Redis or Valkey; the only door to the `redis` package.

1. One Lua script makes each call (`apply.lua`): it runs alone, and reaches the append-only file as a whole.
2. Durable means: append-only file, `appendfsync always`, also while the file is rewritten, nothing evicted.
   It is checked on every new connection, because the server may come back with other settings.
3. The driver never tries a command again. A call whose answer was lost raises `StoreUnavailableError`; nobody
   knows whether it was done, so the caller loads and looks.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha1
from importlib.resources import files
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from protocol.records import ABSENT, DamagedRecordError, Record, RecordKey, head, pack, unpack
from storage.errors import (
    StoreAbsentError,
    StoreDiskFullError,
    StoreExistsError,
    StoreUnavailableError,
    UnsafeDurabilityError,
)
from storage.ports import (
    Contents,
    OutboxEntry,
    Refusal,
    RequestExpiry,
    ScanRange,
    ScanRows,
    Snapshot,
    StoreCall,
    Stored,
    Version,
)
from storage.redis_layout import (
    CELLS,
    REPLAY_ENTRIES,
    arguments,
    bucket_key,
    by_minute,
    entry_key,
    head_key,
    index_key,
    index_range,
    outbox_key,
    version_key,
)

DURABLE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
}
"""What the server must be set to."""

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
PAGE_ROWS = 1_000

_SCRIPT = files("storage").joinpath("apply.lua").read_bytes()
_SCRIPT_SHA = sha1(_SCRIPT, usedforsecurity=False).hexdigest()  # how EVALSHA names a script
_CREATE = "if redis.call('DBSIZE') > 0 then return 0 end redis.call('HSET', 'cells', 'store_id', ARGV[1]) return 1"


class RedisStore:
    """A party's store on a server of its own. See `storage.ports.RecordStore` for what each method promises.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with user, password and database where needed; the
            certificates to trust as `?ssl_ca_certs=PATH`, a client's own as `ssl_certfile` and `ssl_keyfile`.
        allow_unsafe: take a server that may lose what it acknowledged; for tests only.

    Raises:
        StoreUnavailableError: the server does not answer.
        UnsafeDurabilityError: its settings are not the `DURABLE` ones, or cannot be read.
    """

    def __init__(self, url: str, *, allow_unsafe: bool = False) -> None:
        self._client = redis.Redis.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            redis_connect_func=partial(_greet, allow_unsafe=allow_unsafe),
        )
        self._command("PING")

    def create(self, store_id: bytes) -> None:
        """Make an empty server into this store."""
        assert store_id, "a store has an id"
        if self._command("EVAL", _CREATE, 0, store_id) != 1:
            raise StoreExistsError("the server holds data")

    def load(self) -> Contents:
        """Return all cells."""
        flat, entries = self._commands(("HGETALL", CELLS), ("GET", REPLAY_ENTRIES))
        if not flat:
            raise StoreAbsentError("the server holds no cells")
        return Contents(cells=_cells(flat), replay_entries=int(entries or 0))

    def fetch(
        self,
        keys: Sequence[RecordKey] = (),
        *,
        versions: Sequence[Version] = (),
        scans: Sequence[ScanRange] = (),
        replay: Sequence[RequestExpiry] = (),
        cells: Sequence[str] = (),
    ) -> Snapshot:
        """Read all of this at once."""
        buckets = by_minute(replay)
        head_keys = [head_key(key) for key in keys]
        answers = iter(
            self._commands(
                *([("MGET", *head_keys)] if keys else []),
                *([("HMGET", CELLS, *cells)] if cells else []),
                *(("HMGET", bucket_key(minute), *ids) for minute, ids in buckets.items()),
                *(_index_command(scan) for scan in scans),
            )
        )
        heads = next(answers) if keys else []
        values = next(answers) if cells else []
        replayed = {
            request_id: int(sequence)
            for request_ids in buckets.values()
            for request_id, sequence in zip(request_ids, next(answers), strict=True)
            if sequence is not None
        }
        wanted = [(_versioned(version), version) for version in versions]
        packed, found = self._versions(head_keys, heads, [name for name, _ in wanted])
        return Snapshot(
            records=dict(zip(keys, packed, strict=True)),
            versions={
                version: unpack(data) for (_, version), data in zip(wanted, found, strict=True) if data is not None
            },
            scans=tuple(self._scan_rows(scan, next(answers)) for scan in scans),
            replayed=replayed,
            cells={name: value for name, value in zip(cells, values, strict=True) if value is not None},
        )

    def apply(self, call: StoreCall) -> Stored | Refusal:
        """Check and change all of it atomically."""
        compared, argv = arguments(call)
        try:
            answer = self._command("EVALSHA", _SCRIPT_SHA, 0, *argv)
        except redis.exceptions.NoScriptError:  # nothing was run: the server is new, or forgot its scripts
            answer = self._command("EVAL", _SCRIPT, 0, *argv)
        if isinstance(answer, int):
            return Stored(replay_entries=answer)
        reason, cells, what = answer
        refusal = partial(Refusal, cells=_cells(cells))
        match reason:
            case b"cell":
                return refusal(reason="cell")
            case b"replay":
                pairs = zip(what[::2], what[1::2], strict=True)
                return refusal(reason="replay", replayed={request_id: int(number) for request_id, number in pairs})
            case b"read":
                return refusal(reason="read", stale=tuple(compared[i] for i in what))
            case _:
                ranges = (call.scans[i] for i in what)
                return refusal(reason="scan", stale=tuple(RecordKey(scan.namespace, scan.start) for scan in ranges))

    def read_outbox(self, kind: str, first: int, last: int) -> tuple[OutboxEntry, ...]:
        """Return the entries of a kind from `first` to `last`."""
        numbers = [int(n) for n in self._command("ZRANGE", outbox_key(kind), first, last, "BYSCORE")]
        if not numbers:
            return ()
        messages = self._command("MGET", *(entry_key(kind, number) for number in numbers))
        return tuple(
            OutboxEntry(kind, number, message)
            for number, message in zip(numbers, messages, strict=True)
            if message is not None  # trimmed in between
        )

    def records(self, namespace: str) -> Iterator[tuple[str, Record]]:
        """All current records of a namespace, page by page."""
        low = b"-"
        while names := self._command("ZRANGE", index_key(namespace), low, b"+", "BYLEX", "LIMIT", 0, PAGE_ROWS):
            yield from self._rows(namespace, names)
            low = b"(" + names[-1]

    def count(self, namespace: str) -> int:
        """Number of keys ever written in a namespace."""
        return int(self._command("ZCARD", index_key(namespace)))

    def overwrite(self, key: RecordKey, record: Record) -> None:
        """Put another current version in place, unchecked, as whoever has the server's password can.

        For tests and demonstrations of what then happens; nothing in the pipeline calls it.
        """
        name = head_key(key)
        newest = head(record)
        self._command("MSET", name, newest, version_key(name, newest[:8]), pack(record))

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def _versions(
        self, head_keys: Sequence[bytes], heads: Sequence[bytes | None], more: Sequence[bytes]
    ) -> tuple[list[Record], list[bytes | None]]:
        """The current records behind some heads, and what is stored at some more keys, in one round trip."""
        names = [version_key(name, h[:8]) for name, h in zip(head_keys, heads, strict=True) if h is not None]
        if not names and not more:
            return [ABSENT] * len(heads), []
        found = self._command("MGET", *names, *more)
        packed = iter(found)
        records = [ABSENT if h is None else _current(h, next(packed)) for h in heads]
        return records, found[len(names) :]

    def _scan_rows(self, scan: ScanRange, names: Sequence[bytes]) -> ScanRows:
        rows = tuple(self._rows(scan.namespace, names))
        exhausted = len(rows) < scan.limit
        return ScanRows(scan, rows, scan.end if exhausted else rows[-1][0], exhausted)

    def _rows(self, namespace: str, names: Sequence[bytes]) -> Iterator[tuple[str, Record]]:
        """The current records under some keys of an index."""
        keys = [name.decode() for name in names]
        head_keys = [head_key(RecordKey(namespace, key)) for key in keys]
        heads = self._command("MGET", *head_keys) if keys else []
        records, _ = self._versions(head_keys, heads, ())
        return zip(keys, records, strict=True)

    def _command(self, *command: Any) -> Any:
        client: Any = self._client
        with _translated():
            return client.execute_command(*command)

    def _commands(self, *commands: Sequence[Any]) -> list[Any]:
        """Several commands in one round trip."""
        pipeline: Any
        with _translated(), self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute()
            return answers


def _greet(connection: Any, *, allow_unsafe: bool) -> None:
    """Begin a connection: the usual handshake, then the check of the server's settings."""
    connection.on_connect()
    if allow_unsafe:
        return
    try:
        connection.send_command("CONFIG", "GET", *DURABLE)
        flat = [item.decode() for item in connection.read_response()]
    except redis.exceptions.ResponseError as error:
        connection.disconnect()
        raise UnsafeDurabilityError(f"the server does not tell its settings: {error}") from error
    settings = dict(zip(flat[::2], flat[1::2], strict=True))
    wrong = [f"{name} is {settings.get(name)}" for name, value in DURABLE.items() if settings.get(name) != value]
    if wrong:
        connection.disconnect()
        raise UnsafeDurabilityError(", ".join(wrong))


@contextmanager
def _translated() -> Iterator[None]:
    """Raise our own errors for the driver's."""
    try:
        yield
    except redis.exceptions.NoScriptError:
        raise
    except redis.exceptions.OutOfMemoryError as error:
        raise StoreDiskFullError(str(error)) from error
    except redis.exceptions.ResponseError as error:
        if str(error).startswith("MISCONF"):
            raise StoreDiskFullError(str(error)) from error
        raise StoreUnavailableError(str(error)) from error
    except redis.exceptions.RedisError as error:
        raise StoreUnavailableError(str(error)) from error


def _current(expected: bytes, packed: bytes | None) -> Record:
    """The record behind a head.

    Raises:
        DamagedRecordError: it is missing, or another.
    """
    if packed is None:
        raise DamagedRecordError("a record's current version is missing")
    if not packed.startswith(expected):
        raise DamagedRecordError("a record's current version is not the one its head names")
    return unpack(packed)


def _versioned(version: Version) -> bytes:
    return version_key(head_key(version.key), version.version.to_bytes(8, "big"))


def _index_command(scan: ScanRange) -> tuple[Any, ...]:
    assert scan.limit > 0, "a scan wants at least one row"
    low, high = index_range(scan.start, scan.end)
    return ("ZRANGE", index_key(scan.namespace), low, high, "BYLEX", "LIMIT", 0, scan.limit)


def _cells(flat: Any) -> dict[str, bytes]:
    """Cells from HGETALL, which the driver may have paired already."""
    if isinstance(flat, dict):
        return {name.decode(): value for name, value in flat.items()}
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
