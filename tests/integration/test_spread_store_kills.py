"""A process that writes to a store over several real databases is killed (SIGKILL) in the middle of its calls.

Whoever comes next finds every call whole or not at all in both databases, and everything that was acknowledged.
"""

import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.model.operations import ScanAll
from storage.model.schema import TableName
from storage.ports import Stored
from storage.spread_layout import RECORDS
from storage.spread_store import SETTINGS, SpreadStore, open_spread_store
from storage.tables.registry import open_table_store
from storage.transactions.images import is_committed
from tests.postgresql import Postgresql
from tests.store_steps import STORE_ID, next_version, state, step
from tests.valkey import Valkey

ROOT = Path(__file__).parents[2]
QUICK = replace(SETTINGS, lease_ms=200)
KILLS = 8

WORKER = """
import sys
from tests.integration.test_spread_store_kills import write
write(*sys.argv[1:])
"""


def opened(home: str, other: str) -> SpreadStore:
    """The store whose records of `bank` lie in the other database."""
    return open_spread_store(home, {"bank": other}, QUICK)


def write(home: str, other: str) -> None:
    """Write step after step for ever, and say of each that it is stored."""
    store = opened(home, other)
    sequence, record = state(store)
    while True:
        sequence += 1
        record = next_version(record, sequence)
        assert isinstance(store.apply(step(sequence, record)), Stored)
        print(sequence, flush=True)


@pytest.fixture(params=["redis", "sqlite"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Of an empty home of each kind, and of an empty PostgreSQL."""
    postgresql = Postgresql(tmp_path / "other").start()
    try:
        if request.param == "sqlite":
            yield f"sqlite://{tmp_path}/home.db", postgresql.url
            return
        valkey = Valkey(tmp_path).start()
        try:
            yield valkey.url, postgresql.url
        finally:
            valkey.stop()
    finally:
        postgresql.stop()


def killed_amid(urls: tuple[str, str], rng: random.Random) -> int:
    """Have a process write and kill it after some calls, at any moment of the next; return what it said last."""
    argv = [sys.executable, "-c", WORKER, *urls]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(rng.randint(1, 6))]
        try:
            process.wait(rng.uniform(0, 0.03))
        except subprocess.TimeoutExpired:
            process.kill()
        said += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    assert process.returncode < 0, "it was killed, and did not end by itself"
    return said[-1]


def is_half_done(url: str) -> bool:
    """Whether a record in the other database is prepared, and neither committed nor taken back."""
    tables = open_table_store("postgresql", {"url": url})
    try:
        return any(not is_committed(row) for row in tables.scan(ScanAll(table=TableName("store_1", RECORDS))))
    finally:
        tables.close()


@pytest.mark.slow
def test_a_killed_writer_leaves_every_call_whole_or_not_at_all(urls: tuple[str, str]) -> None:
    """`state` looks at everything in both databases; the next process goes on from there, and is killed, too."""
    rng = random.Random(1)
    store = opened(*urls)
    store.create(STORE_ID)
    store.close()
    half_done = 0
    for _ in range(KILLS):
        acknowledged = killed_amid(urls, rng)
        half_done += is_half_done(urls[1])
        store = opened(*urls)
        sequence, record = state(store)
        assert sequence in (acknowledged, acknowledged + 1)
        assert isinstance(store.apply(step(sequence + 1, next_version(record, sequence + 1))), Stored)
        store.close()
        assert not is_half_done(urls[1])
    assert half_done, "no process was killed in the middle of a call"
