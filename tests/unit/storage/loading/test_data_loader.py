"""The data loader: every good row is written, every bad one told, and exports show only what is committed."""

import io
from collections.abc import Iterator

import pytest

from storage.loading.data_file import DataFormat, FileRow, read_rows
from storage.loading.data_loader import DataLoader, Loaded
from storage.loading.schema_file import WantedTable
from storage.loading.schema_loader import SchemaLoader
from storage.loading.stores_file import OpenedStores, StoresConfiguration, opened_stores
from storage.model.data_types import DataType
from storage.model.operations import Key
from storage.model.schema import TableName, TableSchema

TABLE = TableName("bank", "accounts")
SCHEMA = TableSchema(
    name=TABLE, columns={"id": DataType.INT, "balance": DataType.BIGINT}, partition_key=("id",), indexes=("balance",)
)


@pytest.fixture(params=[True, False], ids=["transactional", "plain"])
def stores(request: pytest.FixtureRequest) -> Iterator[OpenedStores]:
    """One store in memory, with the table."""
    with opened_stores(StoresConfiguration(stores={"m": {"kind": "memory"}}, home="m", default_store="m")) as opened:
        SchemaLoader(opened).create([WantedTable(schema=SCHEMA, transactional=request.param)])
        yield opened


def _load(stores: OpenedStores, text: str, *, upsert: bool = False, batch_rows: int = 4) -> tuple[Loaded, list[int]]:
    loader = DataLoader(stores, TABLE, upsert=upsert)
    refused: list[FileRow] = []
    rows = read_rows(io.StringIO(text, newline=""), DataFormat.CSV, loader.schema)
    return loader.load(rows, refused.append, batch_rows=batch_rows), [row.line for row in refused]


def _rows(stores: OpenedStores) -> dict[object, object]:
    return {row["id"]: row["balance"] for row in DataLoader(stores, TABLE).rows()}


def test_good_rows_are_written_and_bad_ones_told(stores: OpenedStores) -> None:
    """Over the borders of batches: a value that is none, a key that is there already, a null key."""
    text = "id,balance\n" + "".join(f"{number},{number * 10}\n" for number in range(10)) + "x,1\n3,7\n\\N,1\n10,100\n"
    loaded, lines = _load(stores, text)
    assert (loaded.rows, loaded.refused, lines) == (11, 3, [12, 13, 14])
    exists = "transaction.exists" if DataLoader(stores, TABLE).is_transactional else "condition.failed"
    assert [code for _, code, _ in loaded.errors] == ["value.wrong_type", exists, "key.incomplete"]
    assert _rows(stores) == {number: number * 10 for number in range(11)}


def test_with_upserts_the_last_of_a_key_stays(stores: OpenedStores) -> None:
    """Within a batch and over several."""
    text = "id,balance\n1,1\n2,2\n1,3\n4,4\n5,5\n1,6\n2,7\n"
    loaded, lines = _load(stores, text, upsert=True)
    assert (loaded.rows, lines) == (7, [])
    assert _rows(stores) == {1: 6, 2: 7, 4: 4, 5: 5}


def test_an_import_that_stops_has_written_what_stood_before(stores: OpenedStores) -> None:
    """And nothing behind."""

    def stop(row: FileRow) -> None:
        raise RuntimeError(row.line)

    loader = DataLoader(stores, TABLE)
    rows = read_rows(io.StringIO("id,balance\n1,1\n2,2\nx,3\n4,4\n"), DataFormat.CSV, loader.schema)
    with pytest.raises(RuntimeError, match="4"):
        loader.load(rows, stop)
    assert _rows(stores) == {1: 1, 2: 2}


def test_an_export_shows_what_is_committed() -> None:
    """Not what a transaction in the middle of its commit has prepared: neither its changes nor its new records."""
    with opened_stores(StoresConfiguration(stores={"m": {"kind": "memory"}}, home="m", default_store="m")) as stores:
        SchemaLoader(stores).create([WantedTable(schema=SCHEMA)])
        _load(stores, "id,balance\n1,1\n2,2\n3,3\n")
        writing = stores.manager.begin()
        writing.update(TABLE, Key((1,)), {"balance": 100})
        writing.delete(TABLE, Key((2,)))
        writing.insert(TABLE, Key((9,)), {"balance": 9})
        stores.manager.driver.run(writing.core.phases.prepare())
        assert _rows(stores) == {1: 1, 2: 2, 3: 3}
