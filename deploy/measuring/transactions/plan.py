"""What one comparison is to measure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from deploy.measuring.transactions.places import MeasuredStore
from deploy.measuring.transactions.workloads import Task, Workload, tasks
from storage.transactions.settings import Isolation


class Driver(StrEnum):
    """What drives the manager's concurrent transactions; those by hand are always driven by threads."""

    THREADS = "threads"
    TASKS = "tasks"
    """Coroutines of one event loop in each process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured.

    Attributes:
        threads: transactions at a time, shared among `processes` client processes; where the driver is tasks, so many
            coroutines.
    """

    store: MeasuredStore
    workload: Workload
    threads: int
    processes: int
    driver: Driver
    seconds: float
    warmup_seconds: float
    accounts: int
    hot: bool
    two_phase: bool
    isolation: Isolation

    def tasks(self, number: int) -> Iterator[Task]:
        """The tasks of a thread."""
        parts = len(self.store.parts)
        return tasks(self.workload, self.accounts, hot=self.hot, parts=parts, seed=number)


def usual_processes(store: MeasuredStore, *, threads: int, hot: bool, cores: int) -> int:
    """Client processes where nobody says how many: one for each core.

    One alone for a database that is a part of its client's process, and where all meet at one record: the queue
    before a hot record is a process's own.
    """
    if hot or store in (MeasuredStore.MEMORY, MeasuredStore.SQLITE):
        return 1
    return max(1, min(cores, threads))


def usual_driver(store: MeasuredStore, *, hot: bool) -> Driver:
    """The driver where nobody says which: tasks where a store can be awaited, as they take less CPU time.

    At one hot record all wait for one another, whoever drives them, and threads are woken sooner.
    """
    return Driver.TASKS if store is MeasuredStore.VALKEY and not hot else Driver.THREADS
