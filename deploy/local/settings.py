"""What a local stack chose for itself when it was started: its stores' kind, its ports, its stores' passwords."""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from deploy.local.ports import free_port, is_free, require_free
from protocol.errors import CountersignError
from storage.record_stores import StoreKind
from streams.private_file import replace_private

STACK_FILE = "stack.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """The choices, as they stand in the stack's directory.

    Attributes:
        broker: addresses of a Kafka that is not the stack's own, "" where it is.
        ports: the loopback port of each listener.
        passwords: of each store.
        store: what the stores are made of.
        store_of: what the store of a namespace is made of that lies in another one.
    """

    broker: str
    ports: Mapping[str, int]
    passwords: Mapping[str, str]
    store: StoreKind = StoreKind.REDIS
    store_of: Mapping[str, StoreKind] = field(default_factory=dict)

    def services_of(self, store: str) -> dict[StoreKind | None, str]:
        """The services that make one store: under None its home, under a kind what is in another database."""
        services: dict[StoreKind | None, str] = {None: store}
        services.update((kind, f"{store}-{kind}") for kind in sorted(set(self.store_of.values())))
        return services

    def kind_of(self, service: str) -> StoreKind:
        """What a service of a store is made of."""
        for kind in set(self.store_of.values()):
            if service.endswith(f"-{kind}"):
                return kind
        return self.store

    @classmethod
    def load(cls, file: Path) -> Self | None:
        """The settings in a file, None if there is none.

        Raises:
            CountersignError: `config.invalid`.
        """
        try:
            settings = cls(**json.loads(file.read_text()))
            _require_types(settings)
            store_of = {namespace: StoreKind(kind) for namespace, kind in settings.store_of.items()}
            return replace(settings, store=StoreKind(settings.store), store_of=store_of)
        except FileNotFoundError:
            return None
        except (TypeError, ValueError) as error:
            raise CountersignError("config.invalid", f"{file}: {error}") from error

    @classmethod
    def choose(
        cls,
        *,
        broker: str,
        store: StoreKind | None,
        store_of: Mapping[str, StoreKind] | None = None,
        stores: Iterable[str],
        listeners: Iterable[str],
        fixed_ports: Mapping[str, int],
        before: Self | None,
    ) -> Self:
        """Choose ports that are free now, the earlier ones where they still are; passwords stay.

        Args:
            broker: addresses of a Kafka that is not the stack's own, "" where it is.
            store: what the stores are to be made of; None: what they are, or Redis.
            store_of: of which namespaces the store is made of something else; None: of those it is, or none.
            stores: the names of the stores, each of which gets a port and a password.
            listeners: what else gets a port.
            fixed_ports: ports that were asked for.
            before: the settings of an earlier start.

        Raises:
            CountersignError: `port.taken`, for one that was asked for; `config.invalid`, for another kind of store
                than the one that holds the data.
        """
        kind = store or (before.store if before else StoreKind.REDIS)
        if before is not None and before.store != kind:
            raise CountersignError("config.invalid", f"the stores here are of kind {before.store}, not {kind}")
        spread = store_of if store_of is not None else (before.store_of if before else {})
        if before is not None and before.store_of != spread:
            raise CountersignError("config.invalid", f"the namespaces here lie in {_said(before.store_of)}")
        described = cls(broker=broker, ports={}, passwords={}, store=kind, store_of=spread)
        stores = tuple(service for name in stores for service in described.services_of(name).values())
        old_ports = before.ports if before else {}
        old_passwords = before.passwords if before else {}
        ports = {name: require_free(port) for name, port in fixed_ports.items()}
        for name in (*stores, *listeners):
            if name not in ports:
                old = old_ports.get(name)
                usable = old is not None and old not in ports.values() and is_free(old)
                ports[name] = old if old is not None and usable else free_port(frozenset(ports.values()))
        passwords = {name: old_passwords.get(name) or secrets.token_hex(16) for name in stores}
        return replace(described, ports=ports, passwords=passwords)

    def save(self, file: Path) -> None:
        """Write them for this user only, whole or not at all."""
        replace_private(file, json.dumps(asdict(self), indent=2).encode())


def _require_types(settings: StackSettings) -> None:
    """Raises TypeError where a setting is of another type than it should be."""
    tables = ((settings.ports, int), (settings.passwords, str), (settings.store_of, str))
    if not isinstance(settings.broker, str):
        raise TypeError("broker is no text")
    for table, wanted in tables:
        if not isinstance(table, dict) or not all(type(value) is wanted for value in table.values()):
            raise TypeError(f"there should be a table with values of type {wanted.__name__}")


def _said(store_of: Mapping[str, StoreKind]) -> str:
    """Which namespaces lie in other databases, as one says it on the command line."""
    return ", ".join(f"{namespace}={kind}" for namespace, kind in store_of.items()) or "the one store"
