"""Transactions over the memory adapter, through the manager that users hold."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.model.data_types import DataType
from storage.model.operations import Bound, Key, Scan, ScanByIndex
from storage.model.predicates import Comparison, Operator, equals
from storage.model.schema import ClusteringColumn, TableName, TableSchema
from storage.tables.memory_tables import MemoryTables
from storage.transactions.errors import (
    ConditionNotMetError,
    RecordExistsError,
    TransactionConflictError,
    TransactionMisuseError,
)
from storage.transactions.identifiers import bucket
from storage.transactions.settings import Isolation, TransactionSettings
from storage.transactions.transaction_manager import Outcome, TransactionManager

ACCOUNTS = TableSchema(
    name=TableName("bank", "accounts"),
    columns={"branch": DataType.TEXT, "number": DataType.INT, "balance": DataType.BIGINT, "owner": DataType.TEXT},
    partition_key=("branch",),
    clustering_key=(ClusteringColumn("number"),),
    indexes=("owner",),
)
NOTES = TableSchema(
    name=TableName("office", "notes"),
    columns={"id": DataType.INT, "text": DataType.TEXT},
    partition_key=("id",),
)
TABLE = "bank.accounts"


def key(number: int) -> Key:
    return Key(("main",), (number,))


def make(two_stores: bool = False, one_phase: bool = True) -> TransactionManager:
    settings = TransactionSettings(one_phase=one_phase, read_wait_ms=50, lease_ms=20)
    if two_stores:
        stores = {"first": MemoryTables(), "second": MemoryTables()}
        manager = TransactionManager(
            stores, home="first", namespaces={"bank": "first", "office": "second"}, settings=settings
        )
    else:
        manager = TransactionManager({"only": MemoryTables()}, settings=settings)
    manager.create_coordinator()
    manager.create_table(ACCOUNTS)
    manager.create_table(NOTES)
    with manager.begin() as transaction:
        for number in range(5):
            transaction.insert(TABLE, key(number), {"balance": 100, "owner": f"o{number}"})
        transaction.commit()
    return manager


@pytest.fixture(params=["one phase", "two phases", "two stores"])
def manager(request: pytest.FixtureRequest) -> Iterator[TransactionManager]:
    made = make(request.param == "two stores", request.param != "two phases")
    yield made
    made.close()


def balance(manager: TransactionManager, number: int) -> object:
    with manager.begin(read_only=True) as transaction:
        row = transaction.get(TABLE, key(number))
        return None if row is None else row["balance"]


def decide_in_bucket(manager: TransactionManager, number: int) -> None:
    """Commit changes until one was decided in this bucket of the coordinator."""
    decided = None
    while decided != number:
        with manager.begin() as transaction:
            transaction.upsert(TABLE, key(9), {"balance": 9})
            transaction.commit()
        decided = bucket(transaction.id)


def test_a_transfer_is_seen_whole(manager: TransactionManager) -> None:
    """What was written together is there together, and the outcome can be looked up."""
    with manager.begin() as transaction:
        rows = transaction.get_many([(TABLE, key(0)), (TABLE, key(1))])
        assert [row and row["balance"] for row in rows] == [100, 100]
        assert transaction.update(TABLE, key(0), {"balance": 90})
        transaction.update(TABLE, key(1), {"balance": 110})
        transaction.insert("office.notes", Key((1,)), {"text": "moved"})
        transaction.commit()
    assert (balance(manager, 0), balance(manager, 1)) == (90, 110)
    assert manager.resolve(transaction.id) is Outcome.COMMITTED


def test_a_conflict_leaves_nothing(manager: TransactionManager) -> None:
    """Of two transactions that build on the same version the second is refused, whole."""
    first, second = manager.begin(), manager.begin()
    for transaction in (first, second):
        transaction.get(TABLE, key(0))
        transaction.update(TABLE, key(0), {"balance": 1})
        transaction.upsert("office.notes", Key((7,)), {"text": transaction.id})
    first.commit()
    with pytest.raises(TransactionConflictError):
        second.commit()
    with manager.begin() as reader:
        row = reader.get("office.notes", Key((7,)))
    assert row is not None
    assert row["text"] == first.id
    assert manager.resolve(second.id) is Outcome.ABORTED


def test_write_skew_is_refused_only_where_asked(manager: TransactionManager) -> None:
    """Two transactions read what the other writes: not serializable, but of one snapshot each."""
    for level, fails in ((Isolation.SERIALIZABLE, True), (Isolation.SNAPSHOT, False)):
        first, second = manager.begin(level), manager.begin(level)
        for transaction in (first, second):
            transaction.get_many([(TABLE, key(0)), (TABLE, key(1))])
        first.update(TABLE, key(0), {"balance": 5})
        second.update(TABLE, key(1), {"balance": 5})
        first.commit()
        if fails:
            with pytest.raises(TransactionConflictError):
                second.commit()
        else:
            second.commit()  # all its reads were of one moment


def test_a_scan_sees_own_writes_in_order(manager: TransactionManager) -> None:
    """Changed, deleted and new rows of the transaction stand where they belong; limits count what is seen."""
    with manager.begin() as transaction:
        transaction.update(TABLE, key(1), {"balance": 7})
        transaction.delete(TABLE, key(2))
        transaction.insert(TABLE, key(9), {"balance": 9})
        transaction.insert(TABLE, Key(("other",), (3,)), {"balance": 0})
        scan = Scan(table=ACCOUNTS.name, partition=("main",))
        assert [(row["number"], row["balance"]) for row in transaction.scan(scan)] == [
            (0, 100), (1, 7), (3, 100), (4, 100), (9, 9),
        ]  # fmt: skip
        limited = Scan(table=ACCOUNTS.name, partition=("main",), lower=Bound(1), limit=2, projection=("number",))
        assert transaction.scan(limited) == [{"number": 1}, {"number": 3}]
        backwards = Scan(table=ACCOUNTS.name, partition=("main",), reverse=True, limit=2)
        assert [row["number"] for row in transaction.scan(backwards)] == [9, 4]
        poor = Scan(table=ACCOUNTS.name, partition=("main",), where=Comparison("balance", Operator.LT, 50))
        assert [row["number"] for row in transaction.scan(poor)] == [1, 9]
        transaction.commit()
    assert (balance(manager, 2), balance(manager, 9)) == (None, 9)


def test_a_phantom_is_a_conflict(manager: TransactionManager) -> None:
    """A row that came into a scanned range before the commit is noticed."""
    first = manager.begin()
    assert len(first.scan(Scan(table=ACCOUNTS.name, partition=("main",)))) == 5
    first.update(TABLE, key(0), {"balance": 1})
    manager.run(lambda other: other.insert(TABLE, key(3_000), {"balance": 1}))
    with pytest.raises(TransactionConflictError):
        first.commit()


def test_reading_by_an_index_follows_moves(manager: TransactionManager) -> None:
    """An indexed value that changes is found under the new one, before and after the commit."""

    def owned(transaction_owner: str) -> list[object]:
        with manager.begin() as reader:
            rows = reader.scan(ScanByIndex(table=ACCOUNTS.name, column="owner", value=transaction_owner))
            return [row["number"] for row in rows]

    with manager.begin() as transaction:
        transaction.update(TABLE, key(0), {"owner": "new"})
        scan = ScanByIndex(table=ACCOUNTS.name, column="owner", value="new")
        assert [row["number"] for row in transaction.scan(scan)] == [0]
        assert transaction.scan(ScanByIndex(table=ACCOUNTS.name, column="owner", value="o0")) == []
        assert owned("o0") == [0]
        transaction.commit()
    assert (owned("o0"), owned("new")) == ([], [0])


def test_conditions_and_misuse_have_codes(manager: TransactionManager) -> None:
    """What does not fit is raised at the call, and the transaction can go on."""
    with manager.begin() as transaction:
        with pytest.raises(ConditionNotMetError):
            transaction.update(TABLE, key(0), {"balance": 1}, equals("balance", 1))
        with pytest.raises(RecordExistsError):
            transaction.insert(TABLE, key(0), {}) if transaction.get(TABLE, key(0)) else None
        assert not transaction.update(TABLE, key(77), {"balance": 1})
        transaction.delete(TABLE, key(0), equals("balance", 100))
        transaction.insert(TABLE, key(0), {"balance": 3})
        transaction.commit()
        with pytest.raises(TransactionMisuseError, match=r"transaction\.ended"):
            transaction.get(TABLE, key(0))
    with manager.begin() as transaction:
        assert transaction.get(TABLE, key(0)) == {"branch": "main", "number": 0, "balance": 3, "owner": None}
        transaction.insert(TABLE, key(1), {"balance": 1})
        with pytest.raises(RecordExistsError):
            transaction.commit()


def test_a_hot_record_costs_the_caller_nothing(manager: TransactionManager) -> None:
    """Many threads at one record: `run` brings every one of them through, and none is lost."""

    def add(_: int) -> None:
        def step(transaction: object) -> None:
            row = transaction.get(TABLE, key(0))  # type: ignore[attr-defined]
            transaction.update(TABLE, key(0), {"balance": row["balance"] + 1})  # type: ignore[attr-defined]

        manager.run(step)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(80)))
    assert balance(manager, 0) == 180


def test_the_sweeper_forgets_old_decisions(manager: TransactionManager) -> None:
    """With no retention every row goes, the records stay, and an old transaction cannot be committed."""
    late = manager.begin()
    late.upsert(TABLE, key(0), {"balance": 0})
    decide_in_bucket(manager, bucket(late.id))  # the horizon is raised as far as there are rows
    object.__setattr__(manager.settings, "retention_ms", -1000)
    swept = manager.sweep()
    assert swept.removed >= 1
    assert swept.kept == 0
    assert balance(manager, 1) == 100
    with pytest.raises(Exception, match=r"transaction\.too_old"):
        late.commit()


def test_one_phase_is_two_reads_and_one_batch() -> None:
    """What a transfer costs."""
    manager = make()
    before = manager.driver.storage_calls
    with manager.begin() as transaction:
        transaction.get(TABLE, key(0))
        transaction.get(TABLE, key(1))
        transaction.update(TABLE, key(0), {"balance": 1})
        transaction.update(TABLE, key(1), {"balance": 199})
        transaction.commit()
    assert manager.driver.storage_calls - before == 3
    manager.close()


def test_to_delete_what_is_not_there_writes_nothing(manager: TransactionManager) -> None:
    """Deleted without a look, looked for afterwards: nothing, and the absence is relied on."""
    with manager.begin() as transaction:
        transaction.delete(TABLE, key(50))
        assert transaction.get(TABLE, key(50)) is None
        transaction.update(TABLE, key(0), {"balance": 1})
        transaction.commit()
    late = manager.begin()
    late.delete(TABLE, key(51))
    late.update(TABLE, key(0), {"balance": 2})
    manager.run(lambda other: other.insert(TABLE, key(52), {"balance": 5}))
    late.commit()
    assert (balance(manager, 0), balance(manager, 52)) == (2, 5)


def test_a_projection_is_enough_to_write(manager: TransactionManager) -> None:
    """Columns that were not read are kept by the write, and brought back by a rollback."""
    with manager.begin() as transaction:
        assert transaction.get(TABLE, key(0), ("owner",)) == {"owner": "o0"}
        transaction.upsert(TABLE, key(0), {"balance": 4})
        assert transaction.get(TABLE, key(0)) == {"branch": "main", "number": 0, "balance": 4, "owner": "o0"}
        transaction.commit()
    with manager.begin() as transaction:
        transaction.get(TABLE, key(0), ("owner",))
        transaction.upsert(TABLE, key(0), {"balance": 5})
        transaction.commit()
    with manager.begin() as transaction:
        assert transaction.get(TABLE, key(0)) == {"branch": "main", "number": 0, "balance": 5, "owner": "o0"}
