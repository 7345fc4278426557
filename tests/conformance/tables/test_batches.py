"""What every table store promises of batches: conditions, all or nothing, one after another."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.operations import Check, Delete, Get, Insert, Key, Mutation, Row, ScanAll, Update, Upsert
from storage.model.predicates import AllOf, AnyOf, Comparison, Operator, equals
from storage.model.schema import Order, TableName
from storage.tables.errors import ConditionFailedError, StoreContendedError
from storage.tables.port import Atomicity, TableStore
from tests.table_samples import ACCOUNTS, account, accounts, opened, ordered

ORDERED = TableName("kinds", "ordered")
THREADS = 8
ROUNDS = 25


@pytest.fixture(autouse=True)
def tables(store: TableStore) -> None:
    store.create_table(accounts(indexes=("owner",)))
    store.create_table(ordered((DataType.INT, Order.ASC)))


def read(store: TableStore, number: int) -> Row | None:
    return store.get(Get(table=ACCOUNTS, key=account(number), projection=("owner", "balance")))


def contents(store: TableStore) -> list[Row]:
    rows = [row for table in (ACCOUNTS, ORDERED) for row in store.scan(ScanAll(table=table))]
    return sorted(rows, key=repr)


def at(number: int, balance: int) -> Row:
    """A row of ORDERED, whose rows are all of one partition."""
    return {"p": "a", "c0": number, "v": balance}


def key(number: int) -> Key:
    return Key(("a",), (number,))


class TestMutations:
    def test_insert_wants_no_row(self, store: TableStore) -> None:
        """The second of two changes nothing, not even what it alone names."""
        store.apply([opened(1, owner="alice")])
        with pytest.raises(ConditionFailedError) as failed:
            store.apply([opened(1, owner="bob", balance=1)])
        assert failed.value.index == 0
        assert failed.value.code == "condition.failed"
        assert read(store, 1) == {"owner": "alice", "balance": None}

    def test_upsert_makes_or_changes(self, store: TableStore) -> None:
        """What it does not name stays; nothing named makes a row, too."""
        store.apply([Upsert(table=ACCOUNTS, key=account(1), values={"balance": 1})])
        store.apply([Upsert(table=ACCOUNTS, key=account(1), values={"owner": "alice"})])
        store.apply([Upsert(table=ACCOUNTS, key=account(1), values={})])
        store.apply([Upsert(table=ACCOUNTS, key=account(2), values={})])
        assert read(store, 1) == {"owner": "alice", "balance": 1}
        assert read(store, 2) == {"owner": None, "balance": None}

    def test_update_wants_a_row(self, store: TableStore) -> None:
        """Nothing named: it is a check."""
        with pytest.raises(ConditionFailedError):
            store.apply([Update(table=ACCOUNTS, key=account(1), values={"balance": 1})])
        with pytest.raises(ConditionFailedError):
            store.apply([Update(table=ACCOUNTS, key=account(1), values={})])
        store.apply([opened(1, owner="alice", balance=1)])
        store.apply([Update(table=ACCOUNTS, key=account(1), values={"balance": 2})])
        store.apply([Update(table=ACCOUNTS, key=account(1), values={})])
        assert read(store, 1) == {"owner": "alice", "balance": 2}

    def test_delete_takes_what_is_there(self, store: TableStore) -> None:
        """Of a row that is gone it asks only if told to; the key can be used again, and nothing of old returns."""
        store.apply([opened(1, owner="alice", balance=1)])
        store.apply([Delete(table=ACCOUNTS, key=account(1), must_exist=True)])
        assert read(store, 1) is None
        store.apply([Delete(table=ACCOUNTS, key=account(1))])
        with pytest.raises(ConditionFailedError):
            store.apply([Delete(table=ACCOUNTS, key=account(1), must_exist=True)])
        store.apply([opened(1, balance=2)])
        assert read(store, 1) == {"owner": None, "balance": 2}

    def test_check_changes_nothing(self, store: TableStore) -> None:
        """It asks that a row is there, is not there, or satisfies."""
        store.apply([opened(1, owner="alice", balance=1)])
        before = contents(store)
        store.apply([Check(table=ACCOUNTS, key=account(1))])
        store.apply([Check(table=ACCOUNTS, key=account(1), where=equals("balance", 1))])
        checks = [
            Check(table=ACCOUNTS, key=account(1), where=equals("balance", 2)),
            Check(table=ACCOUNTS, key=account(2)),
            Check(table=ACCOUNTS, key=account(2), where=Comparison("owner", Operator.IS_NULL)),
        ]
        if store.capabilities.checks_absence:
            store.apply([Check(table=ACCOUNTS, key=account(2), absent=True)])
            checks.append(Check(table=ACCOUNTS, key=account(1), absent=True))
        for check in checks:
            with pytest.raises(ConditionFailedError):
                store.apply([check])
        assert contents(store) == before

    @pytest.mark.parametrize(
        ("where", "satisfied"),
        [
            (equals("balance", 10), True),
            (equals("balance", 11), False),
            (equals("id", 1), True),
            (Comparison("balance", Operator.NE, 10), False),
            (Comparison("balance", Operator.GE, 10), True),
            (Comparison("balance", Operator.GT, 10), False),
            (Comparison("balance", Operator.LT, -5), False),
            (Comparison("owner", Operator.LIKE, "al%"), True),
            (Comparison("owner", Operator.NOT_LIKE, "al%"), False),
            (Comparison("note", Operator.IS_NULL), True),
            (Comparison("note", Operator.IS_NOT_NULL), False),
            (Comparison("note", Operator.NE, b"x"), False),
            (AllOf((equals("balance", 10), equals("owner", "alice"))), True),
            (AllOf((equals("balance", 10), equals("owner", "bob"))), False),
            (AnyOf((equals("balance", 11), AllOf((equals("owner", "alice"), equals("id", 1))))), True),
            (AnyOf((equals("balance", 11), equals("owner", "bob"))), False),
        ],
    )
    def test_conditions_decide(self, store: TableStore, where: AllOf | AnyOf | Comparison, satisfied: bool) -> None:
        """Of updates and of deletes alike."""
        store.apply([opened(1, owner="alice", balance=10)])
        mutations: list[Mutation] = [
            Update(table=ACCOUNTS, key=account(1), values={"balance": 10}, where=where),
            Delete(table=ACCOUNTS, key=account(1), where=where),
        ]
        for mutation in mutations:
            if satisfied:
                store.apply([mutation])
            else:
                with pytest.raises(ConditionFailedError):
                    store.apply([mutation])
        assert (read(store, 1) is None) is satisfied
        with pytest.raises(ConditionFailedError):  # an absent row satisfies nothing
            store.apply([Delete(table=ACCOUNTS, key=account(2), where=where)])


class TestAtomicity:
    @pytest.fixture(autouse=True)
    def rows(self, store: TableStore, tables: None) -> None:
        if store.capabilities.atomicity is Atomicity.RECORD:
            pytest.skip("this store's batches are of one row")
        store.apply([Insert(table=ORDERED, key=key(n), values={"v": n}) for n in range(4)])

    def test_a_batch_does_all_of_it(self, store: TableStore) -> None:
        """One mutation of every kind."""
        store.apply(
            [
                Insert(table=ORDERED, key=key(4), values={"v": 4}),
                Update(table=ORDERED, key=key(0), values={"v": 10}, where=equals("v", 0)),
                Delete(table=ORDERED, key=key(1), where=equals("v", 1)),
                Upsert(table=ORDERED, key=key(5), values={}),
                Check(table=ORDERED, key=key(2), where=equals("v", 2)),
                Delete(table=ORDERED, key=key(9)),
            ]
        )
        rows = [at(0, 10), at(2, 2), at(3, 3), at(4, 4), {"p": "a", "c0": 5, "v": None}]
        assert contents(store) == sorted(rows, key=repr)

    @pytest.mark.parametrize("position", [0, 1, 2])
    @pytest.mark.parametrize(
        "failing",
        [
            Insert(table=ORDERED, key=key(0), values={"v": 99}),
            Update(table=ORDERED, key=key(8), values={"v": 99}),
            Update(table=ORDERED, key=key(0), values={"v": 99}, where=equals("v", 1)),
            Delete(table=ORDERED, key=key(8), must_exist=True),
            Delete(table=ORDERED, key=key(0), where=equals("v", 1)),
            Check(table=ORDERED, key=key(0), where=equals("v", 1)),
            Check(table=ORDERED, key=key(8)),
        ],
        ids=lambda mutation: type(mutation).__name__,
    )
    def test_one_failed_condition_undoes_all(self, store: TableStore, failing: Mutation, position: int) -> None:
        """Wherever in the batch it stands; and the error says which one it was."""
        batch: list[Mutation] = [
            Upsert(table=ORDERED, key=key(7), values={"v": 7}),
            Delete(table=ORDERED, key=key(1)),
        ]
        batch.insert(position, failing)
        before = contents(store)
        with pytest.raises(ConditionFailedError) as failed:
            store.apply(batch)
        assert failed.value.index == position
        assert contents(store) == before

    def test_it_spans_the_declared_unit_and_no_more(self, store: TableStore) -> None:
        """What is beyond is refused before anything is written, never done by halves."""
        beyond: dict[Atomicity, list[Mutation]] = {
            Atomicity.PARTITION: [Upsert(table=ORDERED, key=key(n), values={"v": 1}) for n in (8, 9)],
            Atomicity.TABLE: [Upsert(table=ORDERED, key=Key((p,), (8,)), values={"v": 2}) for p in ("x", "y")],
            Atomicity.STORE: [
                Upsert(table=ORDERED, key=key(8), values={"v": 3}),
                Upsert(table=ACCOUNTS, key=account(8), values={"balance": 3}),
            ],
        }
        for unit, batch in beyond.items():
            if store.capabilities.atomicity >= unit:
                store.apply(batch)
                gets = [Get(table=m.table, key=m.key) for m in batch]
                assert None not in store.get_many(gets)
            else:
                before = contents(store)
                with pytest.raises(InvalidOperationError, match=r"batch\.beyond_unit"):
                    store.apply(batch)
                assert contents(store) == before

    def test_a_large_batch(self, store: TableStore) -> None:
        """A thousand rows at once, or as many as are declared; one more is refused."""
        largest = store.capabilities.batch_mutations_max
        count = min(1_000, largest or 1_000)
        store.apply([Insert(table=ORDERED, key=key(100 + n), values={"v": n}) for n in range(count)])
        assert len(contents(store)) == 4 + count
        if largest is not None:
            with pytest.raises(InvalidOperationError, match=r"batch\.too_large"):
                store.apply([Upsert(table=ORDERED, key=key(n), values={}) for n in range(largest + 1)])


class TestConcurrency:
    def attempt(self, store: TableStore, batch: list[Mutation]) -> bool:
        try:
            store.apply(batch)
        except (ConditionFailedError, StoreContendedError):
            return False
        return True

    def test_no_increment_is_lost(self, store: TableStore) -> None:
        """Many threads count up one row, each on the condition that it is as they read it."""
        store.apply([opened(1, balance=0)])

        def count_up(_: int) -> None:
            done = 0
            while done < ROUNDS:
                row = read(store, 1)
                assert row is not None
                balance = row["balance"]
                assert isinstance(balance, int)
                update = Update(
                    table=ACCOUNTS, key=account(1), values={"balance": balance + 1}, where=equals("balance", balance)
                )
                done += self.attempt(store, [update])

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(count_up, range(THREADS)))
        assert read(store, 1) == {"owner": None, "balance": THREADS * ROUNDS}

    def test_one_insert_wins(self, store: TableStore) -> None:
        """Of those that race for a key; the others know that they lost."""

        def race(number: int) -> list[int]:
            return [n for n in range(ROUNDS) if self.attempt(store, [opened(n, balance=number)])]

        with ThreadPoolExecutor(THREADS) as pool:
            won = list(pool.map(race, range(THREADS)))
        winners = {n: number for number, numbers in enumerate(won) for n in numbers}
        for n in range(ROUNDS):
            row = read(store, n)
            assert sum(n in numbers for numbers in won) <= 1
            if row is not None:
                assert row["balance"] == winners[n]

    def test_batches_that_cross_keep_the_sum(self, store: TableStore) -> None:
        """Transfers between the rows of a partition, in opposite directions: nothing is made, nothing is lost."""
        if store.capabilities.atomicity is Atomicity.RECORD:
            pytest.skip("this store's batches are of one row")
        store.apply([Insert(table=ORDERED, key=key(n), values={"v": 100}) for n in range(4)])

        def transfer(thread: int) -> int:
            done = 0
            for n in range(ROUNDS):
                pair = [key((thread + n) % 4), key((thread + n + 1 + n % 3) % 4)]
                rows = store.get_many([Get(table=ORDERED, key=k, projection=("v",)) for k in pair])
                batch: list[Mutation] = []
                for k, row, change in zip(pair, rows, (-1, 1), strict=True):
                    assert row is not None
                    value = row["v"]
                    assert isinstance(value, int)
                    batch.append(Update(table=ORDERED, key=k, values={"v": value + change}, where=equals("v", value)))
                done += self.attempt(store, batch)
            return done

        with ThreadPoolExecutor(THREADS) as pool:
            done = sum(pool.map(transfer, range(THREADS)))
        values = [row["v"] for row in store.scan(ScanAll(table=ORDERED))]
        assert sum(value for value in values if isinstance(value, int)) == 400
        assert done >= ROUNDS, "too few transfers succeeded for this to mean anything"

    def test_a_check_for_absence_holds_until_the_batch_is_done(self, store: TableStore) -> None:
        """Of two batches that each insert what the other wants absent, at most one is done."""
        if not store.capabilities.checks_absence:
            pytest.skip("this store declares that it cannot")
        both = 0

        def insert(mine: int, other: int) -> bool:
            check = Check(table=ORDERED, key=key(other), absent=True)
            return self.attempt(store, [check, Insert(table=ORDERED, key=key(mine), values={"v": mine})])

        with ThreadPoolExecutor(2) as pool:
            for n in range(2 * ROUNDS):
                one, two = 1_000 + 2 * n, 1_001 + 2 * n
                first, second = pool.submit(insert, one, two), pool.submit(insert, two, one)
                done = first.result() + second.result()
                assert done <= 1
                both += done
        assert both >= ROUNDS, "too few inserts succeeded for this to mean anything"

    def test_rows_of_one_batch_are_read_at_one_moment(self, store: TableStore) -> None:
        """Where the store declares it, a reader never sees one row of a batch without the other."""
        capabilities = store.capabilities
        if not capabilities.reads_at_one_moment or capabilities.atomicity is Atomicity.RECORD:
            pytest.skip("this store declares that it cannot")
        store.apply([Insert(table=ORDERED, key=key(n), values={"v": 0}) for n in (0, 1)])
        gets = [Get(table=ORDERED, key=key(n), projection=("v",)) for n in (0, 1)]

        def write(_: int) -> None:
            for n in range(4 * ROUNDS):
                store.apply([Update(table=ORDERED, key=key(k), values={"v": n}) for k in (0, 1)])

        def look(_: int) -> int:
            pairs = [store.get_many(gets) for _ in range(4 * ROUNDS)]
            assert all(one == two for one, two in pairs)
            return len({repr(pair) for pair in pairs})

        with ThreadPoolExecutor(4) as pool:
            writer = pool.submit(write, 0)
            seen = list(pool.map(look, range(3)))
            writer.result()
        assert seen


class TestRefusals:
    @pytest.mark.parametrize(
        ("batch", "code"),
        [
            ([], "batch.empty"),
            ([Upsert(table=TableName("bank", "nothing"), key=account(1), values={})], "table.unknown"),
            ([opened(1, nobody=1)], "column.unknown"),
            ([opened(1, id=1)], "column.key"),
            ([opened(1, balance="1")], "value.wrong_type"),
            ([opened(1, balance=2**63)], "value.out_of_range"),
            ([Update(table=ACCOUNTS, key=account(1), values={}, where=equals("nobody", 1))], "column.unknown"),
            ([Delete(table=ACCOUNTS, key=account(1), where=equals("balance", b""))], "value.wrong_type"),
            ([Check(table=ACCOUNTS, key=account(1), where=equals("id", 1), absent=True)], "operation.unsupported"),
            ([opened(1, balance=1), opened(1, balance=2)], "batch.same_row"),
            (
                [Upsert(table=ACCOUNTS, key=account(1), values={}), Delete(table=ACCOUNTS, key=account(1))],
                "batch.same_row",
            ),
        ],
    )
    def test_a_batch_that_breaks_a_rule(self, store: TableStore, batch: list[Mutation], code: str) -> None:
        """Is refused with its code, and nothing is written."""
        before = contents(store)
        with pytest.raises(InvalidOperationError) as refused:
            store.apply(batch)
        assert refused.value.code == code
        assert contents(store) == before

    def test_one_bad_mutation_spoils_the_good(self, store: TableStore) -> None:
        """The last of a batch is checked before the first is sent."""
        with pytest.raises(InvalidOperationError, match=r"value\.wrong_type"):
            store.apply(
                [
                    Upsert(table=ORDERED, key=key(1), values={"v": 1}),
                    Upsert(table=ORDERED, key=key(2), values={"v": "2"}),
                ]
            )
        assert contents(store) == []
