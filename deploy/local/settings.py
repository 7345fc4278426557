"""What a local stack chose for itself when it was started: its stores' kind, its ports, its stores' passwords."""

import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from deploy.local.ports import free_port, is_free, require_free
from protocol.errors import CountersignError
from storage.record_stores import StoreKind

STACK_FILE = "stack.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """The choices, as they stand in the stack's directory.

    Attributes:
        broker: addresses of a Kafka that is not the stack's own, "" where it is.
        ports: the loopback port of each listener.
        passwords: of each store.
        store: what the stores are made of.
    """

    broker: str
    ports: Mapping[str, int]
    passwords: Mapping[str, str]
    store: StoreKind = StoreKind.REDIS

    @classmethod
    def load(cls, file: Path) -> Self | None:
        """The settings in a file, None if there is none.

        Raises:
            CountersignError: `config.invalid`.
        """
        try:
            settings = cls(**json.loads(file.read_text()))
            return replace(settings, store=StoreKind(settings.store))
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
        stores: Iterable[str],
        listeners: Iterable[str],
        fixed_ports: Mapping[str, int],
        before: Self | None,
    ) -> Self:
        """Choose ports that are free now, the earlier ones where they still are; passwords stay.

        Args:
            broker: addresses of a Kafka that is not the stack's own, "" where it is.
            store: what the stores are to be made of; None: what they are, or Redis.
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
        stores = tuple(stores)
        old_ports = before.ports if before else {}
        old_passwords = before.passwords if before else {}
        ports = {name: require_free(port) for name, port in fixed_ports.items()}
        for name in (*stores, *listeners):
            if name not in ports:
                old = old_ports.get(name)
                usable = old is not None and old not in ports.values() and is_free(old)
                ports[name] = old if old is not None and usable else free_port(frozenset(ports.values()))
        passwords = {name: old_passwords.get(name) or secrets.token_hex(16) for name in stores}
        return cls(broker=broker, ports=ports, passwords=passwords, store=kind)

    def save(self, file: Path) -> None:
        """Write them for this user only, whole or not at all."""
        unfinished = file.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            json.dump(asdict(self), opened, indent=2)
        unfinished.replace(file)
