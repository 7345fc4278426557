"""Several stores as one, by namespace: for tables and single operations, without transactions."""

from collections.abc import Iterator, Mapping, Sequence

from storage.model.errors import InvalidOperationError
from storage.model.operations import AnyScan, Get, Mutation, Row
from storage.model.schema import Alteration, TableName, TableSchema
from storage.tables.port import Atomicity, Capabilities, Durability, TableStore
from storage.transactions.catalogue import Catalogue

_DURABILITIES = (Durability.NONE, Durability.PROCESS, Durability.DISK)


class RoutedStores:
    """A `TableStore` that gives each operation to the store of its namespace.

    Args:
        stores: by name.
        namespaces: the store of each namespace.
        default_store: of every other one; None: there is none.
    """

    def __init__(
        self, stores: Mapping[str, TableStore], namespaces: Mapping[str, str], default_store: str | None = None
    ) -> None:
        self._stores = dict(stores)
        self._catalogue = Catalogue({}, namespaces, default_store)

    @property
    def name(self) -> str:
        """The names of all stores."""
        return " + ".join(store.name for store in self._stores.values())

    @property
    def capabilities(self) -> Capabilities:
        """What all stores can do; never atomic beyond a namespace."""
        each = [store.capabilities for store in self._stores.values()]
        bounds = [can.batch_mutations_max for can in each if can.batch_mutations_max is not None]
        return Capabilities(
            atomicity=min(Atomicity.NAMESPACE, *(can.atomicity for can in each)),
            batch_mutations_max=min(bounds) if bounds else None,
            durability=min((can.durability for can in each), key=_DURABILITIES.index),
            checks_absence=all(can.checks_absence for can in each),
            reads_at_one_moment=all(can.reads_at_one_moment for can in each),
        )

    def create_table(self, schema: TableSchema) -> None:
        """Create a table in the store of its namespace."""
        self._store(schema.name).create_table(schema)

    def alter_table(self, table: TableName, alteration: Alteration) -> TableSchema:
        """Change a table."""
        return self._store(table).alter_table(table, alteration)

    def drop_table(self, table: TableName) -> None:
        """Drop a table."""
        self._store(table).drop_table(table)

    def tables(self) -> tuple[TableName, ...]:
        """The tables of each store that are of its own namespaces."""
        found = set()
        for store in self._stores.values():
            found |= {table for table in store.tables() if self._is_routed(table, store)}
        return tuple(sorted(found))

    def schema(self, table: TableName) -> TableSchema:
        """A table's schema."""
        return self._store(table).schema(table)

    def get(self, get: Get) -> Row | None:
        """Return one row, or None where there is none."""
        return self._store(get.table).get(get)

    def get_many(self, gets: Sequence[Get]) -> list[Row | None]:
        """Return rows, in the order asked for, in one round trip to each store."""
        places: dict[int, tuple[TableStore, list[int]]] = {}
        for number, get in enumerate(gets):
            store = self._store(get.table)
            places.setdefault(id(store), (store, []))[1].append(number)
        rows: list[Row | None] = [None] * len(gets)
        for store, numbers in places.values():
            for number, row in zip(numbers, store.get_many([gets[number] for number in numbers]), strict=True):
                rows[number] = row
        return rows

    def scan(self, scan: AnyScan) -> Iterator[Row]:
        """Give rows of one table."""
        return self._store(scan.table).scan(scan)

    def apply(self, batch: Sequence[Mutation]) -> None:
        """Do all of it, or nothing; it must be of one store.

        Raises:
            InvalidOperationError: `batch.beyond_unit`: it is of several; `batch.empty`.
        """
        if not batch:
            raise InvalidOperationError("batch.empty")
        stores = {id(store): store for store in (self._store(mutation.table) for mutation in batch)}
        if len(stores) > 1:
            raise InvalidOperationError("batch.beyond_unit", "its tables are in several stores")
        next(iter(stores.values())).apply(batch)

    def close(self) -> None:
        """Close every store."""
        for store in self._stores.values():
            store.close()

    def _store(self, table: TableName) -> TableStore:
        return self._stores[self._catalogue.store_of(table.namespace)]

    def _is_routed(self, table: TableName, store: TableStore) -> bool:
        try:
            return self._store(table) is store
        except InvalidOperationError:
            return False
