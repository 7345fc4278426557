"""The record store in a real SQLite file when things go wrong: crashes, full disks, damage, files that are gone."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from protocol.errors import CountersignError
from protocol.records import ABSENT, DamagedRecordError
from storage.errors import StoreAbsentError, StoreDiskFullError, StoreUnavailableError
from storage.ports import Stored
from storage.sqlite_store import SqliteStore
from tests.store_steps import KEY, STORE_ID, next_version, state, step

WRITER = """
import resource, signal, sys
from storage.sqlite_store import SqliteStore
from tests.store_steps import next_version, state, step
store = SqliteStore(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sequence, record = state(store)
while True:
    sequence += 1
    record = next_version(record, sequence)
    store.apply(step(sequence, record, b"x" * 20_000))
    print(sequence, flush=True)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/store.db"


def writing(url: str) -> "subprocess.Popen[str]":
    """A process that applies one step after the other, and says each that was acknowledged."""
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True, cwd=root)


def test_every_acknowledged_call_survives_the_process(url: str) -> None:
    """Killed again and again amid calls: each acknowledged one is there, and at most one more."""
    created = SqliteStore(url)
    created.create(STORE_ID)
    created.close()
    for said in range(1, 4):
        with writing(url) as process:
            assert process.stdout is not None
            for _ in range(10 * said):
                assert process.stdout.readline()
            process.kill()
            rest = process.stdout.read().split()
        store = SqliteStore(url)
        acknowledged = state(store)[0]
        assert not rest or acknowledged >= int(rest[-1])
        assert acknowledged >= 10 * said - 1
        store.close()


def test_commits_wait_for_the_disk(url: str, tmp_path: Path) -> None:
    """The settings that make a commit durable are those of the file and of each connection."""
    store = SqliteStore(url)
    for connection in (store._writer, store._reader):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


def test_a_full_disk_refuses_and_loses_nothing(url: str) -> None:
    """The call fails as a whole and says why; with room again, the next goes through."""
    store = SqliteStore(url)
    store.create(STORE_ID)
    sequence, record = -1, ABSENT
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the write fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        while True:
            new = next_version(record, sequence + 1)
            store.apply(step(sequence + 1, new, b"x" * 50_000))
            sequence, record = sequence + 1, new
    except StoreUnavailableError:
        pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert sequence > 0
    assert state(store) == (sequence, record)
    assert isinstance(store.apply(step(sequence + 1, next_version(record, sequence + 1))), Stored)
    store.close()


def test_full_is_told_as_such(url: str) -> None:
    """SQLite's own limit on the file stands for a disk without room."""
    store = SqliteStore(url)
    store.create(STORE_ID)
    (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(StoreDiskFullError) as caught:
        store.apply(step(0, next_version(ABSENT, 0), b"x" * 100_000))
    assert caught.value.code == "disk.full"
    store.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_gone(url: str, tmp_path: Path, replaced: bool) -> None:
    """Nothing more is acknowledged into a file that nobody would find again."""
    store = SqliteStore(url)
    store.create(STORE_ID)
    for file in tmp_path.iterdir():
        file.unlink()
    if replaced:
        (tmp_path / "store.db").touch()
    with pytest.raises(StoreAbsentError):
        store.apply(step(0, next_version(ABSENT, 0)))
    with pytest.raises(StoreAbsentError):
        store.load()
    store.close()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """Is told: the store waits for somebody to mount it."""
    with pytest.raises(StoreUnavailableError):
        SqliteStore(f"sqlite://{tmp_path}/nowhere/store.db")


@pytest.mark.parametrize("url", ["sqlite://store.db", "sqlite:store.db", "sqlite:///", "sqlite:///a?b=1", "redis:///a"])
def test_an_address_that_is_none(url: str) -> None:
    """Only whole paths: a relative one would be another file for each process."""
    with pytest.raises(CountersignError) as caught:
        SqliteStore(url)
    assert caught.value.code == "config.invalid"


def test_a_file_that_is_no_database(url: str, tmp_path: Path) -> None:
    """Is damage, not an empty store."""
    (tmp_path / "store.db").write_bytes(os.urandom(8192))
    with pytest.raises(DamagedRecordError):
        SqliteStore(url)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM versions WHERE version = 1",
        "UPDATE versions SET packed = substr(packed, 1, 100)",
        "UPDATE versions SET packed = CAST(zeroblob(40) || substr(packed, 41) AS BLOB)",
        "UPDATE records SET record_hash = zeroblob(32)",
    ],
)
def test_what_is_not_what_was_stored(url: str, tmp_path: Path, damage: str) -> None:
    """A current version that is missing, torn or another is never given."""
    store = SqliteStore(url)
    store.create(STORE_ID)
    store.apply(step(0, next_version(ABSENT, 0)))
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(DamagedRecordError) as caught:
        store.fetch([KEY])
    assert caught.value.code == "store.damaged"
    store.close()


def test_a_reader_does_not_wait_for_a_writer(url: str, tmp_path: Path) -> None:
    """Another process holds the file for writing: reads go on, a call waits until it lets go."""
    store = SqliteStore(url)
    store.create(STORE_ID)
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    assert state(store) == (-1, ABSENT)
    done = threading.Event()

    def write() -> None:
        store.apply(step(0, next_version(ABSENT, 0)))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert not done.wait(0.2)
    other.execute("COMMIT")
    thread.join(20)
    assert done.is_set()
    assert state(store)[0] == 0
    other.close()
    store.close()
