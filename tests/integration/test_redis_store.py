"""The store on a real Valkey when things go wrong: settings, full disks, crashes, damage."""

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from protocol.records import ABSENT, DamagedRecordError, Record, verify_record
from storage.errors import StoreDiskFullError, StoreUnavailableError, UnsafeDurabilityError
from storage.ports import (
    OutboxEntry,
    OutboxTrim,
    ReplayEntry,
    StoreCall,
    Stored,
    Version,
)
from storage.redis_store import RedisStore
from tests.store_steps import KEY, LEDGER_ID, STORE_ID, Start, next_version, servers, state, step
from tests.valkey import Valkey


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with servers(tmp_path) as started:
        yield started


@dataclass
class Writer:
    """Applies one step after the other until the server is gone."""

    store: RedisStore
    payload: bytes = b""
    acknowledged: int = -1
    error: Exception | None = None
    begun: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        sequence, record = state(self.store)
        self.acknowledged = sequence
        try:
            while True:
                sequence += 1
                record = next_version(record, sequence)
                assert isinstance(self.store.apply(step(sequence, record, self.payload)), Stored)
                self.acknowledged = sequence
                self.begun.set()
        except StoreUnavailableError as error:
            self.error = error


class TestDurability:
    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("appendonly", "no"),
            ("appendfsync", "everysec"),
            ("no_appendfsync_on_rewrite", "yes"),
            ("maxmemory_policy", "allkeys-lru"),
        ],
    )
    def test_a_server_that_may_forget_is_refused(self, start: Start, setting: str, value: str) -> None:
        """Each setting on its own. Tests may use it all the same."""
        server = start(**{setting: value})
        with pytest.raises(UnsafeDurabilityError) as caught:
            RedisStore(server.url)
        assert caught.value.code == "store.unsafe_durability"
        RedisStore(server.url, allow_unsafe=True).create(STORE_ID)

    def test_a_server_that_does_not_tell_is_refused(self, start: Start) -> None:
        """Without the right to read settings nobody knows what the server may forget."""
        server = start()
        server.command("ACL", "SETUSER", "party", "on", ">secret", "~*", "+@all", "-config")
        with pytest.raises(UnsafeDurabilityError):
            RedisStore(f"redis://party:secret@127.0.0.1:{server.port}/0")

    def test_a_server_that_comes_back_with_other_settings_is_refused(self, start: Start) -> None:
        """The check is made on each connection, not once: nothing is done on the way."""
        server = start()
        store = RedisStore(server.url)
        store.create(STORE_ID)
        server.kill()
        server.settings["appendfsync"] = "everysec"
        server.start()
        for _ in range(2):
            with pytest.raises(UnsafeDurabilityError, match="appendfsync is everysec"):
                store.apply(step(0, next_version(ABSENT, 0)))
        server.stop()
        server.settings["appendfsync"] = "always"
        server.start()
        assert state(store) == (-1, ABSENT)

    def test_every_acknowledged_call_survives_a_crash(self, start: Start) -> None:
        """Killed again and again amid calls: each acknowledged one is there, and at most one more."""
        server = start()
        store = RedisStore(server.url)
        store.create(STORE_ID)
        seed = random.Random(1)
        for _ in range(12):
            writer = Writer(store, payload=seed.randbytes(seed.choice([0, 200_000])))
            thread = threading.Thread(target=writer.run)
            thread.start()
            assert writer.begun.wait(20)
            thread.join(seed.random() * 0.1)
            server.kill()
            thread.join()
            server.start()
            assert state(store)[0] in (writer.acknowledged, writer.acknowledged + 1)

    def test_a_torn_append_only_file_holds_whole_calls(self, start: Start, tmp_path: Path) -> None:
        """Power lost in the middle of a write: a call is there as a whole or not at all."""
        server = start()
        store = RedisStore(server.url)
        store.create(STORE_ID)
        record = ABSENT
        for sequence in range(8):
            record = next_version(record, sequence)
            store.apply(step(sequence, record))
        server.kill()
        (file,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
        whole = file.read_bytes()
        seen = set()
        seed = random.Random(1)
        for _ in range(12):
            file.write_bytes(whole[: -seed.randrange(1, len(whole) // 2)])
            server.start()
            seen.add(state(store)[0])
            server.kill()
        assert len(seen) > 2

    def test_a_full_disk_loses_nothing_acknowledged(self, start: Start, tmp_path: Path) -> None:
        """Under `always` the server ends itself rather than acknowledge; with room again, all is there."""
        server = Valkey(tmp_path, file_bytes_max=3_000_000).start()
        try:
            store = RedisStore(server.url)
            store.create(STORE_ID)
            writer = Writer(store, payload=b"x" * 500_000)
            writer.run()
            assert writer.acknowledged == 4
            server.stop()
            server.file_bytes_max = None
            server.start()
            assert state(store)[0] == 4
        finally:
            server.stop()

    def test_full_memory_is_told_as_such(self, start: Start) -> None:
        """The call is refused before it changes anything, and goes through when there is room."""
        server = start(maxmemory="4mb")
        store = RedisStore(server.url)
        store.create(STORE_ID)
        writer = Writer(store, payload=b"x" * 500_000)
        writer.run()
        assert isinstance(writer.error, StoreDiskFullError)
        assert writer.error.code == "disk.full"
        sequence, record = state(store)
        assert sequence == writer.acknowledged
        server.command("CONFIG", "SET", "maxmemory", "100mb")
        assert isinstance(store.apply(step(sequence + 1, next_version(record, sequence + 1))), Stored)


class TestRoom:
    def test_what_is_evicted_and_trimmed_leaves_nothing_behind(self, start: Start) -> None:
        """A store that runs for years does not fill with names of what is gone."""
        server = start()
        store = RedisStore(server.url)
        store.create(STORE_ID)
        empty = server.command("DBSIZE")
        for n in range(3):
            replay = [ReplayEntry(b"r" * 32, n * 60_000, n)]
            put = [OutboxEntry("order", n, b"x")]
            store.apply(StoreCall(expected_cells={}, replay=replay, cells={"x": b"1"}, outbox_put=put))
        trim = [OutboxTrim("order", 3)]
        store.apply(StoreCall(expected_cells={}, evict_before_ms=180_000, cells={"x": b""}, outbox_trim=trim))
        counter = 1  # the number of entries, now 0
        assert server.command("DBSIZE") == b":%d\r\n" % (int(empty[1:]) + counter)


class TestDamage:
    @pytest.fixture
    def damaged(self, start: Start) -> tuple[Valkey, RedisStore, Record, bytes]:
        server = start()
        store = RedisStore(server.url)
        store.create(STORE_ID)
        record = next_version(ABSENT, 0)
        store.apply(step(0, record))
        return server, store, record, b"v:4:bank:alice" + (1).to_bytes(8, "big")

    def test_a_missing_version(self, damaged: tuple[Valkey, RedisStore, Record, bytes]) -> None:
        """A head without its version is damage, never absence."""
        server, store, _, name = damaged
        assert server.command("DEL", name) == b":1\r\n"
        with pytest.raises(DamagedRecordError):
            store.fetch([KEY])

    @pytest.mark.parametrize("at", [0, 8, 20])
    def test_a_version_that_is_not_the_one_of_its_head(
        self, damaged: tuple[Valkey, RedisStore, Record, bytes], at: int
    ) -> None:
        """Number and hash in the version must be those that calls compare."""
        server, store, _, name = damaged
        server.command("SETRANGE", name, str(at), b"\x77")
        with pytest.raises(DamagedRecordError):
            store.fetch([KEY])

    def test_a_torn_version(self, damaged: tuple[Valkey, RedisStore, Record, bytes]) -> None:
        """Bytes too many or too few are no record, in the present and in the past."""
        server, store, _, name = damaged
        server.command("APPEND", name, "x")
        with pytest.raises(DamagedRecordError):
            store.fetch([KEY])
        with pytest.raises(DamagedRecordError):
            store.fetch(versions=[Version(KEY, 1)])

    def test_an_altered_value_keeps_its_hash(self, damaged: tuple[Valkey, RedisStore, Record, bytes]) -> None:
        """The store hands it out as it is; the record's own hash is what shows it."""
        _, store, record, _ = damaged
        store.overwrite(KEY, record._replace(value=b"7"))
        found = store.fetch([KEY]).records[KEY]
        assert found.value == b"7"
        with pytest.raises(DamagedRecordError):
            verify_record(LEDGER_ID, KEY, found)

    def test_a_forged_record_is_current_for_calls_too(self, damaged: tuple[Valkey, RedisStore, Record, bytes]) -> None:
        """With its hash computed anew, only what was signed about it tells the difference."""
        _, store, _, _ = damaged
        forged = next_version(ABSENT, 7)
        store.overwrite(KEY, forged)
        assert store.fetch([KEY]).records[KEY] == forged
        assert isinstance(store.apply(step(1, next_version(forged, 1))), Stored)
