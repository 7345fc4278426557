"""The awaited side of the table store on a real Valkey: shared by coroutines, cancelled, cut off, opened again."""

import asyncio
import random
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from storage.model.data_types import DataType
from storage.model.operations import Get, Key, Mutation, ScanAll, Update
from storage.model.predicates import equals
from storage.model.schema import TableName, TableSchema
from storage.tables.errors import ConditionFailedError, TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.redis_awaited_link import AwaitedLink
from storage.tables.redis_awaited_tables import RedisAwaitedTables
from storage.tables.redis_link import RedisLink
from storage.tables.redis_nodes import SingleNode
from storage.tables.redis_tables import RedisTables, open_store
from storage.transactions.async_manager import AsyncTransaction, AsyncTransactionManager
from storage.transactions.transaction_manager import Transaction, TransactionManager
from tests.table_samples import ACCOUNTS, account, accounts, opened
from tests.valkey import Valkey

COROUTINES = 40
WAIT_S = 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def store(server: Valkey) -> Iterator[RedisTables]:
    """With one account for each coroutine."""
    store = open_store({"url": server.url})
    store.create_table(accounts())
    for number in range(COROUTINES):
        store.apply([opened(number, balance=number)])
    yield store
    store.close()


def awaited(store: RedisTables) -> RedisAwaitedTables:
    side = store.awaited()
    assert side is not None
    return side


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(coroutine, WAIT_S)

    asyncio.run(bounded())


def read(number: int) -> Get:
    return Get(table=ACCOUNTS, key=account(number), projection=("balance",))


def write(number: int, before: int, after: int) -> Update:
    return Update(table=ACCOUNTS, key=account(number), values={"balance": after}, where=equals("balance", before))


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)


def test_each_coroutine_gets_its_own_answers(store: RedisTables) -> None:
    """However their reads and batches lie between one another, refused ones among them."""

    async def work(side: RedisAwaitedTables, number: int) -> None:
        for step in range(20):
            assert await side.get_many([read(number)]) == [{"balance": number + step}]
            with pytest.raises(ConditionFailedError):
                await side.apply([write(number, -1, 0)])
            await side.apply([write(number, number + step, number + step + 1)])
            other = (number + 1) % COROUTINES
            rows = await side.get_many([read(number), read(COROUTINES), read(other)])
            assert rows[:2] == [{"balance": number + step + 1}, None]
            assert rows[2] is not None

    async def main() -> None:
        side = awaited(store)
        await asyncio.gather(*(work(side, number) for number in range(COROUTINES)))
        side.close()

    run(main())


def test_a_batch_is_done_however_much_is_read(store: RedisTables) -> None:
    """It waits for reads only for a moment."""

    async def main() -> None:
        side = awaited(store)

        async def read_on() -> None:
            while True:
                await side.get_many([read(2)])

        readers = [asyncio.create_task(read_on()) for _ in range(8)]
        for step in range(20):
            await side.apply([write(1, 1 + step, 2 + step)])
        for reader in readers:
            reader.cancel()
        side.close()

    run(main())


def test_who_is_cancelled_takes_nobody_elses_answer(store: RedisTables) -> None:
    """Its own comes later, and is dropped."""

    async def main() -> None:
        side = awaited(store)
        chance = random.Random(1)
        for _ in range(50):
            numbers = list(range(COROUTINES))
            readers = [asyncio.create_task(side.get_many([read(number)])) for number in numbers]
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            gone = chance.sample(numbers, 10)
            for number in gone:
                readers[number].cancel()
            answers = await asyncio.gather(*readers, return_exceptions=True)
            for number, answer in zip(numbers, answers, strict=True):
                is_gone = number in gone and isinstance(answer, asyncio.CancelledError)
                assert is_gone or answer == [{"balance": number}]
        side.close()

    run(main())


def test_a_server_that_goes_away_and_comes_back(server: Valkey, store: RedisTables) -> None:
    """Is said to be away; then it is used again, and given the scripts that it forgot."""

    async def main() -> None:
        side = awaited(store)
        await side.apply([write(7, 7, 8)])
        server.kill()
        with pytest.raises(TableStoreUnavailableError):
            await side.get_many([read(7)])
        with pytest.raises(TableStoreUnavailableError):
            await side.apply([write(7, 8, 9)])
        server.start()
        assert await side.get_many([read(7), read(8)]) == [{"balance": 8}, {"balance": 8}]
        await side.apply([write(7, 8, 9)])
        side.close()

    run(main())


def test_an_answer_that_is_lost(server: Valkey, store: RedisTables) -> None:
    """Leaves the outcome of a batch unknown, and a read is tried again."""

    async def main() -> None:
        side = awaited(store)
        await side.get_many([read(1)])
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        batch = asyncio.create_task(side.apply([write(1, 1, 2)]))
        wire = side._link._wire
        assert wire is not None
        await until(lambda: len(wire._waiting) == 1)
        reading = asyncio.create_task(side.get_many([read(2)]))
        await until(lambda: len(wire._waiting) == 2)
        server.kill()
        server.start()
        assert await reading == [{"balance": 2}]
        with pytest.raises(UnknownOutcomeError):
            await batch
        assert await side.get_many([read(1)]) in ([{"balance": 1}], [{"balance": 2}])
        side.close()

    run(main())


def test_a_server_that_answers_no_more(server: Valkey, store: RedisTables, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is given up after a time; nobody waits for ever."""
    monkeypatch.setattr("storage.tables.redis_awaited_link.ANSWER_TIMEOUT_S", 0.2)

    async def main() -> None:
        side = awaited(store)
        await side.get_many([read(1)])
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(UnknownOutcomeError):
                await side.apply([write(1, 1, 2)])
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert await side.get_many([read(3)]) == [{"balance": 3}]
        side.close()

    run(main())


def test_a_server_that_reads_its_data(server: Valkey, store: RedisTables) -> None:
    """Refuses, to coroutines and to threads; it is known that nothing was done, and the connection is kept."""
    server.settings |= {"key-load-delay": "20000", "loading-process-events-interval-bytes": "1024"}  # 20 ms a key
    for number in range(COROUTINES):
        store.apply([opened(1_000 + number, balance=0, note=random.Random(number).randbytes(2_000))])
    server.command("BGREWRITEAOF")  # what was rewritten is read bit by bit, and commands are answered in between
    while b"aof_rewrite_in_progress:0" not in (told := server.command("INFO", "persistence")):
        assert b"aof_rewrite_scheduled" in told

    async def main() -> None:
        side = awaited(store)
        server.kill()
        starting = asyncio.create_task(asyncio.to_thread(server.start))

        async def apply_in_thread(batch: Sequence[Mutation]) -> None:
            await asyncio.to_thread(store.apply, batch)

        for apply in (side.apply, apply_in_thread):
            told = ""
            while "loading" not in told:
                assert not starting.done()
                with pytest.raises(TableStoreUnavailableError) as refused:
                    await apply([write(9, 9, 10)])
                told = str(refused.value)
        wire = side._link._wire
        assert wire is not None
        assert wire.is_open
        await starting
        assert await side.get_many([read(9)]) == [{"balance": 9}]
        assert side._link._wire is wire
        side.close()

    run(main())


def test_much_at_once_is_sent_bit_by_bit(store: RedisTables) -> None:
    """More than the connection takes, in both directions."""

    async def main() -> None:
        side = awaited(store)
        large = [opened(1_000 + number, balance=number, note=bytes(500_000)) for number in range(20)]
        await asyncio.gather(*(side.apply([insert]) for insert in large), side.get_many([read(1)]))
        rows = await asyncio.gather(*(side.get_many([Get(table=ACCOUNTS, key=each.key)]) for each in large))
        assert [row and len(cast(bytes, row["note"])) for [row] in rows] == [500_000] * 20
        side.close()

    run(main())


def test_one_event_loop_after_another(store: RedisTables) -> None:
    """The same side serves both, and is closed when no loop runs; a connection that nobody closed does no harm."""
    side = awaited(store)

    async def main() -> None:
        assert await side.get_many([read(1)]) == [{"balance": 1}]
        await asyncio.gather(*(side.get_many([read(number)]) for number in range(5)))

    run(main())
    run(main())
    side.close()
    side.close()


def test_closed_from_another_thread(store: RedisTables) -> None:
    """Who waits is told."""

    async def main() -> None:
        side = awaited(store)
        await side.get_many([read(1)])
        wire = side._link._wire
        assert wire is not None
        with ThreadPoolExecutor(1) as pool:
            pool.submit(side.close).result(WAIT_S)
        await until(lambda: not wire.is_open)

    run(main())


def test_encrypted_connections_have_no_such_side() -> None:
    """Calls are left to threads."""
    link = cast(RedisLink, SimpleNamespace(is_encrypted=True))
    assert SingleNode(link).awaited() is None
    assert isinstance(SingleNode(cast(RedisLink, SimpleNamespace(is_encrypted=False))).awaited(), AwaitedLink)


def test_transfers_of_coroutines_and_threads(server: Valkey) -> None:
    """Both drive one manager at once, on few accounts; no money is lost or made, and nobody meets an error."""
    store = open_store({"url": server.url})
    manager = TransactionManager({"valkey": store})
    manager.create_coordinator()
    table = TableName("bank", "accounts")
    columns = {"id": DataType.BIGINT, "balance": DataType.BIGINT}
    manager.create_table(TableSchema(name=table, columns=columns, partition_key=("id",)))
    for number in range(8):
        manager.run(lambda t, number=number: t.insert(table, Key((number,)), {"balance": 100}))  # type: ignore[misc]

    async def transfers(twin: AsyncTransactionManager, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(20):
            giver, taker = chance.sample(range(8), 2)

            async def transfer(transaction: AsyncTransaction, giver: int = giver, taker: int = taker) -> None:
                for number, change in ((giver, -1), (taker, 1)):
                    row = await transaction.get(table, Key((number,)))
                    assert row is not None
                    await transaction.update(table, Key((number,)), {"balance": cast(int, row["balance"]) + change})

            await twin.run(transfer)

    def transfer_here(transaction: Transaction) -> None:
        rows = transaction.get_many([(table, Key((0,))), (table, Key((1,)))])
        for number, row, change in zip((0, 1), rows, (-1, 1), strict=True):
            assert row is not None
            transaction.update(table, Key((number,)), {"balance": cast(int, row["balance"]) + change})

    async def main() -> None:
        twin = AsyncTransactionManager(manager)
        threads = [asyncio.to_thread(lambda: [manager.run(transfer_here) for _ in range(20)]) for _ in range(2)]
        await asyncio.gather(*(transfers(twin, seed) for seed in range(12)), *threads)
        twin.close()

    run(main())
    rows = list(store.scan(ScanAll(table=table)))
    assert sum(cast(int, row["balance"]) for row in rows) == 800
    assert sum(cast(int, row["_tx_version"]) for row in rows) == 8 + 2 * (12 * 20 + 2 * 20)
    manager.close()
    store.close()
