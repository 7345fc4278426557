"""The queues before hot records are bounded, and what is cooled is never a record at which somebody is."""

from contextlib import suppress

import pytest

from storage.model.data_types import DataType
from storage.model.operations import Key
from storage.model.schema import TableName, TableSchema
from storage.tables.memory_tables import MemoryTables
from storage.transactions import hot_records
from storage.transactions.effects import Queue, Read
from storage.transactions.hot_records import HotRecords
from storage.transactions.layout import Record
from storage.transactions.transaction_manager import TransactionManager

TABLE = TableName("bank", "accounts")


def record(number: int) -> Record:
    return TABLE, Key((number,))


def test_a_million_conflicts_keep_a_bounded_number_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose conflict is the longest ago go; a record with a conflict again counts as new."""
    monkeypatch.setattr(hot_records, "HOT_RECORDS_MAX", 3)
    hot = HotRecords()
    hot.heat(map(record, range(3)))
    hot.heat([record(0)])
    hot.heat([record(3)])
    assert [number for number in range(4) if record(number) in hot] == [0, 2, 3]


def test_a_record_at_which_somebody_is_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has his turn, and whoever waits for it, is not forgotten; afterwards the record can be cooled."""
    monkeypatch.setattr(hot_records, "HOT_RECORDS_MAX", 1)
    hot = HotRecords()
    hot.heat([record(0)])
    woken: list[str] = []
    assert hot.enter("first", record(0), lambda: woken.append("first"))
    assert not hot.enter("second", record(0), lambda: woken.append("second"))
    hot.heat(map(record, range(1, 10)))
    assert record(0) in hot
    hot.leave("first")
    assert woken == ["second"]
    hot.leave("second")
    hot.heat([record(10)])
    assert record(0) not in hot
    assert record(10) in hot


def test_nobody_waits_for_a_record_while_he_holds_a_later_one() -> None:
    """So two transactions never wait for each other; he may go on, and the turn stays with who has it."""
    hot = HotRecords()
    hot.heat(map(record, range(3)))
    woken: list[str] = []
    assert hot.enter("up", record(0), lambda: woken.append("up"))
    assert hot.enter("down", record(2), lambda: woken.append("down"))
    assert not hot.enter("up", record(2), lambda: woken.append("up"))
    assert hot.enter("down", record(0), lambda: woken.append("down"))
    hot.leave("down")
    assert woken == ["up"]
    assert not hot.enter("other", record(0), lambda: woken.append("other"))
    hot.leave("up")
    assert woken == ["up", "other"]


def test_what_an_attempt_has_read_is_queued_for_before_the_next() -> None:
    """In order, before anything is read; what is not hot, and what was queued for, costs nothing."""
    manager = TransactionManager({"memory": MemoryTables()})
    manager.create_coordinator()
    columns = {"id": DataType.BIGINT, "balance": DataType.BIGINT}
    manager.create_table(TableSchema(name=TABLE, columns=columns, partition_key=("id",)))
    manager.hot.heat([record(5), record(2)])
    core = manager.core(None, False, expects=[record(7), record(5), record(2)])
    manager.driver.run(manager.world.catalogue.layout(TABLE))
    effects = []
    for number in (7, 5):
        steps = core.get(TABLE, Key((number,)))
        with suppress(StopIteration):
            effect = next(steps)
            while True:
                effects.append(effect)
                effect = steps.send(manager.driver.perform(effect) if isinstance(effect, Read) else None)
    queued = [effect.key for effect in effects if isinstance(effect, Queue)]
    assert queued == [Key((2,)), Key((5,)), Key((5,))]
    assert [type(effect) for effect in effects] == [Queue, Queue, Read, Queue, Read]
    manager.close()
