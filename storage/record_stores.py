"""Opens a party's store by the scheme of its URL; an adapter's packages are loaded only where it is used."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlsplit

from protocol.errors import CountersignError
from protocol.records import Record, RecordKey
from storage.ports import RecordStore


class StoreKind(StrEnum):
    """What a party's store can be made of."""

    REDIS = "redis"
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


_KINDS = {
    "redis": StoreKind.REDIS,
    "rediss": StoreKind.REDIS,
    "unix": StoreKind.REDIS,
    "sqlite": StoreKind.SQLITE,
    "postgresql": StoreKind.POSTGRESQL,
    "postgres": StoreKind.POSTGRESQL,
}


class RealStore(RecordStore, Protocol):
    """A store that whoever owns its server or file can alter."""

    def overwrite(self, key: RecordKey, record: Record) -> None:
        """Put another current version in place, unchecked; for demonstrations and tests of what then happens."""
        ...


def kind_of(url: str) -> StoreKind:
    """What the store at a URL is made of.

    Raises:
        CountersignError: `config.invalid`.
    """
    kind = _KINDS.get(urlsplit(url).scheme)
    if kind is None:
        schemes = ", ".join(f"{scheme}://" for scheme in _KINDS)
        raise CountersignError("config.invalid", f"the store's address begins with none of {schemes}")
    return kind


def open_record_store(url: str, namespaces: Mapping[str, str] | None = None) -> RealStore:
    """The store at a URL.

    Args:
        namespaces: the URL of the database of each namespace that lies in another one.

    Raises:
        CountersignError: `config.invalid`.
        StoreUnavailableError: it does not answer.
        UnsafeDurabilityError: it may lose what it acknowledges.
    """
    if namespaces:
        for each in (url, *namespaces.values()):
            kind_of(each)
        from storage.spread_store import open_spread_store

        return open_spread_store(url, namespaces)
    match kind_of(url):
        case StoreKind.REDIS:
            from storage.redis_store import RedisStore

            return RedisStore(url)
        case StoreKind.SQLITE:
            from storage.sqlite_store import SqliteStore

            return SqliteStore(url)
        case StoreKind.POSTGRESQL:
            from storage.postgresql_store import PostgresqlStore

            return PostgresqlStore(url)
