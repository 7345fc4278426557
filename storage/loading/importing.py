"""Copying a table that was made elsewhere into a store: its rows count as committed."""

from collections.abc import Callable
from itertools import islice

from storage.loading.foreign_table import ForeignTable, row_of, schema_of
from storage.loading.stores_file import OpenedStores
from storage.model.errors import InvalidOperationError
from storage.model.operations import Key, Upsert
from storage.model.schema import TableName
from storage.tables.port import Atomicity
from storage.transactions.layout import transactional

_TOGETHER = 500


def open_foreign(url: str, table: str) -> ForeignTable:
    """Open a table that was made elsewhere.

    Args:
        url: `postgresql://...` or `sqlite:///file`.

    Raises:
        CountersignError: it cannot be read, or not be imported.
    """
    scheme = url.partition("://")[0]
    if scheme in ("postgresql", "postgres"):
        from storage.loading.foreign_postgresql import ForeignPostgresqlTable

        return ForeignPostgresqlTable(url, table)
    if scheme == "sqlite":
        from storage.loading.foreign_sqlite import ForeignSqliteTable

        return ForeignSqliteTable(url, table)
    raise InvalidOperationError("config.invalid", "tables are imported from postgresql:// or sqlite://")


def import_foreign(
    stores: OpenedStores,
    foreign: ForeignTable,
    name: TableName,
    *,
    clustering_key: tuple[str, ...] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Make a transactional table and copy every row into it; return how many there were.

    The rows have no transaction, so they count as committed. A copy that fails takes its table with it.

    Raises:
        InvalidOperationError: `table.exists`, `schema.not_importable`, or a value that no column here can hold.
    """
    stores.manager.world.coordinator.check_not_own(name)
    schema = schema_of(foreign, name, clustering_key)
    stores.manager.create_coordinator()
    stores.tables.create_table(transactional(schema))
    try:
        count = 0
        partition = len(schema.partition_key)
        together = _TOGETHER if stores.tables.capabilities.atomicity > Atomicity.PARTITION else 1
        rows = (row_of(foreign, row) for row in foreign.rows())
        while some := list(islice(rows, together)):
            batch = []
            for row in some:
                key = tuple(value for column in schema.key_columns if (value := row.pop(column)) is not None)
                batch.append(Upsert(table=name, key=Key(key[:partition], key[partition:]), values=row))
            stores.tables.apply(batch)
            count += len(batch)
            progress(len(batch))
    except BaseException:
        stores.tables.drop_table(name)
        raise
    return count
