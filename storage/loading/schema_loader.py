"""Makes the stores have the tables of a schema file.

Each of these may be called again after it was interrupted: what is done already is left alone. While a table is
altered or dropped, no transaction should be at work in it. The coordinator's table is refused, before anything is done.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from storage.loading.schema_changes import changes, repairs, shown, stored_schema
from storage.loading.schema_file import WantedTable
from storage.loading.stores_file import OpenedStores
from storage.model.errors import InvalidOperationError
from storage.model.operations import Key, ScanAll
from storage.model.predicates import Comparison, Operator
from storage.model.schema import AddIndex, Alteration, DropColumn, RenameColumn, TableName
from storage.transactions.layout import COMMITTED, TX_STATE, is_transactional
from storage.transactions.transaction_manager import Transaction


@dataclass(frozen=True, slots=True)
class TableChange:
    """What was done to a table.

    Attributes:
        what: `created`, `altered`, `dropped`, `imported`, or `as it was`.
        alterations: how many there were.
    """

    table: TableName
    what: str
    alterations: int = 0


AS_IT_WAS = "as it was"

_PREPARED = Comparison(TX_STATE, Operator.NE, COMMITTED)
"""Not of rows that were imported, whose state is null."""


class SchemaLoader:
    """Works on open stores."""

    def __init__(self, stores: OpenedStores) -> None:
        self._tables = stores.tables
        self._manager = stores.manager

    def create(self, wanted: Iterable[WantedTable], *, if_absent: bool = False) -> list[TableChange]:
        """Create tables, and the coordinator's if one of them is transactional.

        Args:
            if_absent: leave those alone that are there; one with another schema is an error all the same.

        Raises:
            InvalidOperationError: `table.exists`, before anything is created; `schema.mismatch`.
        """
        listed = self._users(wanted)
        present = self._present()
        for table in listed:
            if table.schema.name not in present:
                continue
            if not if_absent:
                raise InvalidOperationError("table.exists", str(table.schema.name))
            if self._tables.schema(table.schema.name) != stored_schema(table):
                raise InvalidOperationError("schema.mismatch", str(table.schema.name))
        self._coordinate(listed)
        done = []
        for table in listed:
            name = table.schema.name
            if name in present:
                done.append(TableChange(name, AS_IT_WAS))
                continue
            self._tables.create_table(stored_schema(table))
            done.append(TableChange(name, "created"))
        return done

    def alter(self, wanted: Iterable[WantedTable], *, drops: bool = False) -> list[TableChange]:
        """Make tables as the file has them; those that are not there are created.

        Raises:
            InvalidOperationError: `schema.not_alterable`, `schema.would_drop`: before anything is changed.
        """
        listed = self._users(wanted)
        present = self._present()
        planned = {
            table.schema.name: changes(self._tables.schema(table.schema.name), table, drops=drops)
            for table in listed
            if table.schema.name in present
        }
        self._coordinate(listed)
        return [self._change(table, planned.get(table.schema.name), "altered") for table in listed]

    def repair(self, wanted: Iterable[WantedTable]) -> list[TableChange]:
        """Add what is missing: tables, columns, indexes, the coordinator's rows. Nothing goes.

        Raises:
            InvalidOperationError: `schema.not_alterable`, before anything is changed.
        """
        listed = self._users(wanted)
        present = self._present()
        planned = {
            table.schema.name: repairs(self._tables.schema(table.schema.name), table)
            for table in listed
            if table.schema.name in present
        }
        self._coordinate(listed)
        return [self._change(table, planned.get(table.schema.name), "repaired") for table in listed]

    def drop(self, tables: Iterable[TableName]) -> list[TableChange]:
        """Drop tables with all their rows; the coordinator's stays."""
        listed = list(tables)
        for table in listed:
            self._manager.world.coordinator.check_not_own(table)
        present = self._present()
        done = []
        for table in listed:
            if table in present:
                self._tables.drop_table(table)
            done.append(TableChange(table, "dropped" if table in present else AS_IT_WAS))
        self._manager.world.catalogue.forget()
        return done

    def show(self) -> list[WantedTable]:
        """Every table there is, but the coordinator's."""
        own = self._manager.world.coordinator.table.namespace
        return [shown(self._tables.schema(table)) for table in self._tables.tables() if table.namespace != own]

    def make_transactional(self, table: TableName) -> TableChange:
        """Give a table of the stores the transaction manager's columns; its rows count as committed."""
        self._manager.world.coordinator.check_not_own(table)
        if is_transactional(self._tables.schema(table)):
            return TableChange(table, AS_IT_WAS)
        self._manager.create_coordinator()
        self._manager.import_table(table)
        return TableChange(table, "imported")

    def _change(self, table: WantedTable, alterations: tuple[Alteration, ...] | None, word: str) -> TableChange:
        name = table.schema.name
        if alterations is None:
            self._tables.create_table(stored_schema(table))
            return TableChange(name, "created")
        if table.transactional and any(isinstance(each, AddIndex | RenameColumn | DropColumn) for each in alterations):
            self._settle(table.schema.name)
        for alteration in alterations:
            self._tables.alter_table(name, alteration)
        self._manager.world.catalogue.forget()
        return TableChange(name, word if alterations else AS_IT_WAS, len(alterations))

    def _settle(self, table: TableName) -> None:
        """Finish what crashed clients left prepared: a before-image knows columns by their present names."""
        stored = self._tables.schema(table)
        if not is_transactional(stored):
            return
        for row in self._tables.scan(ScanAll(table=table, where=_PREPARED)):
            values = [row[name] for name in stored.key_columns]
            key = tuple(value for value in values if value is not None)
            count = len(stored.partition_key)
            self._manager.run(partial(_read, table, Key(key[:count], key[count:])), read_only=True)

    def _users(self, wanted: Iterable[WantedTable]) -> list[WantedTable]:
        """What is wanted, if all of it is the user's to change; refused before anything is done."""
        listed = list(wanted)
        for table in listed:
            self._manager.world.coordinator.check_not_own(table.schema.name)
        return listed

    def _present(self) -> frozenset[TableName]:
        return frozenset(self._tables.tables())

    def _coordinate(self, wanted: Iterable[WantedTable]) -> None:
        if any(table.transactional for table in wanted):
            self._manager.create_coordinator()


def _read(table: TableName, key: Key, transaction: Transaction) -> None:
    """A read settles what it meets."""
    transaction.get(table, key)
