"""Which stores there are, and which namespaces are in them: a configuration file, or one URL.

    home = "bank"                            # the store with the coordinator's table
    default_store = "bank"                   # may be left out if every namespace is named, or there is one store

    [stores.bank]
    kind = "postgresql"
    url = "postgresql://..."

    [stores.cache]
    kind = "redis"
    url = "redis://..."

    [namespaces]
    orders = "cache"

JSON has the same structure.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from storage.loading.schema_file import parse_document
from storage.model.errors import InvalidOperationError
from storage.tables.port import TableStore
from storage.tables.registry import open_table_store
from storage.tables.store_settings import settings_of
from storage.transactions.stores import RoutedStores
from storage.transactions.transaction_manager import TransactionManager

_ONLY = "store"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoresConfiguration:
    """Stores by name, and what is where.

    Attributes:
        stores: name -> settings, `kind` among them.
        home: the store with the coordinator's table.
        namespaces: namespace -> store.
        default_store: of every other namespace; None: there is none.
    """

    stores: Mapping[str, Mapping[str, str]]
    home: str
    namespaces: Mapping[str, str] = field(default_factory=dict)
    default_store: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedStores:
    """Open stores: for tables and single operations, and for transactions."""

    tables: RoutedStores
    manager: TransactionManager


def read_stores_file(content: bytes) -> StoresConfiguration:
    """The configuration of a file.

    Raises:
        InvalidOperationError: `config.invalid`, `schema.file_invalid`.
    """
    document = parse_document(content)
    unknown = sorted(document.keys() - {"home", "default_store", "stores", "namespaces"})
    if unknown:
        raise _wrong(f"{', '.join(unknown)}: not known")
    stores = document.get("stores")
    if not isinstance(stores, dict) or not stores:
        raise _wrong("it has no stores")
    read = {name: _texts(f"stores.{name}", settings) for name, settings in stores.items()}
    for name, settings in read.items():
        if "kind" not in settings:
            raise _wrong(f"stores.{name} has no kind")
    only = next(iter(read)) if len(read) == 1 else None
    default = document.get("default_store", only)
    home = document.get("home", default)
    namespaces = _texts("namespaces", document.get("namespaces", {}))
    if home is None:
        raise _wrong("it does not say which store is the home")
    for named in (home, *namespaces.values(), *((default,) if default is not None else ())):
        if not isinstance(named, str) or named not in read:
            raise _wrong(f"there is no store {named!r}")
    return StoresConfiguration(stores=read, home=home, namespaces=namespaces, default_store=default)


def one_store(url: str) -> StoresConfiguration:
    """One store for everything.

    Args:
        url: as `settings_of`.

    Raises:
        InvalidOperationError: `config.invalid`.
        CountersignError: `config.invalid`, of a `sqlite` URL.
    """
    kind, settings = settings_of(url)
    return StoresConfiguration(stores={_ONLY: {"kind": kind, **settings}}, home=_ONLY, default_store=_ONLY)


@contextmanager
def opened_stores(configuration: StoresConfiguration) -> Iterator[OpenedStores]:
    """Open every store; close them at the end of the block.

    Raises:
        CountersignError: one cannot be opened, or a setting is wrong.
    """
    with ExitStack() as closing:
        stores: dict[str, TableStore] = {}
        for name, settings in configuration.stores.items():
            own = {setting: value for setting, value in settings.items() if setting != "kind"}
            stores[name] = open_table_store(settings["kind"], own)
            closing.callback(stores[name].close)
        manager = TransactionManager(
            stores,
            home=configuration.home,
            namespaces=configuration.namespaces,
            default_store=configuration.default_store,
        )
        closing.callback(manager.close)
        routed = RoutedStores(stores, configuration.namespaces, configuration.default_store)
        yield OpenedStores(routed, manager)


def _texts(what: str, found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _wrong(f"{what} is a table of texts")
    return found


def _wrong(detail: str) -> InvalidOperationError:
    return InvalidOperationError("config.invalid", detail)
