"""Tables that a process has met in a store on Redis: how it comes to know that one was altered, or dropped."""

from typing import cast

import pytest

from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.operations import Get, Key
from storage.model.schema import AddColumn, TableName, TableSchema
from storage.tables.redis_catalogue import RedisCatalogue
from storage.tables.redis_known_tables import KnownTables
from storage.tables.redis_table import CataloguedTable

TABLE = TableName("bank", "accounts")
ENTRY = CataloguedTable.new(TableSchema(name=TABLE, columns={"id": DataType.BIGINT}, partition_key=("id",)), 1)
READ = [Get(table=TABLE, key=Key((1,)))]


class Catalogue:
    """One table, or none any more; notes whether it is known while its entry is read."""

    def __init__(self) -> None:
        self.stored: CataloguedTable | None = ENTRY
        self.known = KnownTables(cast(RedisCatalogue, self), b"t:", 1)
        self.was_known: list[bool] = []
        self.upgraded: list[CataloguedTable] = []

    def entry(self, table: TableName) -> CataloguedTable:
        self.was_known.append(self.known.has_all(READ))
        if self.stored is None:
            raise InvalidOperationError("table.unknown", str(table))
        return self.stored

    def upgrade(self, bucket: int, entry: CataloguedTable) -> None:
        self.upgraded.append(entry)


def test_a_table_is_known_while_its_entry_is_read_again() -> None:
    """So a coroutine that uses it meanwhile asks no server in the thread of its event loop."""
    catalogue = Catalogue()
    table = catalogue.known.table(TABLE)
    catalogue.stored = ENTRY.altered(AddColumn(name="note", data_type=DataType.TEXT))
    renewed = catalogue.known.renew(table, 0)
    assert renewed is catalogue.known.table(TABLE)
    assert catalogue.upgraded == [renewed.entry] == [catalogue.stored]
    assert catalogue.was_known == [False, True]


def test_a_table_that_was_dropped_is_forgotten() -> None:
    """When somebody meets it; and looked up again when it is needed."""
    catalogue = Catalogue()
    table = catalogue.known.table(TABLE)
    catalogue.stored = None
    with pytest.raises(InvalidOperationError, match=r"table\.unknown"):
        catalogue.known.renew(table, 0)
    assert not catalogue.known.has_all(READ)
    catalogue.stored = ENTRY
    assert catalogue.known.table(TABLE).entry == ENTRY
