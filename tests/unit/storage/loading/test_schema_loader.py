"""The schema loader: whatever was there, the tables are as the file has them, and no value is lost unasked."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from storage.loading.schema_file import WantedTable
from storage.loading.schema_loader import SchemaLoader
from storage.loading.stores_file import OpenedStores, StoresConfiguration, opened_stores
from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.operations import Get, Key, ScanByIndex, Upsert
from storage.model.schema import DropColumn, DropIndex, TableName, TableSchema
from storage.transactions.layout import TX_BEFORE, is_transactional

TABLE = TableName("bank", "accounts")
COLUMNS = {"id": DataType.INT, "owner": DataType.TEXT, "balance": DataType.BIGINT}
ACCOUNTS = WantedTable(schema=TableSchema(name=TABLE, columns=COLUMNS, partition_key=("id",), indexes=("owner",)))
PLAIN = replace(ACCOUNTS, transactional=False)


@pytest.fixture
def stores() -> Iterator[OpenedStores]:
    """One store in memory."""
    with opened_stores(StoresConfiguration(stores={"m": {"kind": "memory"}}, home="m", default_store="m")) as opened:
        yield opened


def _with(table: WantedTable, columns: dict[str, DataType], *indexes: str, **renames: str) -> WantedTable:
    return replace(table, schema=replace(table.schema, columns=columns, indexes=indexes), renames=renames)


def _write(stores: OpenedStores) -> None:
    stores.manager.run(lambda transaction: transaction.insert(TABLE, Key((1,)), {"owner": "ann", "balance": 5}))


def test_created_tables_can_be_used_in_transactions(stores: OpenedStores) -> None:
    """The coordinator is there, too; and what is shown is what was wanted."""
    loader = SchemaLoader(stores)
    assert [change.what for change in loader.create([ACCOUNTS])] == ["created"]
    _write(stores)
    assert loader.show() == [ACCOUNTS]


def test_creating_again_is_refused_before_anything_is_created(stores: OpenedStores) -> None:
    """A file with one table that is there creates none; with `if_absent` the others."""
    loader = SchemaLoader(stores)
    loader.create([ACCOUNTS])
    other = replace(ACCOUNTS, schema=replace(ACCOUNTS.schema, name=TableName("bank", "others")))
    with pytest.raises(InvalidOperationError) as caught:
        loader.create([other, ACCOUNTS])
    assert caught.value.code == "table.exists"
    assert len(loader.show()) == 1
    assert [change.what for change in loader.create([other, ACCOUNTS], if_absent=True)] == ["created", "as it was"]
    with pytest.raises(InvalidOperationError, match=r"schema\.mismatch"):
        loader.create([_with(ACCOUNTS, COLUMNS)], if_absent=True)


@pytest.mark.parametrize("table", [ACCOUNTS, PLAIN], ids=["transactional", "plain"])
def test_altering_adds_renames_and_drops_indexes(stores: OpenedStores, table: WantedTable) -> None:
    """Rows keep their values through a rename, the new index finds them; and a second run changes nothing."""
    loader = SchemaLoader(stores)
    loader.create([table])
    row = Upsert(table=TABLE, key=Key((1,)), values={"owner": "ann", "balance": 5})
    stores.tables.apply([row])
    columns = {"id": DataType.INT, "holder": DataType.TEXT, "balance": DataType.BIGINT, "note": DataType.TEXT}
    wanted = _with(table, columns, "holder", "balance", owner="holder")
    [change] = loader.alter([wanted])
    assert change.what == "altered"
    assert loader.show() == [replace(wanted, renames={})]
    found = list(stores.tables.scan(ScanByIndex(table=TABLE, column="holder", value="ann")))
    assert [row["balance"] for row in found] == [5]
    assert [change.what for change in loader.alter([wanted])] == ["as it was"]
    loader.alter([_with(table, columns)])
    assert loader.show()[0].schema.indexes == ()


def test_what_crashed_clients_left_is_finished_before_columns_change_their_names(stores: OpenedStores) -> None:
    """A prepared row whose transaction was aborted has its former value afterwards, under the new name."""
    loader = SchemaLoader(stores)
    loader.create([ACCOUNTS])
    _write(stores)
    crashed = stores.manager.begin()
    crashed.update(TABLE, Key((1,)), {"owner": "bob", "balance": 666})
    stores.manager.driver.run(crashed.core.phases.prepare())
    stores.manager.resolve(crashed.id)
    columns = {"id": DataType.INT, "holder": DataType.TEXT, "amount": DataType.BIGINT}
    loader.alter([_with(ACCOUNTS, columns, "holder", owner="holder", balance="amount")])
    read = stores.manager.run(lambda transaction: transaction.get(TABLE, Key((1,))))
    assert read == {"id": 1, "holder": "ann", "amount": 5}


def test_a_new_index_gives_no_row_that_is_prepared_by_its_coming_value(stores: OpenedStores) -> None:
    """A column without an index holds the coming value; with one the committed value, so the row is settled first."""
    loader = SchemaLoader(stores)
    loader.create([ACCOUNTS])
    _write(stores)
    crashed = stores.manager.begin()
    crashed.update(TABLE, Key((1,)), {"balance": 666})
    stores.manager.driver.run(crashed.core.phases.prepare())
    stores.manager.resolve(crashed.id)
    loader.alter([_with(ACCOUNTS, COLUMNS, "owner", "balance")])
    scan = ScanByIndex(table=TABLE, column="balance", value=5)
    assert len(stores.manager.run(lambda transaction: transaction.scan(scan))) == 1


def test_columns_go_only_when_asked(stores: OpenedStores) -> None:
    """Without it nothing at all is changed."""
    loader = SchemaLoader(stores)
    loader.create([ACCOUNTS])
    fewer = _with(ACCOUNTS, {"id": DataType.INT, "extra": DataType.INT, "owner": DataType.TEXT}, "owner")
    with pytest.raises(InvalidOperationError) as caught:
        loader.alter([fewer])
    assert (caught.value.code, caught.value.detail) == ("schema.would_drop", "bank.accounts: balance")
    assert loader.show() == [ACCOUNTS]
    loader.alter([fewer], drops=True)
    assert loader.show() == [fewer]


@pytest.mark.parametrize(
    "other",
    [
        _with(ACCOUNTS, {**COLUMNS, "balance": DataType.INT}, "owner"),
        replace(ACCOUNTS, schema=replace(ACCOUNTS.schema, partition_key=("owner",), indexes=())),
    ],
    ids=["type", "key"],
)
def test_keys_and_types_stay(stores: OpenedStores, other: WantedTable) -> None:
    """Neither alter nor repair touches such a table."""
    loader = SchemaLoader(stores)
    loader.create([ACCOUNTS])
    for step in (loader.alter, loader.repair):
        with pytest.raises(InvalidOperationError, match=r"schema\.not_alterable"):
            step([other])
    assert loader.show() == [ACCOUNTS]


def test_repair_completes_what_is_missing(stores: OpenedStores) -> None:
    """A lost hidden column, a lost index, a lost coordinator: afterwards transactions work, and rows are as before."""
    loader = SchemaLoader(stores)
    loader.create([ACCOUNTS])
    _write(stores)
    stores.tables.alter_table(TABLE, DropColumn(name=TX_BEFORE))
    stores.tables.alter_table(TABLE, DropIndex(column="owner"))
    stores.tables.drop_table(stores.manager.world.coordinator.table)
    [change] = loader.repair([ACCOUNTS])
    assert (change.what, change.alterations) == ("repaired", 2)
    assert is_transactional(stores.tables.schema(TABLE))
    stores.manager.run(lambda transaction: transaction.update(TABLE, Key((1,)), {"balance": 6}))
    row = stores.tables.get(Get(table=TABLE, key=Key((1,)), projection=("owner", "balance")))
    assert row == {"owner": "ann", "balance": 6}


def test_a_plain_table_becomes_transactional(stores: OpenedStores) -> None:
    """Its rows count as committed; a second time nothing happens."""
    loader = SchemaLoader(stores)
    loader.create([PLAIN])
    stores.tables.apply([Upsert(table=TABLE, key=Key((1,)), values={"owner": "ann", "balance": 5})])
    assert loader.make_transactional(TABLE).what == "imported"
    assert loader.make_transactional(TABLE).what == "as it was"
    read = stores.manager.run(lambda transaction: transaction.get(TABLE, Key((1,))))
    assert read == {"id": 1, "owner": "ann", "balance": 5}


def test_dropped_tables_are_gone(stores: OpenedStores) -> None:
    """And those that are not there are no error."""
    loader = SchemaLoader(stores)
    loader.create([ACCOUNTS])
    assert [change.what for change in loader.drop([TABLE, TableName("bank", "never")])] == ["dropped", "as it was"]
    assert loader.show() == []
