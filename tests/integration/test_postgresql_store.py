"""The record store on a real PostgreSQL when things go wrong: settings, outages, lost answers, crashes, damage."""

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from protocol.errors import CountersignError
from protocol.records import ABSENT, DamagedRecordError, Record
from storage import postgresql_connections
from storage.errors import StoreUnavailableError, UnsafeDurabilityError
from storage.ports import StoreCall, Stored, Version
from storage.postgresql_store import PostgresqlStore
from storage.tables.errors import TableStoreUnavailableError
from storage.tables.postgresql_tables import PostgresqlTables
from tests.postgresql import Postgresql
from tests.proxy import Proxy
from tests.store_steps import KEY, STORE_ID, next_version, state, step

LOADS = 1000
"""In which a write between the two reads of one of them would be seen."""

Start = Callable[..., Postgresql]
Damaged = tuple[str, PostgresqlStore, Record]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers with some settings; they are stopped at the end."""
    running = []

    def started(**settings: str) -> Postgresql:
        running.append(server := Postgresql(tmp_path, settings))
        return server.start()

    yield started
    for server in running:
        server.stop()


@pytest.fixture
def server(start: Start) -> Postgresql:
    """A server of the test's own."""
    return start()


@pytest.fixture
def url(postgresql: Postgresql) -> str:
    """A new database on the shared server."""
    return postgresql.database()


def test_the_server_does_not_run_as_root(postgresql: Postgresql) -> None:
    """Whoever starts it: PostgreSQL would refuse, and its data is its own account's."""
    status = Path(f"/proc/{postgresql.pid()}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("Uid:")]
    assert "0" not in line.split()[1:]


class TestDurability:
    @pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
    def test_a_server_that_may_forget_is_refused(self, start: Start, setting: str) -> None:
        """Each setting on its own. Tests may use it all the same."""
        server = start(**{setting: "off"})
        with pytest.raises(UnsafeDurabilityError, match=f"{setting} is off") as caught:
            PostgresqlStore(server.url)
        assert caught.value.code == "store.unsafe_durability"
        store = PostgresqlStore(server.url, allow_unsafe=True)
        store.create(STORE_ID)
        store.close()

    @pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
    def test_a_running_server_that_is_told_to_forget_is_noticed(
        self, server: Postgresql, monkeypatch: pytest.MonkeyPatch, setting: str
    ) -> None:
        """A reload changes settings under connections that live; once they are mended, the store goes on."""
        monkeypatch.setattr(postgresql_connections, "DURABLE_FOR_S", 0.0)
        store = PostgresqlStore(server.url)
        store.create(STORE_ID)

        def told(value: str) -> bool:
            with psycopg.connect(server.url, autocommit=True) as connection:
                return connection.execute(f"SHOW {setting}").fetchone() == (value,)

        for value in ("off", "on"):
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute(f"ALTER SYSTEM SET {setting} = {value}")
                connection.execute("SELECT pg_reload_conf()")
            while not told(value):
                pass
            if value == "off":
                with pytest.raises(UnsafeDurabilityError, match=f"{setting} is off"):
                    store.apply(step(0, next_version(ABSENT, 0)))
        assert isinstance(store.apply(step(0, next_version(ABSENT, 0))), Stored)
        store.close()

    def test_every_acknowledged_call_survives_a_crash(self, server: Postgresql) -> None:
        """Killed again and again amid calls: each acknowledged one is there, and at most one more."""
        store = PostgresqlStore(server.url)
        store.create(STORE_ID)
        seed = random.Random(1)
        for _ in range(5):
            acknowledged = _write_until_killed(server, store, seed)
            server.start()
            assert state(store)[0] in (acknowledged, acknowledged + 1)
        store.close()


def _write_until_killed(server: Postgresql, store: PostgresqlStore, seed: random.Random) -> int:
    """The last sequence that was acknowledged."""
    sequence, record = state(store)
    payload = seed.randbytes(seed.choice([0, 200_000]))
    timer = threading.Timer(0.05 + seed.random() * 0.1, server.kill)
    timer.start()
    try:
        while True:
            record = next_version(record, sequence + 1)
            assert isinstance(store.apply(step(sequence + 1, record, payload)), Stored)
            sequence += 1
    except StoreUnavailableError:
        timer.join()
        return sequence


class TestConnection:
    def test_nobody_there(self) -> None:
        """A wrong address is told with its code, and without the password."""
        with pytest.raises(StoreUnavailableError) as caught:
            PostgresqlStore("postgresql://party:secret@127.0.0.1:1/postgres")
        assert caught.value.code == "store.unreachable"
        assert "secret" not in str(caught.value)

    def test_a_table_store_says_its_code_once(self) -> None:
        """What went wrong stands in the detail, in the words of the driver."""
        with pytest.raises(TableStoreUnavailableError) as caught:
            PostgresqlTables("postgresql://party:secret@127.0.0.1:1/postgres")
        assert str(caught.value).count("store.unreachable") == 1
        assert caught.value.detail.startswith("connection failed")

    def test_a_wrong_password(self, postgresql: Postgresql) -> None:
        """Is told, and is not in what is told."""
        with pytest.raises(StoreUnavailableError) as caught:
            PostgresqlStore(postgresql.url.replace(":test@", ":a-wrong-one@"))
        assert "a-wrong-one" not in str(caught.value)

    def test_a_database_of_another_encoding_is_refused(self, postgresql: Postgresql) -> None:
        """Where a letter is several characters nothing that compares texts is what it should be."""
        with psycopg.connect(postgresql.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        url = f"{postgresql.url.rpartition('/')[0]}/bytes"
        for opened in (PostgresqlStore, PostgresqlTables):
            with pytest.raises(CountersignError, match="SQL_ASCII") as caught:
                opened(url)
            assert caught.value.code == "config.invalid"

    def test_what_is_loaded_is_of_one_moment(self, url: str) -> None:
        """Cells and the count beside them, while another process writes."""
        store, other = PostgresqlStore(url), PostgresqlStore(url)
        store.create(STORE_ID)
        done = threading.Event()

        def write() -> None:
            sequence, record = -1, ABSENT
            while not done.is_set():
                sequence += 1
                record = next_version(record, sequence)
                assert isinstance(other.apply(step(sequence, record)), Stored)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(LOADS):
                contents = store.load()
                assert int(contents.cells.get("sequence", b"-1")) + 1 == contents.replay_entries
        finally:
            done.set()
            writer.join()
        store.close()
        other.close()

    def test_a_store_goes_on_when_its_server_is_back(self, server: Postgresql) -> None:
        """No new object is needed after an outage, and no call fails once the server is back."""
        store = PostgresqlStore(server.url)
        store.create(STORE_ID)
        server.stop()
        for attempt in (store.load, lambda: store.fetch([KEY]), lambda: store.count("bank")):
            with pytest.raises(StoreUnavailableError):
                attempt()
        server.start()
        assert state(store) == (-1, ABSENT)
        server.stop()
        server.start()
        assert isinstance(store.apply(step(0, next_version(ABSENT, 0))), Stored)
        store.close()

    def test_a_call_whose_answer_is_lost_is_not_tried_again(self, postgresql: Postgresql, url: str) -> None:
        """It was done, once: a driver that tried again would be refused by its own success."""
        proxy = Proxy(postgresql.port)
        store = PostgresqlStore(url.replace(f":{postgresql.port}/", f":{proxy.port}/"))
        store.create(STORE_ID)
        store.apply(StoreCall(expected_cells={}, cells={"warm": b"1"}))
        proxy.lose_answers = True
        with pytest.raises(StoreUnavailableError):
            store.apply(step(0, next_version(ABSENT, 0)))
        assert proxy.lost == 1
        proxy.lose_answers = False
        assert state(store)[0] == 0
        store.close()
        proxy.close()

    def test_a_server_that_became_a_standby(self, url: str) -> None:
        """It takes no calls, and says why."""
        store = PostgresqlStore(url)
        store.create(STORE_ID)
        store.close()
        with psycopg.connect(url, autocommit=True) as connection:
            name = url.rpartition("/")[2]
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        store = PostgresqlStore(url)
        with pytest.raises(StoreUnavailableError, match="read-only"):
            store.apply(step(0, next_version(ABSENT, 0)))
        store.close()


class TestDamage:
    @pytest.fixture
    def damaged(self, url: str) -> Iterator[Damaged]:
        store = PostgresqlStore(url)
        store.create(STORE_ID)
        record = ABSENT
        for sequence in range(3):
            record = next_version(record, sequence)
            store.apply(step(sequence, record))
        yield url, store, record
        store.close()

    @pytest.mark.parametrize(
        "damage",
        [
            "DELETE FROM versions WHERE version = 3",
            "UPDATE versions SET packed = substring(packed FOR 100) WHERE version = 3",
            "UPDATE versions SET packed = set_byte(packed, 7, 2) WHERE version = 3",
            "UPDATE records SET record_hash = decode(repeat('ab', 32), 'hex')",
            "UPDATE records SET version = 2",
        ],
    )
    def test_what_is_not_what_was_stored(self, damaged: Damaged, damage: str) -> None:
        """A current version that is missing, torn or another is never given."""
        url, store, _ = damaged
        with psycopg.connect(url, options="-c search_path=countersign") as connection:
            connection.execute(damage)
        with pytest.raises(DamagedRecordError) as caught:
            store.fetch([KEY])
        assert caught.value.code == "store.damaged"

    def test_a_forged_record_is_current(self, damaged: Damaged) -> None:
        """Whoever has the password can put another one in place; the record chain is what shows it."""
        _, store, record = damaged
        forged = record._replace(value=b'"forged"')
        store.overwrite(KEY, forged)
        found = store.fetch([KEY], versions=[Version(KEY, 3)])
        assert found.records[KEY] == found.versions[Version(KEY, 3)] == forged


def test_a_record_with_many_versions_is_as_quick(url: str) -> None:
    """The server reads no more pages for the newest of 20,000 versions than for the newest of two."""
    store = PostgresqlStore(url)
    store.create(STORE_ID)
    with psycopg.connect(url, autocommit=True, options="-c search_path=countersign") as connection:
        connection.execute("INSERT INTO records VALUES (-1, 'n', 'old', 20000, ''), (-2, 'n', 'new', 2, '')")
        for record, versions in ((-1, 20_000), (-2, 2)):
            connection.execute("INSERT INTO versions SELECT %s, generate_series(1, %s), ''", (record, versions))
        query = """EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT v.packed FROM records r
            LEFT JOIN versions v ON v.record = r.record AND v.version = r.version
            WHERE r.namespace = 'n' AND r.key = %s"""
        pages = []
        for name in (b"old", b"new"):
            connection.execute("SET enable_seqscan = off")
            connection.execute(query, [name])  # what it needs of the catalogue is read once
            ((plan,),) = connection.execute(query, [name]).fetchall()
            pages.append(plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"])
    assert pages[0] <= pages[1] + 1
    store.close()
