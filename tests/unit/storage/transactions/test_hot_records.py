"""The queues before hot records are bounded, and what is cooled is never a record at which somebody is."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, cast

import pytest

from storage.model.data_types import DataType
from storage.model.operations import Key
from storage.model.schema import TableName, TableSchema
from storage.tables.memory_tables import MemoryTables
from storage.transactions import hot_records
from storage.transactions.async_manager import AsyncTransaction, AsyncTransactionManager
from storage.transactions.effects import Queue, Read, Steps
from storage.transactions.hot_records import HotRecords
from storage.transactions.layout import Record
from storage.transactions.threads import QUEUE_WAIT_S
from storage.transactions.transaction import TransactionCore
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


def test_only_the_first_who_waits_pushes_in() -> None:
    """However long the others have waited; and who was pushed aside has no turn to pass on any more."""
    hot = HotRecords()
    hot.heat([record(0)])
    woken: list[str] = []
    assert hot.enter("abandoned", record(0), lambda: None)
    for name in ("second", "third", "fourth"):
        assert not hot.enter(name, record(0), partial(woken.append, name))
    assert not hot.push_in("third", record(0))
    assert hot.push_in("second", record(0))
    hot.leave("abandoned")
    assert woken == []
    hot.leave("second")
    assert woken == ["third"]
    assert hot.push_in("third", record(0))
    hot.leave("fourth")
    hot.leave("third")
    assert woken == ["third"]


def test_nobody_pushes_into_a_line_that_moves() -> None:
    """All who came together have waited equally long: after the first, nobody does so at the same moment."""
    hot = HotRecords()
    hot.heat([record(0)])
    names = ["abandoned", "second", "third", "fourth"]
    for name in names:
        hot.enter(name, record(0), lambda: None)
    assert [hot.push_in(name, record(0)) for name in names[1:]] == [True, False, False]
    assert [hot.push_in(name, record(0)) for name in names[2:]] == [True, False]
    hot.leave("third")  # it is the turn of the fourth, who was not woken yet
    assert hot.push_in("fourth", record(0))


def test_nothing_is_remembered_of_who_was_pushed_aside() -> None:
    """A transaction that never ends, as its caller has forgotten it, costs no memory once its turn was taken."""
    hot = HotRecords()
    hot.heat([record(0)])
    for number in range(100):
        name, next_name = f"{number}", f"{number + 1}"
        assert hot.enter(name, record(0), lambda: None)
        assert not hot.enter(next_name, record(0), lambda: None)
        assert hot.push_in(next_name, record(0))
    assert len(hot._held) == 1


class Waiting:
    """A transaction manager with one hot record, and who has its turn."""

    def __init__(self) -> None:
        self.manager = TransactionManager({"memory": MemoryTables()})
        self.manager.create_coordinator()
        columns = {"id": DataType.BIGINT, "balance": DataType.BIGINT}
        self.manager.create_table(TableSchema(name=TABLE, columns=columns, partition_key=("id",)))
        self.hot = self.manager.hot
        self.hot.heat([record(0)])
        assert self.hot.enter("owner", record(0), lambda: None)
        self.twin = AsyncTransactionManager(self.manager)

    def is_awaited(self, count: int) -> bool:
        return len(self.hot._lines[record(0)].waiting) == count


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    waiting = Waiting()
    yield waiting
    waiting.manager.close()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.001)


def test_a_coroutine_that_is_cancelled_in_the_line_leaves_it(waiting: Waiting) -> None:
    """It ends as it was told, even if its turn comes at the same moment, and the turn goes on to the next."""

    async def read(transaction: AsyncTransaction) -> None:
        await transaction.get(TABLE, Key((0,)))

    async def main() -> None:
        for turn_comes in (False, True):
            gone, stays = (asyncio.create_task(waiting.twin.run(read)) for _ in range(2))
            await until(lambda: waiting.is_awaited(2))
            if turn_comes:
                waiting.hot.leave("owner")
                await asyncio.sleep(0)  # it is woken, and does not run yet
            gone.cancel()
            await asyncio.wait([gone])
            assert gone.cancelled()
            waiting.hot.leave("owner")
            await asyncio.wait_for(stays, 0.5 * QUEUE_WAIT_S)
            assert not waiting.hot._held
            assert waiting.hot.enter("owner", record(0), lambda: None)

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["threads", "tasks"])
def test_an_abandoned_turn_is_taken_by_one_after_the_other(
    waiting: Waiting, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever, and nobody is told twice."""
    monkeypatch.setattr(f"storage.transactions.{driver}.QUEUE_WAIT_S", 0.05)

    async def read(transaction: AsyncTransaction) -> None:
        await transaction.get(TABLE, Key((0,)))

    async def main() -> None:
        await asyncio.gather(*(waiting.twin.run(read) for _ in range(5)))

    if driver == "tasks":
        asyncio.run(main())
    else:
        with ThreadPoolExecutor(5) as pool:
            for future in [pool.submit(waiting.manager.run, lambda t: t.get(TABLE, Key((0,)))) for _ in range(5)]:
                future.result(10)
    assert not waiting.hot._held


def test_a_turn_of_an_event_loop_that_has_ended(waiting: Waiting) -> None:
    """Is lost, and those behind push in; who passes it on is not bothered."""
    loop = asyncio.new_event_loop()
    transaction = waiting.twin.begin()
    reading = loop.create_task(transaction.get(TABLE, Key((0,))))
    loop.run_until_complete(until(lambda: waiting.is_awaited(1)))
    loop.close()
    waiting.hot.leave("owner")
    assert not waiting.hot.enter("behind", record(0), lambda: None)
    assert waiting.hot.push_in("behind", record(0))
    cast(Any, reading)._log_destroy_pending = False  # it is what is left of a crash


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_who_is_stopped_while_it_gives_up_passes_its_turn_on(
    waiting: Waiting, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To give up may take a storage call, where a freeze is to be ended."""

    def stopped(_: TransactionCore) -> Steps[None]:
        raise error
        yield

    monkeypatch.setattr(TransactionCore, "rollback", stopped)
    waiting.hot.leave("owner")
    transaction = waiting.manager.begin()
    transaction.get(TABLE, Key((0,)))
    with pytest.raises(error):
        transaction.rollback()
    assert not waiting.hot._held

    async def main() -> None:
        awaited = waiting.twin.begin()
        await awaited.get(TABLE, Key((0,)))
        with pytest.raises(error):
            await awaited.rollback()

    asyncio.run(main())
    assert not waiting.hot._held
