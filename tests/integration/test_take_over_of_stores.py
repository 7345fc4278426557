"""Two processes on one record store: whoever was taken over writes nothing any more, on each real store.

The one that is taken over is stopped (SIGSTOP), as by a long pause of its machine, and goes on without knowing of it.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocol.records import Record
from storage.ports import RecordStore, Stored
from storage.record_stores import open_record_store
from tests.postgresql import Postgresql
from tests.store_steps import KEY, STORE_ID, next_version, state, step
from tests.valkey import Valkey

ROOT = Path(__file__).parents[2]
STORES = ("redis", "sqlite", "postgresql", "redis+postgresql", "sqlite+postgresql")

WORKER = """
import json
import sys
from storage.record_stores import open_record_store
from storage.ports import Stored
from tests.store_steps import next_version, state, step
store = open_record_store(sys.argv[1], json.loads(sys.argv[3]))
sequence, record = state(store)
print("loaded", flush=True)
while sys.argv[2] == "freely" or sys.stdin.readline():
    record = next_version(record, sequence + 1)
    done = store.apply(step(sequence + 1, record, b"of the old one"))
    if not isinstance(done, Stored):
        print("refused", done.reason, flush=True)
        break
    sequence += 1
    print("stored", sequence, flush=True)
"""


def urls_of(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, str]]:
    """The addresses of an empty store, and of the database of its records where that is another one."""
    home, _, other = kind.partition("+")
    namespaces = {KEY.namespace: url_of(other, request, tmp_path)} if other else {}
    return url_of(home, request, tmp_path), namespaces


def url_of(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of one empty database."""
    if kind == "sqlite":
        return f"sqlite://{tmp_path}/store.db"
    if kind == "postgresql":
        database: Postgresql = request.getfixturevalue("postgresql")
        return database.wipe()
    server: Valkey = request.getfixturevalue("valkey")
    server.command("FLUSHALL")
    return server.url


@contextmanager
def created(url: str, namespaces: dict[str, str]) -> Iterator[RecordStore]:
    """A new store, open for who takes over."""
    store = open_record_store(url, namespaces)
    try:
        store.create(STORE_ID)
        yield store
    finally:
        store.close()


@contextmanager
def worker(url: str, how: str, namespaces: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """The process that will be taken over, once it has loaded the store."""
    argv = [sys.executable, "-c", WORKER, url, how, json.dumps(namespaces)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert said(process) == "loaded"
            yield process
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def settled_state(store: RecordStore) -> tuple[int, Record]:
    """The state, looked at again where a call of the other got in between two looks."""
    while True:
        before = store.load()
        try:
            return state(store)
        except AssertionError:
            if store.load() == before:
                raise


def take_over(store: RecordStore) -> int:
    """Load the store and write three more steps; return the last sequence.

    A call that the other sent before its pause may still get in, once: whoever takes over then loads again.
    """
    refusals = 0
    sequence, record = settled_state(store)
    end = sequence + 3
    while sequence < end:
        record = next_version(record, sequence + 1)
        if isinstance(store.apply(step(sequence + 1, record, b"of the new one")), Stored):
            sequence += 1
            continue
        refusals += 1
        assert refusals == 1
        sequence, record = state(store)
        end = sequence + 3
    return sequence


@pytest.mark.parametrize("kind", STORES)
def test_who_was_taken_over_between_two_calls_is_refused(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """It says why, and all that is there is the successor's: no record, cell, replay entry or outbox entry is its."""
    url, namespaces = urls_of(kind, request, tmp_path)
    with created(url, namespaces) as store:
        with worker(url, "when told", namespaces) as old:
            assert old.stdin is not None
            for sequence in range(3):
                print(file=old.stdin, flush=True)
                assert said(old) == f"stored {sequence}"
            last = take_over(store)
            print(file=old.stdin, flush=True)
            assert said(old) == "refused cell"
        assert state(store)[0] == last == 5
        messages = [entry.message for entry in store.read_outbox("order", 3, 100)]
        assert all(message.endswith(b"of the new one") for message in messages)


# Not on SQLite: who is stopped in a call to it has its lock.
@pytest.mark.parametrize("kind", ["redis", "postgresql", "redis+postgresql"])
def test_who_was_stopped_in_the_middle_of_calls_is_refused(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A call that was sent before the pause may be done before the successor's; none is afterwards."""
    url, namespaces = urls_of(kind, request, tmp_path)
    with created(url, namespaces) as store:
        with worker(url, "freely", namespaces) as old:
            for sequence in range(20):
                assert said(old) == f"stored {sequence}"
            old.send_signal(signal.SIGSTOP)
            last = take_over(store)
            old.send_signal(signal.SIGCONT)
            assert old.stdout is not None
            *_, end = old.stdout.read().split("\n")[:-1]
            assert end == "refused cell"
        assert state(store)[0] == last
