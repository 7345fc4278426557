"""What a simulated world begins with: stores that can do more or less, tables, and their first rows."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from storage.model.operations import Insert, Mutation, Row
from storage.model.schema import TableName
from storage.tables.memory_tables import MemoryTables
from storage.tables.port import Atomicity
from storage.transactions.catalogue import Catalogue
from storage.transactions.coordinator import Coordinator, state_table
from storage.transactions.layout import COMMITTED, TX_ID, TX_STATE, TX_VERSION, transactional
from storage.transactions.record_reader import Counters, World
from storage.transactions.settings import Isolation, TransactionSettings
from streams.transaction_simulation.book import Book, item_of
from streams.transaction_simulation.history import Item
from streams.transaction_simulation.installs import BEGINNING_ID
from streams.transaction_simulation.programs import ACCOUNT_COUNT, OPENING_BALANCE
from streams.transaction_simulation.tables import ACCOUNTS, ITEMS, SCHEMAS, account, place

COORDINATOR = "coordinator"
"""The namespace of the coordinator's table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which stores there are, and what lies where.

    Attributes:
        units: the unit of atomicity of each store.
        namespaces: the store of each namespace.
        home: the store of the coordinator.
    """

    units: Mapping[str, Atomicity]
    namespaces: Mapping[str, str]
    home: str


LAYOUTS: dict[str, Layout] = {
    "one store": Layout(units={"a": Atomicity.STORE}, namespaces={"bank": "a", "shop": "a"}, home="a"),
    "two stores": Layout(
        units={"a": Atomicity.STORE, "b": Atomicity.STORE}, namespaces={"bank": "a", "shop": "b"}, home="a"
    ),
    "coordinator elsewhere": Layout(
        units={"a": Atomicity.STORE, "b": Atomicity.STORE, "c": Atomicity.STORE},
        namespaces={"bank": "a", "shop": "b"},
        home="c",
    ),
    "lesser stores": Layout(
        units={"a": Atomicity.RECORD, "b": Atomicity.PARTITION, "c": Atomicity.PARTITION},
        namespaces={"bank": "a", "shop": "b"},
        home="c",
    ),
    "tables alone": Layout(
        units={"a": Atomicity.TABLE, "b": Atomicity.NAMESPACE}, namespaces={"bank": "a", "shop": "b"}, home="b"
    ),
    "records alone": Layout(units={"a": Atomicity.RECORD}, namespaces={"bank": "a", "shop": "a"}, home="a"),
}
"""Every layout, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """The stores, and what was in them in the beginning.

    Attributes:
        stamps: of the first rows.
        imported: whether the first rows were there before there were transactions.
    """

    layout: Layout
    stores: Mapping[str, MemoryTables]
    stamps: Mapping[Item, str]
    imported: bool

    def manager(self, settings: TransactionSettings) -> World:
        """What one process's transactions share."""
        can = {name: store.capabilities for name, store in self.stores.items()}
        return World(
            catalogue=Catalogue(can, {**self.layout.namespaces, COORDINATOR: self.layout.home}, None),
            coordinator=Coordinator(COORDINATOR, self.layout.home, can),
            settings=settings,
            counters=Counters(),
        )


def found(layout: Layout, rng: random.Random, book: Book) -> Founding:
    """Make the stores and their tables, with open accounts and half-filled shelves."""
    page_rows = rng.choice((1, 2, 256))
    stores = {name: MemoryTables(name, unit=unit, page_rows=page_rows) for name, unit in layout.units.items()}
    for schema in SCHEMAS.values():
        stores[layout.namespaces[schema.name.namespace]].create_table(transactional(schema))
    can = {name: store.capabilities for name, store in stores.items()}
    coordinator = Coordinator(COORDINATOR, layout.home, can)
    for name in coordinator.places:
        stores[name].create_table(state_table(COORDINATOR))
        for row in coordinator.horizons():
            stores[name].apply((row,))
    imported = rng.random() < 0.5
    stamps: dict[Item, str] = {}
    for mutation in _first_rows(rng):
        stamp = f"beginning.{len(stamps)}"
        values = {**mutation.values, "stamp": stamp}
        item = item_of(mutation.table, mutation.key)
        stamps[item], book.contents[stamp], book.keys[item] = stamp, values, mutation.key
        stores[layout.namespaces[mutation.table.namespace]].apply((_stored(mutation, values, imported),))
    return Founding(layout=layout, stores=stores, stamps=stamps, imported=imported)


def _first_rows(rng: random.Random) -> list[Insert]:
    rows = [
        Insert(table=ACCOUNTS.name, key=account(number), values={"balance": OPENING_BALANCE})
        for number in range(ACCOUNT_COUNT)
    ]
    for number in range(rng.randint(0, 3)):
        values: Row = {"colour": rng.choice(("red", "green")), "weight": rng.randint(1, 9)}
        rows.append(Insert(table=ITEMS.name, key=place("left", number), values=values))
    return rows


def _stored(mutation: Insert, values: Row, imported: bool) -> Mutation:
    """The row as an import leaves it, or as a transaction of the beginning."""
    hidden: Row = {} if imported else {TX_ID: BEGINNING_ID, TX_STATE: COMMITTED, TX_VERSION: 1}
    return Insert(table=mutation.table, key=mutation.key, values={**values, **hidden})


def settings_of(rng: random.Random, isolation: Isolation) -> TransactionSettings:
    """Times of a manager, short enough for everything to happen within one run."""
    return TransactionSettings(
        isolation=isolation,
        lease_ms=rng.choice((20, 200, 1_000)),
        read_wait_ms=rng.choice((30, 300, 3_000)),
        retention_ms=rng.choice((1_000, 5_000, 60_000)),
        one_phase=rng.random() < 0.6,
        unknown_wait_ms=rng.choice((0, 500, 3_000)),
        scan_rows=rng.choice((1, 2, 500)),
    )


def coordinator_table() -> TableName:
    """The coordinator's table, in every store that has one."""
    return state_table(COORDINATOR).name
