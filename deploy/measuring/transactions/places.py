"""The real stores that are measured: started in a directory of their own, and stopped."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from deploy.local.ports import free_port
from deploy.local.postgresql import PostgresqlServer
from deploy.local.supervisor import Supervisor
from deploy.local.valkey import ValkeyServer


class MeasuredStore(StrEnum):
    """What is measured."""

    MEMORY = "memory"
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    VALKEY = "valkey"
    BOTH = "postgresql+valkey"

    @property
    def parts(self) -> tuple["MeasuredStore", ...]:
        """The stores it is made of; the first is the home of the coordinator."""
        return (MeasuredStore.POSTGRESQL, MeasuredStore.VALKEY) if self is MeasuredStore.BOTH else (self,)


KINDS: Mapping[MeasuredStore, tuple[str, str]] = {
    MeasuredStore.SQLITE: ("sqlite", "file"),
    MeasuredStore.POSTGRESQL: ("postgresql", "url"),
    MeasuredStore.VALKEY: ("redis", "url"),
}
"""The adapter of each, and the setting that says where the store is; memory has none."""


Addresses = Mapping[MeasuredStore, str]
"""A URL, or the name of a file; of memory, none."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the stores are, while they run.

    Attributes:
        addresses: of each.
    """

    addresses: Addresses
    _supervisor: Supervisor

    def cpu_s(self) -> dict[str, float]:
        """What each server has used, its children included."""
        pids = {name: self._supervisor.pid(name) for name in self._supervisor.names()}
        return {name: _family_cpu_s(pid) for name, pid in pids.items() if pid is not None}


def _family_cpu_s(pid: int) -> float:
    """CPU time of a server, of its children that run and of those that ended."""
    process = psutil.Process(pid)
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        times = member.cpu_times()
        total += times.user + times.system
    ended = process.cpu_times()
    return total + float(ended.children_user + ended.children_system)


@contextmanager
def opened_places(store: MeasuredStore, directory: Path) -> Iterator[Places]:
    """Start what the store needs; stop it at the end of the block.

    Raises:
        CountersignError: a server is not installed, or does not start.
    """
    supervisor = Supervisor(directory / "run")
    addresses: dict[MeasuredStore, str] = {}
    try:
        for part in store.parts:
            match part:
                case MeasuredStore.SQLITE:
                    addresses[part] = str(directory / "measured.db")
                case MeasuredStore.POSTGRESQL | MeasuredStore.VALKEY:
                    addresses[part] = _start(part, directory, supervisor)
        yield Places(addresses, supervisor)
    finally:
        supervisor.stop_all()


def _start(part: MeasuredStore, directory: Path, supervisor: Supervisor) -> str:
    kind = PostgresqlServer if part is MeasuredStore.POSTGRESQL else ValkeyServer
    server = kind(
        name=part.value,
        directory=directory / part.value,
        log_file=directory / f"{part.value}.log",
        port=free_port(),
        password=secrets.token_hex(16),
    )
    server.prepare()
    supervisor.start(server.service())
    return server.url
