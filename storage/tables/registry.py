"""Which adapter serves a kind of store: those of this house, and those that installed packages bring.

An adapter is a function that takes settings, all of them strings, and opens a store; a package offers one under the
entry points `countersign.table_stores`, as the house does its own. These are listed here as well: nothing depends on
how it is installed, and no other package can take their names. A module is imported only when its kind is asked for.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points

from storage.model.errors import InvalidOperationError
from storage.tables.port import TableStore

ENTRY_POINTS = "countersign.table_stores"

OpenStore = Callable[[Mapping[str, str]], TableStore]
"""Opens a store; raises InvalidOperationError where a setting is wrong or missing."""

BUILT_IN: Mapping[str, str] = {
    "memory": "storage.tables.memory_tables:open_store",
    "redis": "storage.tables.redis_tables:open_store",
    "postgresql": "storage.tables.postgresql_tables:open_store",
    "sqlite": "storage.tables.sqlite_tables:open_store",
}
"""Kind -> module and function."""


def kinds() -> tuple[str, ...]:
    """Every kind of store there is an adapter for, in order."""
    return tuple(sorted(BUILT_IN.keys() | entry_points(group=ENTRY_POINTS).names))


def open_table_store(kind: str, settings: Mapping[str, str] | None = None) -> TableStore:
    """Open a store.

    Raises:
        InvalidOperationError: `store.unknown_kind`; or the adapter's.
    """
    return _adapter(kind)(settings or {})


def _adapter(kind: str) -> OpenStore:
    target = BUILT_IN.get(kind)
    if target is not None:
        module, _, function = target.partition(":")
        adapter: OpenStore = getattr(import_module(module), function)
        return adapter
    for entry_point in entry_points(group=ENTRY_POINTS, name=kind):
        try:
            loaded: OpenStore = entry_point.load()
        except Exception as error:  # whatever a module of others raises when it is imported
            what = f"the adapter {entry_point.value} cannot be loaded: {type(error).__name__}: {error}"
            raise InvalidOperationError("store.unknown_kind", f"{kind}: {what}") from error
        return loaded
    raise InvalidOperationError("store.unknown_kind", f"{kind}; known are {', '.join(kinds())}")
