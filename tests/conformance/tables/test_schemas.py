"""What every table store promises of its tables: made, altered, dropped, and there again when it is opened anew."""

from collections.abc import Callable

import pytest

from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.operations import Get, Insert, Key, Scan, ScanAll, ScanByIndex, Update, Upsert
from storage.model.predicates import equals
from storage.model.schema import (
    AddColumn,
    AddIndex,
    Alteration,
    DropColumn,
    DropIndex,
    Order,
    RenameColumn,
    TableName,
    TableSchema,
)
from storage.tables.port import TableStore
from tests.table_samples import ACCOUNTS, account, accounts, column, every_type, insert_all, opened, ordered


def test_a_store_knows_its_tables(store: TableStore) -> None:
    """By full name, in order, with the schema they were made with, column order and all."""
    schemas = [
        every_type(),
        ordered((DataType.TEXT, Order.DESC), (DataType.BLOB, Order.ASC)),
        accounts(indexes=("owner",)),
    ]
    for schema in schemas:
        store.create_table(schema)
    assert store.tables() == tuple(sorted(schema.name for schema in schemas))
    for schema in schemas:
        assert store.schema(schema.name) == schema
        assert list(store.schema(schema.name).columns) == list(schema.columns)


def test_tables_of_one_name_in_two_namespaces(store: TableStore) -> None:
    """Are two; and names that differ in where the underscore stands, too."""
    names = [
        TableName("a", "t"),
        TableName("b", "t"),
        TableName("a_b", "c"),
        TableName("a", "b_c"),
        TableName("_a", "t"),
    ]
    for number, name in enumerate(names):
        store.create_table(TableSchema(name=name, columns={"k": DataType.INT, "v": DataType.INT}, partition_key=("k",)))
        store.apply([Insert(table=name, key=Key((1,)), values={"v": number})])
    assert [column(store.scan(ScanAll(table=name)), "v") for name in names] == [[n] for n in range(len(names))]
    store.drop_table(names[0])
    assert set(store.tables()) == set(names[1:])


def test_names_that_databases_reserve(store: TableStore) -> None:
    """Tables and columns may be called as in SQL, and as long as the model allows."""
    long = "x" * 48
    schema = TableSchema(
        name=TableName("select", long),
        columns={
            "order": DataType.TEXT,
            "user": DataType.INT,
            "rowid": DataType.INT,
            long: DataType.INT,
            "_v": DataType.INT,
        },
        partition_key=("order",),
        indexes=("user", long),
    )
    store.create_table(schema)
    store.apply([Insert(table=schema.name, key=Key(("a",)), values={"user": 1, "rowid": 2, long: 3, "_v": 4})])
    row = {"order": "a", "user": 1, "rowid": 2, long: 3, "_v": 4}
    assert list(store.scan(ScanByIndex(table=schema.name, column=long, value=3, where=equals("rowid", 2)))) == [row]


def test_a_table_is_made_once(store: TableStore) -> None:
    """A second one, the same or not, is refused and harms nothing."""
    store.create_table(accounts())
    store.apply([opened(1, balance=1)])
    with pytest.raises(InvalidOperationError, match=r"table\.exists"):
        store.create_table(accounts(indexes=("owner",)))
    assert store.schema(ACCOUNTS) == accounts()
    assert len(list(store.scan(ScanAll(table=ACCOUNTS)))) == 1


def test_a_dropped_table_is_gone_with_its_rows(store: TableStore) -> None:
    """Made again, also with other columns of the same names, it is empty."""
    store.create_table(accounts(indexes=("owner",)))
    store.apply([opened(1, owner="alice", balance=1)])
    store.drop_table(ACCOUNTS)
    assert store.tables() == ()
    again = TableSchema(
        name=ACCOUNTS,
        columns={"owner": DataType.INT, "id": DataType.INT},
        partition_key=("id",),
        indexes=("owner",),
    )
    store.create_table(again)
    assert store.get(Get(table=ACCOUNTS, key=account(1))) is None
    assert not list(store.scan(ScanAll(table=ACCOUNTS)))
    assert not list(store.scan(ScanByIndex(table=ACCOUNTS, column="owner", value=1)))
    store.apply([Insert(table=ACCOUNTS, key=account(1), values={"owner": 7})])
    assert list(store.scan(ScanAll(table=ACCOUNTS))) == [{"owner": 7, "id": 1}]


@pytest.mark.parametrize(
    "asked",
    [
        lambda store: store.schema(ACCOUNTS),
        lambda store: store.drop_table(ACCOUNTS),
        lambda store: store.alter_table(ACCOUNTS, AddIndex(column="owner")),
        lambda store: store.get(Get(table=ACCOUNTS, key=account(1))),
        lambda store: store.scan(ScanAll(table=ACCOUNTS)),
        lambda store: store.apply([opened(1)]),
    ],
)
def test_a_table_that_is_not_there(store: TableStore, asked: Callable[[TableStore], object]) -> None:
    """Is named as unknown, by every method."""
    with pytest.raises(InvalidOperationError) as refused:
        asked(store)
    assert refused.value.code == "table.unknown"


class TestAlter:
    @pytest.fixture(autouse=True)
    def table(self, store: TableStore) -> None:
        store.create_table(accounts(indexes=("owner",)))
        store.apply([opened(1, owner="alice", balance=1, note=b"n")])

    def test_a_column_is_added(self, store: TableStore) -> None:
        """Null in the rows there are, and of use at once."""
        schema = store.alter_table(ACCOUNTS, AddColumn(name="age", data_type=DataType.INT))
        assert schema == store.schema(ACCOUNTS)
        assert list(schema.columns) == ["id", "owner", "balance", "note", "age"]
        assert store.get(Get(table=ACCOUNTS, key=account(1), projection=("age", "owner"))) == {
            "age": None,
            "owner": "alice",
        }
        store.apply([Update(table=ACCOUNTS, key=account(1), values={"age": 40})])
        store.apply([opened(2, age=41)])
        assert sorted(column(store.scan(ScanAll(table=ACCOUNTS)), "age")) == [40, 41]  # type: ignore[type-var]

    def test_a_dropped_column_does_not_come_back(self, store: TableStore) -> None:
        """Added again under its name, of another type, it is null; its index is gone with it."""
        assert "owner" not in store.alter_table(ACCOUNTS, DropColumn(name="owner")).indexes
        with pytest.raises(InvalidOperationError, match=r"column\.unknown"):
            store.apply([Update(table=ACCOUNTS, key=account(1), values={"owner": "bob"})])
        assert store.get(Get(table=ACCOUNTS, key=account(1))) == {"id": 1, "balance": 1, "note": b"n"}
        store.alter_table(ACCOUNTS, AddColumn(name="owner", data_type=DataType.BIGINT))
        assert store.get(Get(table=ACCOUNTS, key=account(1), projection=("owner",))) == {"owner": None}
        store.alter_table(ACCOUNTS, AddIndex(column="owner"))
        assert not list(store.scan(ScanByIndex(table=ACCOUNTS, column="owner", value=1)))

    def test_a_column_is_renamed(self, store: TableStore) -> None:
        """With its values and its index; of the key, too."""
        store.alter_table(ACCOUNTS, RenameColumn(name="owner", new_name="holder"))
        schema = store.alter_table(ACCOUNTS, RenameColumn(name="id", new_name="number"))
        assert (schema.partition_key, schema.indexes) == (("number",), ("holder",))
        row = {"number": 1, "holder": "alice", "balance": 1, "note": b"n"}
        assert list(store.scan(ScanByIndex(table=ACCOUNTS, column="holder", value="alice"))) == [row]
        store.apply([Upsert(table=ACCOUNTS, key=account(2), values={"holder": "alice"})])
        assert len(list(store.scan(ScanByIndex(table=ACCOUNTS, column="holder", value="alice")))) == 2

    def test_an_index_is_added_and_dropped(self, store: TableStore) -> None:
        """It holds the rows there were; without it, reads by the column are refused."""
        insert_all(store, [opened(number, balance=number % 2) for number in range(2, 600)])
        store.alter_table(ACCOUNTS, AddIndex(column="balance"))
        by_balance = ScanByIndex(table=ACCOUNTS, column="balance", value=1, projection=("id",))
        assert sorted(column(store.scan(by_balance), "id")) == [n for n in range(600) if n % 2]  # type: ignore[type-var]
        store.alter_table(ACCOUNTS, DropIndex(column="balance"))
        with pytest.raises(InvalidOperationError, match=r"index\.missing"):
            store.scan(by_balance)
        store.apply([Update(table=ACCOUNTS, key=account(1), values={"balance": 0})])
        store.alter_table(ACCOUNTS, AddIndex(column="balance"))
        assert 1 not in column(store.scan(by_balance), "id")

    @pytest.mark.parametrize(
        ("alteration", "code"),
        [
            (AddColumn(name="owner", data_type=DataType.INT), "schema.invalid"),
            (AddColumn(name="No Name", data_type=DataType.INT), "schema.invalid"),
            (DropColumn(name="nobody"), "column.unknown"),
            (DropColumn(name="id"), "column.key"),
            (RenameColumn(name="nobody", new_name="somebody"), "column.unknown"),
            (RenameColumn(name="owner", new_name="note"), "schema.invalid"),
            (AddIndex(column="id"), "column.key"),
            (AddIndex(column="owner"), "schema.invalid"),
            (AddIndex(column="nobody"), "column.unknown"),
            (DropIndex(column="note"), "index.missing"),
        ],
    )
    def test_what_cannot_be_altered(self, store: TableStore, alteration: Alteration, code: str) -> None:
        """Is refused, and the table stays as it is."""
        with pytest.raises(InvalidOperationError) as refused:
            store.alter_table(ACCOUNTS, alteration)
        assert refused.value.code == code
        assert store.schema(ACCOUNTS) == accounts(indexes=("owner",))
        assert len(list(store.scan(ScanAll(table=ACCOUNTS)))) == 1


def test_a_store_that_is_opened_anew(place: Callable[[], TableStore], store: TableStore) -> None:
    """Holds tables and rows as they were left, and what one opening writes the other reads."""
    schema = ordered((DataType.TEXT, Order.DESC))
    store.create_table(schema)
    store.apply([Insert(table=schema.name, key=Key(("p",), (text,)), values={"v": 1}) for text in ("a", "b")])
    again = place()
    try:
        assert again.schema(schema.name) == schema
        assert column(again.scan(Scan(table=schema.name, partition=("p",))), "c0") == ["b", "a"]
        again.apply([Insert(table=schema.name, key=Key(("p",), ("c",)), values={"v": 2})])
        assert column(store.scan(Scan(table=schema.name, partition=("p",))), "c0") == ["c", "b", "a"]
    finally:
        again.close()


def test_a_schema_that_another_process_altered(place: Callable[[], TableStore], store: TableStore) -> None:
    """Is seen by one that is opened after, and whoever holds the old one writes no value into another's column."""
    store.create_table(accounts())
    store.apply([opened(1, owner="alice")])
    other = place()
    try:
        store.alter_table(ACCOUNTS, DropColumn(name="owner"))
        store.alter_table(ACCOUNTS, AddColumn(name="owner", data_type=DataType.BLOB))
        try:
            other.apply([Update(table=ACCOUNTS, key=account(1), values={"owner": "bob"})])
        except InvalidOperationError as error:
            assert error.code in ("value.wrong_type", "schema.mismatch")  # noqa: PT017
        else:
            pytest.fail("a text was written into a column of blobs")
        assert store.get(Get(table=ACCOUNTS, key=account(1), projection=("owner",))) == {"owner": None}
        third = place()
        assert third.schema(ACCOUNTS) == store.schema(ACCOUNTS)
        third.close()
    finally:
        other.close()
