"""What the core knows of stores and tables: which store holds a namespace, what it can do, how its tables lie."""

from collections.abc import Mapping

from storage.model.errors import InvalidOperationError
from storage.model.schema import TableName, TableSchema
from storage.tables.port import Capabilities
from storage.transactions.effects import Describe, Steps
from storage.transactions.layout import Layout, is_transactional, visible

_SEPARATOR = "."


class Catalogue:
    """Tables by name, looked up once.

    Args:
        stores: what each store can do, by its name.
        namespaces: the store of each namespace.
        default: the store of every other one; None: there is none.
    """

    def __init__(self, stores: Mapping[str, Capabilities], namespaces: Mapping[str, str], default: str | None) -> None:
        self.stores = stores
        self._namespaces = namespaces
        self._default = default
        self.known: dict[TableName | str, Layout] = {}

    def store_of(self, namespace: str) -> str:
        """The name of the store that holds a namespace.

        Raises:
            InvalidOperationError: `transaction.unrouted`.
        """
        store = self._namespaces.get(namespace, self._default)
        if store is None:
            raise InvalidOperationError("transaction.unrouted", namespace)
        return store

    def is_routed(self, namespace: str, store: str) -> bool:
        """Whether this is the store of a namespace."""
        return self._namespaces.get(namespace, self._default) == store

    def is_named(self, namespace: str) -> bool:
        """Whether the store of a namespace was said in so many words; what is not may be another service's."""
        return namespace in self._namespaces

    def layout(self, table: TableName | str) -> Steps[Layout]:
        """A table's layout; asks its store the first time.

        Raises:
            InvalidOperationError: `table.unknown`, `transaction.unrouted`, or `schema.mismatch`: it has not the
                columns of a transactional table.
        """
        known = self.known.get(table)
        if known is not None:
            return known
        name = table if isinstance(table, TableName) else parse_table(table)
        store = self.store_of(name.namespace)
        schema: TableSchema = yield Describe(store, name)
        if not is_transactional(schema):
            raise InvalidOperationError("schema.mismatch", f"{name} was not made or imported for transactions")
        layout = Layout(table=name, store=store, schema=visible(schema))
        self.known[name] = self.known[table] = layout
        return layout

    def forget(self) -> None:
        """Look every table up again, after one was altered."""
        self.known.clear()


def parse_table(text: str) -> TableName:
    """The name of a table written as `namespace.table`.

    Raises:
        InvalidOperationError: `table.unknown`.
    """
    namespace, separator, name = text.partition(_SEPARATOR)
    if not separator or not namespace or not name:
        raise InvalidOperationError("table.unknown", f"{text!r} is no namespace.table")
    return TableName(namespace, name)
