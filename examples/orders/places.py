"""Where everything lies: a database for each service, and one for the coordinator that both share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.model.data_types import DataType
from storage.model.schema import ClusteringColumn, TableName, TableSchema
from storage.tables.registry import open_table_store
from storage.transactions.settings import TransactionSettings
from storage.transactions.transaction_manager import TransactionManager

CUSTOMERS = TableName("customer", "customers")
ITEMS = TableName("order", "items")
ORDERS = TableName("order", "orders")
STATEMENTS = TableName("order", "statements")

_INT, _TEXT = DataType.INT, DataType.TEXT
_OF_SERVICE = {
    "customers": (
        TableSchema(
            name=CUSTOMERS,
            columns={"customer": _INT, "name": _TEXT, "credit_limit": _INT, "credit_total": _INT},
            partition_key=("customer",),
        ),
    ),
    "orders": (
        TableSchema(name=ITEMS, columns={"item": _INT, "name": _TEXT, "price": _INT}, partition_key=("item",)),
        TableSchema(
            name=ORDERS,
            columns={"customer": _INT, "at": DataType.TIMESTAMPTZ, "order": _TEXT},
            partition_key=("customer",),
            clustering_key=(ClusteringColumn("at"),),
            indexes=("order",),
        ),
        TableSchema(
            name=STATEMENTS,
            columns={"order": _TEXT, "item": _INT, "count": _INT},
            partition_key=("order",),
            clustering_key=(ClusteringColumn("item"),),
        ),
    ),
}
_LEASE_MS = 1000
"""After a service was killed, whoever meets what it had prepared waits for this long."""


@contextmanager
def manager_of(directory: Path, service: str | None = None) -> Iterator[TransactionManager]:
    """The manager of a service over its own database and the coordinator's; of the shop: over the latter alone."""
    files = {"coordinator": directory / "coordinator.db"}
    if service is not None:
        files[service] = directory / f"{service}.db"
    stores = {name: open_table_store("sqlite", {"file": str(file)}) for name, file in files.items()}
    settings = TransactionSettings(lease_ms=_LEASE_MS)
    manager = TransactionManager(
        stores,
        home="coordinator",
        namespaces={"coordinator": "coordinator"},
        default_store=service or "coordinator",
        settings=settings,
    )
    try:
        manager.create_coordinator()
        for schema in _OF_SERVICE.get(service or "", ()):
            if schema.name not in stores[service or ""].tables():
                manager.create_table(schema)
        yield manager
    finally:
        manager.close()
        for store in stores.values():
            store.close()
