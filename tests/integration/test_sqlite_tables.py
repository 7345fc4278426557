"""Tables in a real SQLite file when things go wrong: a disk that fails at a commit, a file that another holds."""

import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.operations import Get, Key, Upsert
from storage.model.schema import TableName, TableSchema
from storage.tables.errors import StoreContendedError, TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.sqlite_tables import SqliteTables

BLOBS = TableSchema(
    name=TableName("office", "blobs"), columns={"id": DataType.INT, "body": DataType.BLOB}, partition_key=("id",)
)
BODY = b"x" * 50_000
FILE_BYTES_MAX = 300_000
READS = 3_000
"""Among which some fall into a batch."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteTables]:
    opened = SqliteTables(tmp_path / "tables.db")
    opened.create_table(BLOBS)
    yield opened
    opened.close()


def put(store: SqliteTables, number: int) -> None:
    store.apply((Upsert(table=BLOBS.name, key=Key((number,)), values={"body": BODY}),))


@contextmanager
def failing_writes() -> Iterator[None]:
    """A disk that takes no byte behind the first so many of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_commit_that_the_disk_fails_is_of_unknown_outcome(store: SqliteTables) -> None:
    """What was written may come back when the file is opened again; here it did not, and the store goes on."""
    number = 0
    with failing_writes(), pytest.raises(UnknownOutcomeError):  # noqa: PT012  # one of them fails, whichever
        for number in range(FILE_BYTES_MAX // len(BODY) + 1):
            put(store, number)
    assert number > 0
    assert store.get(Get(table=BLOBS.name, key=Key((number,)))) is None
    put(store, number)
    assert store.get(Get(table=BLOBS.name, key=Key((number,)))) is not None


def test_an_error_says_its_code_once(tmp_path: Path) -> None:
    """What went wrong stands in the detail: the file, and the words of SQLite."""
    file = tmp_path / "missing" / "tables.db"
    with pytest.raises(TableStoreUnavailableError) as caught:
        SqliteTables(file)
    assert (caught.value.code, caught.value.detail) == ("store.unreachable", f"{file}: unable to open database file")


def test_who_only_reads_makes_no_file(tmp_path: Path) -> None:
    """Nothing is there, so no table is known; the first table makes the file, whoever makes it."""
    file = tmp_path / "absent.db"
    reader, maker = SqliteTables(file), SqliteTables(file)
    assert reader.tables() == ()
    asked: list[Callable[[], object]] = [
        lambda: reader.get(Get(table=BLOBS.name, key=Key((1,)))),
        lambda: reader.drop_table(BLOBS.name),
        lambda: put(reader, 1),
    ]
    for ask in asked:
        with pytest.raises(InvalidOperationError, match=r"no file .*absent\.db") as caught:
            ask()
        assert caught.value.code == "table.unknown"
    assert not file.exists()
    maker.create_table(BLOBS)
    assert reader.tables() == (BLOBS.name,)
    put(reader, 1)
    assert maker.get(Get(table=BLOBS.name, key=Key((1,)))) is not None
    for each in (reader, maker):
        each.close()


def test_a_file_that_another_process_holds_is_contended(store: SqliteTables, tmp_path: Path) -> None:
    """Nothing was done, so it is said that nothing was done, and the next batch goes through."""
    store._writer.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(tmp_path / "tables.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreContendedError):
        put(store, 1)
    other.execute("ROLLBACK")
    other.close()
    put(store, 1)


def test_rows_that_are_read_together_are_of_one_moment(store: SqliteTables) -> None:
    """While another thread changes both of them in one batch, again and again."""
    gets = tuple(Get(table=BLOBS.name, key=Key((number,))) for number in range(2))
    done = Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            body = {"body": b"%d" % number}
            store.apply(tuple(Upsert(table=BLOBS.name, key=get.key, values=body) for get in gets))

    writer = Thread(target=write)
    writer.start()
    try:
        for _ in range(READS):
            one, other = store.get_many(gets)
            assert (one and one["body"]) == (other and other["body"])
    finally:
        done.set()
        writer.join()
