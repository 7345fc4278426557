"""Every state in which a crashed transaction can leave a record, met by every operation at every isolation level."""

from itertools import islice
from typing import Any

import pytest

from protocol.errors import CountersignError
from storage.model.data_types import DataType
from storage.model.operations import AnyScan, Get, Insert, Key, Row, Scan, ScanAll, ScanByIndex
from storage.model.schema import ClusteringColumn, TableName, TableSchema
from storage.tables.memory_tables import MemoryTables
from storage.transactions.catalogue import Catalogue
from storage.transactions.coordinator import Coordinator, state_table
from storage.transactions.effects import All, Apply, Chance, Clock, Describe, Open, Pull, Read, Steps, Wait
from storage.transactions.errors import RecordExistsError, TransactionConflictError
from storage.transactions.identifiers import bucket, transaction_id
from storage.transactions.layout import ABORTED, COMMITTED, TX_STATE, transactional
from storage.transactions.record_reader import Counters, World
from storage.transactions.settings import Isolation, TransactionSettings
from storage.transactions.transaction import TransactionCore

TABLE = TableName("shop", "items")
KEY = Key(("s",), (1,))
SCHEMA = TableSchema(
    name=TABLE,
    columns={"shelf": DataType.TEXT, "number": DataType.INT, "colour": DataType.TEXT, "weight": DataType.INT},
    partition_key=("shelf",),
    clustering_key=(ClusteringColumn("number"),),
    indexes=("colour",),
)
BEFORE: Row = {"shelf": "s", "number": 1, "colour": "red", "weight": 1}
AFTER: Row = {"shelf": "s", "number": 1, "colour": "blue", "weight": 2}
LEASE_MS = 1_000
NOW_MS = 1_700_000_000_000


class Bench:
    """One store, one clock that is set by hand, and a count of storage calls."""

    def __init__(self) -> None:
        self.store = MemoryTables()
        self.store.create_table(transactional(SCHEMA))
        self.store.create_table(state_table("coordinator"))
        can = {"a": self.store.capabilities}
        settings = TransactionSettings(lease_ms=LEASE_MS, read_wait_ms=0, one_phase=False)
        self.coordinator = Coordinator("coordinator", "a", can)
        for row in self.coordinator.horizons():
            self.store.apply((row,))
        self.world = World(
            catalogue=Catalogue(can, {}, "a"), coordinator=self.coordinator, settings=settings, counters=Counters()
        )
        self.now_ms = NOW_MS
        self.calls: list[object] = []
        self._count = 0

    def core(self, isolation: Isolation = Isolation.SERIALIZABLE) -> TransactionCore:
        """A new transaction."""
        self._count += 1
        return TransactionCore(self.world, transaction_id(self.now_ms, self._count.to_bytes(10, "big")), isolation)

    def run(self, steps: Steps[Any], answer: Any = None) -> Any:
        """Drive a generator to its end; one that has begun already, from the answer that it waits for."""
        while True:
            try:
                thrown = isinstance(answer, CountersignError)
                effect = steps.throw(answer) if thrown else steps.send(answer)
            except StopIteration as stop:
                return stop.value
            answer = self.answer(effect)

    def answer(self, effect: object) -> Any:
        """Perform an effect; give what it raises."""
        try:
            match effect:
                case Clock():
                    return self.now_ms
                case Chance():
                    return 0.5
                case Wait(wait_ms=wait_ms):
                    self.now_ms += round(wait_ms)
                    return None
                case Describe(table=table):
                    return self.store.schema(table)
                case Open(scan=scan):
                    return self.store.scan(scan)
                case All(parts=parts):
                    return [self.answer(part) for part in parts]
            self.calls.append(effect)
            match effect:
                case Read(gets=gets):
                    return self.store.get_many(gets)
                case Pull(rows=rows, size=size):
                    return list(islice(rows, size))
                case Apply(batch=batch):
                    return self.store.apply(batch)
        except CountersignError as error:
            return error
        raise AssertionError(effect)

    def row(self) -> Row | None:
        """The row as it lies in the store."""
        return self.store.get(Get(table=TABLE, key=KEY))

    def decide(self, holder: str, state: int) -> None:
        """Write a coordinator's row by hand."""
        key = Key((bucket(holder),), (holder,))
        self.store.apply((Insert(table=self.coordinator.table, key=key, values={"state": state, "decided_at_ms": 0}),))


def left_behind(record: str, decision: str) -> Bench:
    """A record as a transaction left it that died after it prepared, or after it decided."""
    bench = Bench()
    if record != "inserted":
        first = bench.core()
        bench.run(first.insert(TABLE, KEY, {"colour": "red", "weight": 1}))
        bench.run(first.commit())
    holder = bench.core()
    if record == "deleted":
        bench.run(holder.delete(TABLE, KEY))
    else:
        bench.run(holder.upsert(TABLE, KEY, {"colour": "blue", "weight": 2}))
    bench.run(holder.phases.prepare())
    held = bench.row()
    assert held is not None
    assert held[TX_STATE] in (1, 2)
    if decision in ("committed", "aborted"):
        bench.decide(holder.transaction_id, COMMITTED if decision == "committed" else ABORTED)
    bench.now_ms += LEASE_MS + 1 if decision == "expired" else 1
    bench.calls.clear()
    return bench


def image(record: str, decision: str) -> Row | None:
    """What is committed of it."""
    if decision == "committed":
        return None if record == "deleted" else AFTER
    return None if record == "inserted" else BEFORE


RECORDS = ("updated", "deleted", "inserted")
DECISIONS = ("committed", "aborted", "expired", "fresh")
READS = ("get", "scan", "scan all", "index before", "index after")
LEVELS = tuple(Isolation)


def read(bench: Bench, core: TransactionCore, operation: str) -> Row | None:
    """What one reading operation gives of the record."""
    if operation == "get":
        found: Row | None = bench.run(core.get(TABLE, KEY))
        return found
    scans: dict[str, AnyScan] = {
        "scan": Scan(table=TABLE, partition=("s",)),
        "scan all": ScanAll(table=TABLE),
        "index before": ScanByIndex(table=TABLE, column="colour", value="red"),
        "index after": ScanByIndex(table=TABLE, column="colour", value="blue"),
    }
    rows = bench.run(core.scan(scans[operation]))
    assert len(rows) <= 1
    return rows[0] if rows else None


def check_settled(bench: Bench, expected: Row | None) -> None:
    """The stored row is the image, committed, with nothing left of the other one."""
    row = bench.row()
    if expected is None:
        assert row is None
        return
    assert row is not None
    assert {name: row[name] for name in expected} == expected
    assert row[TX_STATE] == COMMITTED
    assert row["_tx_before"] is None
    assert row["_next_colour"] is None


@pytest.mark.parametrize("isolation", LEVELS)
@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("record", RECORDS)
def test_a_read_settles_what_it_meets(record: str, decision: str, operation: str, isolation: Isolation) -> None:
    """It gives the committed image, and leaves the row so; one that is held is waited for, but at READ COMMITTED."""
    bench = left_behind(record, decision)
    expected = image(record, decision)
    colour = {"index before": "red", "index after": "blue"}.get(operation)
    seen = expected if expected is None or colour in (None, expected["colour"]) else None
    held = bench.row()
    if decision == "fresh" and isolation is not Isolation.READ_COMMITTED:
        if operation == "index before" and record == "inserted":
            return  # an insert that is not decided is no row of any index but that of coming values
        bench_before = bench.row()
        core = bench.core(isolation)
        try:
            assert read(bench, core, operation) == seen
        except TransactionConflictError:
            assert bench.row() == bench_before
        else:
            assert colour is not None, "what is held is waited for"
        return
    assert read(bench, bench.core(isolation), operation) == seen
    if decision == "fresh":
        assert bench.row() == held
    elif colour is None:
        check_settled(bench, expected)


@pytest.mark.parametrize(("decision", "calls"), [("committed", 3), ("aborted", 3), ("expired", 4)])
@pytest.mark.parametrize("record", RECORDS)
def test_settling_costs_few_calls(record: str, decision: str, calls: int) -> None:
    """The record, the decision, its settling; and the abort, made durable before the record is touched."""
    bench = left_behind(record, decision)
    bench.run(bench.core().get(TABLE, KEY))
    assert len(bench.calls) == calls
    applied = [call.batch for call in bench.calls if isinstance(call, Apply)]
    assert [batch[0].table for batch in applied] == [*[bench.coordinator.table] * (calls - 3), TABLE]
    bench.calls.clear()
    bench.run(bench.core().get(TABLE, KEY))
    assert len(bench.calls) == 1


@pytest.mark.parametrize("isolation", LEVELS)
@pytest.mark.parametrize("operation", ["update", "insert", "delete"])
@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("record", RECORDS)
def test_a_write_settles_what_it_meets(record: str, decision: str, operation: str, isolation: Isolation) -> None:
    """It builds on the committed image; what is held it leaves alone, and fails."""
    bench = left_behind(record, decision)
    expected = image(record, decision)
    held = bench.row()
    core = bench.core(isolation)

    def write() -> bool:
        there = True
        if operation == "update":
            there = bench.run(core.update(TABLE, KEY, {"weight": 9}))
        elif operation == "insert":
            bench.run(core.insert(TABLE, KEY, {"colour": "green", "weight": 9}))
        else:
            bench.run(core.delete(TABLE, KEY))
        bench.run(core.commit())
        return there

    if decision == "fresh":
        if record == "inserted" and operation in ("update", "delete") and isolation is Isolation.READ_COMMITTED:
            assert write() is (operation == "delete")  # nothing is there, and nothing is written
        else:
            with pytest.raises((TransactionConflictError, RecordExistsError)):
                write()
        assert bench.row() == held
    elif operation == "insert":  # nobody looked before, so it is the failing insert that settles what it meets
        with pytest.raises(TransactionConflictError if expected is None else RecordExistsError):
            write()
        check_settled(bench, expected)
        core = bench.core(isolation)
        if expected is None:
            write()
            check_settled(bench, {**BEFORE, "colour": "green", "weight": 9})
    else:
        there = write()
        if operation == "delete" or (operation == "update" and expected is None):
            assert there is (operation == "delete")
            check_settled(bench, None)
        else:
            assert expected is not None
            check_settled(bench, {**expected, "weight": 9})
