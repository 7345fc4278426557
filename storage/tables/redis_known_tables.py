"""The tables that this process has met in a store, as they were when it met them."""

from collections.abc import Iterable

from storage.model.errors import InvalidOperationError
from storage.model.operations import Get, Mutation
from storage.model.schema import TableName
from storage.tables.redis_catalogue import RedisCatalogue
from storage.tables.redis_table import CataloguedTable, RedisTable


class KnownTables:
    """Entries of the catalogue, each read once until somebody is told that it is of yesterday.

    Args:
        catalogue: of the store.
        prefix: what its keys begin with.
        buckets: into how many it is divided.
    """

    def __init__(self, catalogue: RedisCatalogue, prefix: bytes, buckets: int) -> None:
        self._catalogue = catalogue
        self._prefix = prefix
        self._buckets = buckets
        self._tables: dict[TableName, RedisTable] = {}

    def table(self, name: TableName) -> RedisTable:
        """The table of this name.

        Raises:
            InvalidOperationError: `table.unknown`.
        """
        table = self._tables.get(name)
        return table if table is not None else self.use(self._catalogue.entry(name))

    def has_all(self, operations: Iterable[Get | Mutation]) -> bool:
        """Whether the tables of these can be told without asking the server."""
        return {operation.table for operation in operations} <= self._tables.keys()

    def use(self, entry: CataloguedTable) -> RedisTable:
        """Work with this entry from now on."""
        table = self._tables[entry.schema.name] = RedisTable(entry, self._prefix, self._buckets)
        return table

    def forget(self, name: TableName) -> None:
        """Read the entry again when it is needed."""
        self._tables.pop(name, None)

    def renew(self, table: RedisTable, bucket: int) -> RedisTable:
        """Read a table's entry again, whose version a bucket does not have, and see that the bucket is not behind."""
        name = table.entry.schema.name
        try:
            table = self.use(self._catalogue.entry(name))
        except InvalidOperationError:
            self.forget(name)
            raise
        self._catalogue.upgrade(bucket, table.entry)
        return table
