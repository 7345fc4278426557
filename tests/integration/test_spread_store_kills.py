"""A process that writes to a store over several real databases is killed (SIGKILL) in the middle of its calls.

Whoever comes next finds every call whole or not at all in both databases, and everything that was acknowledged.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from storage.model.operations import Mutation, ScanAll
from storage.model.schema import TableName
from storage.ports import Stored
from storage.spread_layout import RECORDS
from storage.spread_store import SETTINGS, SpreadStore, open_spread_store
from storage.tables.postgresql_tables import PostgresqlTables
from storage.tables.registry import open_table_store
from storage.transactions.images import is_committed
from tests.postgresql import Postgresql
from tests.store_steps import STORE_ID, next_version, state, step
from tests.valkey import Valkey

ROOT = Path(__file__).parents[2]
QUICK = replace(SETTINGS, lease_ms=200)
KILLS = 4

WORKER = """
import sys
from tests.integration.test_spread_store_kills import write
write(*sys.argv[1:])
"""


def opened(home: str, other: str) -> SpreadStore:
    """The store whose records of `bank` lie in the other database."""
    return open_spread_store(home, {"bank": other}, QUICK)


def write(home: str, other: str, batches: str) -> None:
    """Write step after step, and say of each that it is stored; end by SIGKILL behind so many batches for the other
    database: a call has one that prepares, and one that commits.
    """
    left = int(batches)
    apply = PostgresqlTables.apply

    def apply_and_die(tables: PostgresqlTables, batch: Sequence[Mutation]) -> None:
        nonlocal left
        apply(tables, batch)
        if any(mutation.table.name == RECORDS for mutation in batch):
            left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PostgresqlTables, "apply", apply_and_die)
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


def killed_amid(urls: tuple[str, str], batches: int) -> int:
    """Have a process write until it is killed; return the last step that it said is stored, -1 for none."""
    argv = [sys.executable, "-c", WORKER, *urls, str(batches)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, "it was killed, and did not end by itself"
    return max((int(line) for line in done.stdout.split()), default=-1)


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
    store = opened(*urls)
    store.create(STORE_ID)
    store.close()
    before, half_done = -1, []
    for batches in range(1, KILLS + 1):
        acknowledged = max(before, killed_amid(urls, batches))
        half_done.append(is_half_done(urls[1]))
        store = opened(*urls)
        sequence, record = state(store)
        assert sequence in (acknowledged, acknowledged + 1)
        before = sequence + 1
        assert isinstance(store.apply(step(before, next_version(record, before))), Stored)
        store.close()
        assert not is_half_done(urls[1])
    assert set(half_done) == {True, False}, "some were killed in the middle of a call, others at its end"
