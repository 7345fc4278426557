"""What every table store promises of scans: projection, predicates, limits, pages, whole tables, indexes."""

import pytest

from storage.model.data_types import DataType, Value
from storage.model.errors import InvalidOperationError
from storage.model.operations import (
    AnyScan,
    Bound,
    Check,
    Delete,
    Get,
    GetByIndex,
    Insert,
    Key,
    Scan,
    ScanAll,
    ScanByIndex,
    Update,
    Upsert,
)
from storage.model.predicates import AllOf, AnyOf, Comparison, Operator, Predicate, equals, holds
from storage.model.schema import Order, TableName
from storage.tables.errors import ConditionFailedError
from storage.tables.port import TableStore
from storage.tables.reads import get_by_index
from tests.table_samples import ACCOUNTS, ASCENDING, account, accounts, column, every_type, insert_all, opened, ordered

EVERY = every_type()
ORDERED = TableName("kinds", "ordered")
MANY = 1_200
"""More rows than any adapter's page holds."""


class TestPartition:
    @pytest.fixture(autouse=True)
    def table(self, store: TableStore) -> None:
        store.create_table(ordered((DataType.INT, Order.ASC)))
        rows = [
            Insert(table=ORDERED, key=Key((partition,), (number,)), values={"v": number % 7})
            for partition in ("a", "b")
            for number in range(MANY)
        ]
        insert_all(store, rows)

    def test_pages_leave_nothing_out(self, store: TableStore) -> None:
        """Forwards and in reverse, over the borders of pages."""
        for reverse in (False, True):
            rows = store.scan(Scan(table=ORDERED, partition=("a",), reverse=reverse))
            assert column(rows, "c0") == list(range(MANY))[:: -1 if reverse else 1]

    @pytest.mark.parametrize("limit", [1, 2, 170, MANY - 1, MANY, MANY + 1])
    def test_a_limit_counts_what_satisfies(self, store: TableStore, limit: int) -> None:
        """From the side where the scan begins, without and with a predicate."""
        scan = Scan(table=ORDERED, partition=("b",), limit=limit)
        assert column(store.scan(scan), "c0") == list(range(MANY))[:limit]
        scan = Scan(table=ORDERED, partition=("b",), limit=limit, reverse=True, where=equals("v", 3))
        assert column(store.scan(scan), "c0") == [n for n in range(MANY) if n % 7 == 3][::-1][:limit]

    def test_a_scan_may_be_left_early(self, store: TableStore) -> None:
        """And many may be open at once."""
        scans = [store.scan(Scan(table=ORDERED, partition=("a",), lower=Bound(n))) for n in range(20)]
        assert [next(scan)["c0"] for scan in scans] == list(range(20))
        del scans
        assert len(list(store.scan(Scan(table=ORDERED, partition=("a",))))) == MANY

    def test_changes_during_a_scan_disturb_no_other_row(self, store: TableStore) -> None:
        """Rows that nobody touches are given once, whatever is inserted, deleted and changed around them."""
        scan = store.scan(Scan(table=ORDERED, partition=("a",)))
        seen = [next(scan)["c0"]]
        for number in range(0, MANY, 10):
            store.apply([Delete(table=ORDERED, key=Key(("a",), (number,)))])
            store.apply([Upsert(table=ORDERED, key=Key(("a",), (-number - 1,)), values={"v": 0})])
            store.apply([Update(table=ORDERED, key=Key(("a",), (number + 1,)), values={"v": 9})])
        seen += [row["c0"] for row in scan]
        assert [n for n in seen if isinstance(n, int) and n % 10 and n > 0] == [n for n in range(MANY) if n % 10]

    def test_the_whole_table(self, store: TableStore) -> None:
        """Every row once; a limit and a predicate hold here, too."""
        rows = [(row["p"], row["c0"]) for row in store.scan(ScanAll(table=ORDERED))]
        assert sorted(rows) == [(partition, n) for partition in ("a", "b") for n in range(MANY)]
        assert len(list(store.scan(ScanAll(table=ORDERED, limit=1_300, projection=("v",))))) == 1_300
        fives = [row["c0"] for row in store.scan(ScanAll(table=ORDERED, where=equals("c0", 5)))]
        assert fives == [5, 5]


class TestProjection:
    @pytest.mark.parametrize("projection", [("owner",), ("balance", "id"), ("id",), ("note",)])
    def test_only_the_columns_asked_for(self, store: TableStore, projection: tuple[str, ...]) -> None:
        """In the order asked for, from every kind of read; what is compared need not be read."""
        store.create_table(accounts(indexes=("owner",)))
        row = {"id": 1, "owner": "alice", "balance": 5, "note": None}
        store.apply([opened(1, owner="alice", balance=5)])
        expected = [{name: row[name] for name in projection}]
        where = equals("balance", 5)
        scans: list[AnyScan] = [
            Scan(table=ACCOUNTS, partition=(1,), projection=projection, where=where),
            ScanAll(table=ACCOUNTS, projection=projection, where=where),
            ScanByIndex(table=ACCOUNTS, column="owner", value="alice", projection=projection, where=where),
        ]
        for scan in scans:
            rows = list(store.scan(scan))
            assert rows == expected
            assert list(rows[0]) == list(projection)
        assert [store.get(Get(table=ACCOUNTS, key=account(1), projection=projection))] == expected
        with pytest.raises(InvalidOperationError, match=r"column\.unknown"):
            store.get(Get(table=ACCOUNTS, key=account(1), projection=("id", "nobody")))


def satisfies(store: TableStore, number: int, predicate: Predicate) -> bool:
    """Whether a row satisfies a predicate as a condition of a batch."""
    try:
        store.apply([Check(table=EVERY.name, key=Key((number,)), where=predicate)])
    except ConditionFailedError:
        return False
    return True


class TestPredicates:
    def predicates(self, data_type: DataType) -> list[Predicate]:
        name = f"a_{data_type}"
        plain = [o for o in Operator if o not in (Operator.IS_NULL, Operator.IS_NOT_NULL)]
        plain = [o for o in plain if o not in (Operator.LIKE, Operator.NOT_LIKE)]
        values = ASCENDING[data_type]
        made: list[Predicate] = [Comparison(name, o, value) for o in plain for value in values[:: len(values) // 2]]
        made += [Comparison(name, Operator.IS_NULL), Comparison(name, Operator.IS_NOT_NULL)]
        below, above = Comparison(name, Operator.LT, values[1]), Comparison(name, Operator.GE, values[-1])
        null = Comparison(name, Operator.IS_NULL)
        made += [AnyOf((below, above)), AllOf((below, above)), AnyOf((AllOf((below, above)), null))]
        return [*made, AllOf((AnyOf((below, above)), AnyOf((null, above)))), AllOf(()), AnyOf(())]

    @pytest.mark.parametrize("data_type", DataType)
    def test_scans_and_conditions_say_what_satisfies(self, store: TableStore, data_type: DataType) -> None:
        """Every operator on every type, and null never satisfies a comparison, as the model says it."""
        store.create_table(EVERY)
        name = f"a_{data_type}"
        values = (None, *ASCENDING[data_type])
        for number, value in enumerate(values):
            store.apply([Insert(table=EVERY.name, key=Key((number,)), values={name: value})])
        for predicate in self.predicates(data_type):
            rows = store.scan(ScanAll(table=EVERY.name, projection=("id",), where=predicate))
            expected = [n for n, value in enumerate(values) if holds(predicate, {name: value})]
            assert sorted(column(rows, "id")) == expected, predicate  # type: ignore[type-var]
            assert [n for n in range(len(values)) if satisfies(store, n, predicate)] == expected, predicate

    @pytest.mark.parametrize(
        "pattern",
        [
            "",
            "%",
            "a",
            "A",
            "a%",
            "%b",
            "_",
            "__",
            "a_",
            "%\\%%",
            "\\_",
            "%\\\\",
            "%.%",
            "%\n%",
            "[a]%",
            "%é",
            "%a%b",
            "_%_",
            "%_b",
            "%a%%b%",
        ],
    )
    def test_patterns(self, store: TableStore, pattern: str) -> None:
        """LIKE and NOT LIKE, upper and lower case apart, with the signs that other pattern languages know."""
        store.create_table(EVERY)
        texts = [
            "",
            "a",
            "A",
            "ab",
            "aB",
            "b",
            "%",
            "100%",
            "_",
            "x_",
            "a\\",
            "a.b",
            "a\nb",
            "[a]",
            "*",
            "é",
            "né",
            None,
        ]
        for number, text in enumerate(texts):
            store.apply([Insert(table=EVERY.name, key=Key((number,)), values={"a_text": text})])
        for operator in (Operator.LIKE, Operator.NOT_LIKE):
            predicate = Comparison("a_text", operator, pattern)
            rows = store.scan(ScanAll(table=EVERY.name, projection=("id",), where=predicate))
            expected = [n for n, text in enumerate(texts) if holds(predicate, {"a_text": text})]
            assert sorted(column(rows, "id")) == expected, predicate  # type: ignore[type-var]
            assert [n for n in range(len(texts)) if satisfies(store, n, predicate)] == expected, predicate

    @pytest.mark.parametrize(
        ("predicate", "code"),
        [
            (equals("nobody", 1), "column.unknown"),
            (equals("a_int", "1"), "value.wrong_type"),
            (equals("a_int", 2**31), "value.out_of_range"),
            (Comparison("a_int", Operator.EQ), "value.wrong_type"),
            (Comparison("a_int", Operator.IS_NULL, 1), "value.wrong_type"),
            (Comparison("a_int", Operator.LIKE, "1"), "value.wrong_type"),
            (Comparison("a_text", Operator.LIKE, "a\\"), "value.out_of_range"),
            (AllOf((AnyOf((equals("nobody", 1),)),)), "column.unknown"),
            (AnyOf((equals("a_int", 1),) * 65), "predicate.too_large"),
        ],
    )
    def test_what_is_no_predicate_of_the_table_is_refused(
        self, store: TableStore, predicate: Predicate, code: str
    ) -> None:
        """At once, not at the first row."""
        store.create_table(EVERY)
        with pytest.raises(InvalidOperationError) as refused:
            store.scan(ScanAll(table=EVERY.name, where=predicate))
        assert refused.value.code == code


class TestIndex:
    @pytest.fixture(autouse=True)
    def table(self, store: TableStore) -> None:
        store.create_table(accounts(indexes=("owner", "balance")))

    def owned(self, store: TableStore, owner: str) -> list[Value | None]:
        rows = store.scan(ScanByIndex(table=ACCOUNTS, column="owner", value=owner))
        return sorted(column(rows, "id"))  # type: ignore[type-var]

    def test_it_follows_every_change(self, store: TableStore) -> None:
        """Inserted, changed, set to null, deleted, and back; a failed batch moves nothing."""
        for number, owner in enumerate(["alice", "bob", "alice", None]):
            store.apply([opened(number, owner=owner, balance=number)])
        assert (self.owned(store, "alice"), self.owned(store, "bob")) == ([0, 2], [1])
        store.apply([Update(table=ACCOUNTS, key=account(0), values={"owner": "bob"})])
        store.apply([Upsert(table=ACCOUNTS, key=account(3), values={"owner": "bob"})])
        store.apply([Upsert(table=ACCOUNTS, key=account(1), values={"owner": None})])
        assert (self.owned(store, "alice"), self.owned(store, "bob")) == ([2], [0, 3])
        store.apply([Delete(table=ACCOUNTS, key=account(3))])
        store.apply([opened(4, owner="bob")])
        store.apply([Update(table=ACCOUNTS, key=account(0), values={"balance": 7})])
        assert self.owned(store, "bob") == [0, 4]

    def test_values_are_compared_whole(self, store: TableStore) -> None:
        """One that begins with another is another."""
        owners = ["", "a", "a\t", "aa", "é", "é "]
        for number, owner in enumerate(owners):
            store.apply([opened(number, owner=owner)])
        assert [self.owned(store, owner) for owner in owners] == [[n] for n in range(len(owners))]

    def test_pages_limits_and_predicates(self, store: TableStore) -> None:
        """As in any scan."""
        insert_all(store, [opened(number, owner="alice", balance=number % 2) for number in range(MANY)])
        assert self.owned(store, "alice") == list(range(MANY))
        scan = ScanByIndex(table=ACCOUNTS, column="owner", value="alice", limit=600, where=equals("balance", 1))
        assert len(list(store.scan(scan))) == 600
        scan = ScanByIndex(table=ACCOUNTS, column="balance", value=0, where=equals("id", 8))
        assert column(store.scan(scan), "id") == [8]

    def test_the_one_row_of_a_value(self, store: TableStore) -> None:
        """A get by index gives it, or none, and refuses to choose."""
        store.apply([opened(1, owner="alice", balance=1)])
        store.apply([opened(2, owner="bob", balance=1)])
        found = get_by_index(store, GetByIndex(table=ACCOUNTS, column="owner", value="bob", projection=("id",)))
        assert found == {"id": 2}
        assert get_by_index(store, GetByIndex(table=ACCOUNTS, column="owner", value="carol")) is None
        with pytest.raises(InvalidOperationError, match=r"index\.ambiguous"):
            get_by_index(store, GetByIndex(table=ACCOUNTS, column="balance", value=1))

    @pytest.mark.parametrize(
        ("name", "value", "code"),
        [
            ("note", b"", "index.missing"),
            ("id", 1, "index.missing"),
            ("nobody", 1, "column.unknown"),
            ("owner", 1, "value.wrong_type"),
            ("owner", "a" * 512, "key.too_long"),
        ],
    )
    def test_reads_that_no_index_serves(self, store: TableStore, name: str, value: Value, code: str) -> None:
        """Are refused, rather than made slowly."""
        with pytest.raises(InvalidOperationError) as refused:
            store.scan(ScanByIndex(table=ACCOUNTS, column=name, value=value))
        assert refused.value.code == code

    def test_an_indexed_value_is_bounded(self, store: TableStore) -> None:
        """So that every database's index can hold it."""
        store.apply([opened(1, owner="a" * 511)])
        assert self.owned(store, "a" * 511) == [1]
        with pytest.raises(InvalidOperationError, match=r"key\.too_long"):
            store.apply([opened(2, owner="a" * 512)])


def test_every_type_is_indexed(store: TableStore) -> None:
    """One index on a column of each type finds each of its values."""
    store.create_table(
        type(EVERY)(
            name=EVERY.name,
            columns=EVERY.columns,
            partition_key=("id",),
            indexes=tuple(f"a_{data_type}" for data_type in DataType),
        )
    )
    number = 0
    for data_type, values in ASCENDING.items():
        for value in values:
            number += 1
            store.apply([Insert(table=EVERY.name, key=Key((number,)), values={f"a_{data_type}": value})])
            scan = ScanByIndex(table=EVERY.name, column=f"a_{data_type}", value=value, projection=("id",))
            assert list(store.scan(scan)) == [{"id": number}]
