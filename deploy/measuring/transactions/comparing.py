"""One comparison: the manager under load, then its twin by hand, on the same servers."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from deploy.measuring.circumstances import machine, measured_commit
from deploy.measuring.processes import per_request
from deploy.measuring.transactions.by_hand import by_hand
from deploy.measuring.transactions.managed import Managed, opened_manager
from deploy.measuring.transactions.places import MeasuredStore, Places, opened_places
from deploy.measuring.transactions.running import Done, Work, run_threads
from deploy.measuring.transactions.workloads import BALANCE, Task, Workload, tasks
from storage.transactions.settings import Isolation

_WARM_SEED = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured."""

    store: MeasuredStore
    workload: Workload
    threads: int
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


@dataclass(frozen=True, slots=True)
class Run:
    """What came of the load, and the CPU time of each process per task, in microseconds."""

    done: Done
    cpu_us: dict[str, float]

    def cpu_cells(self) -> tuple[float, float]:
        """The client's, and that of all servers."""
        client = self.cpu_us.get("client", 0.0)
        return client, round(sum(self.cpu_us.values()) - client, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured.

    Attributes:
        conflicts, retries: of the measured time, not of the warming up.
        storage_calls: per transaction that was done.
        is_balanced: no money was lost or made, by either.
        by_hand_is_atomic: whether a crash leaves the twin's transactions whole.
    """

    managed: Run
    by_hand: Run
    conflicts: int
    retries: int
    storage_calls: float
    is_balanced: bool
    by_hand_is_atomic: bool

    def mapping(self, plan: Plan) -> dict[str, Any]:
        """For programs."""
        managed, twin = self.managed.done, self.by_hand.done
        return {
            "plan": asdict(plan),
            "transactions_per_second": managed.per_second,
            "latency_ms": managed.latency(),
            "conflicts": self.conflicts,
            "retries": self.retries,
            "errors": dict(managed.errors),
            "storage_calls_per_transaction": round(self.storage_calls, 3),
            "cpu_us_per_transaction": self.managed.cpu_us,
            "by_hand_per_second": twin.per_second,
            "by_hand_latency_ms": twin.latency(),
            "by_hand_cpu_us_per_transaction": self.by_hand.cpu_us,
            "by_hand_is_atomic": self.by_hand_is_atomic,
            "share_of_by_hand": round(managed.per_second / max(twin.per_second, 1e-9), 3),
            "is_balanced": self.is_balanced,
            "transactions": managed.tasks,
            "seconds": round(managed.seconds, 2),
            "commit": measured_commit(),
            "machine": machine(),
        }


def compare(plan: Plan, directory: Path, bars: Progress) -> Figures:
    """Measure both, one after the other.

    Raises:
        CountersignError: a server does not start, or the records could not be made.
    """
    with opened_places(plan.store, directory) as places:
        manager = opened_manager(plan.store, places, isolation=plan.isolation, two_phase=plan.two_phase)
        with manager as managed:
            opening = bars.add_task("opening accounts", total=plan.accounts)
            for count in managed.fill(plan.workload, plan.accounts):
                bars.advance(opening, count)
            measured = _managed(plan, managed, places, bars)
            balanced = _is_balanced(plan, managed.total)
        twin = by_hand(plan.store, places, directory)
        try:
            twin.fill(plan.workload, plan.accounts)
            by_hand_run = _under_load(plan, twin.work, places, bars, "by hand", lambda: None)
            balanced = _is_balanced(plan, twin.total) and balanced
        finally:
            twin.close()
    run, conflicts, retries, calls = measured
    return Figures(
        managed=run,
        by_hand=by_hand_run,
        conflicts=conflicts,
        retries=retries,
        storage_calls=calls,
        is_balanced=balanced,
        by_hand_is_atomic=twin.is_atomic,
    )


def _managed(plan: Plan, managed: Managed, places: Places, bars: Progress) -> tuple[Run, int, int, float]:
    """The run, and conflicts, retries and storage calls of the measured time."""
    before: dict[str, float] = {}

    def note() -> None:
        before.update(managed.manager.metrics())
        managed.attempts = 0

    run = _under_load(plan, managed.work, places, bars, "manager", note)
    after = managed.manager.metrics()
    ended = run.done.tasks + sum(run.done.errors.values())
    conflicts = int(after["conflicts"] - before["conflicts"])
    calls = (after["storage_calls"] - before["storage_calls"]) / max(1, run.done.tasks)
    return run, conflicts, managed.attempts - ended, calls


def _under_load(
    plan: Plan,
    make_work: Callable[[], Work],
    places: Places,
    bars: Progress,
    name: str,
    note: Callable[[], None],
) -> Run:
    """Warm up, note where the counters stand, measure."""
    warming = bars.add_task(f"{name}: warming up", total=None)
    advance = partial(bars.advance, warming)
    if plan.warmup_seconds:
        run_threads(make_work, lambda n: plan.tasks(n + _WARM_SEED), plan.threads, plan.warmup_seconds, advance)
    loading = bars.add_task(f"{name}: measuring", total=None)
    note()
    before = places.cpu_s()
    done = run_threads(make_work, plan.tasks, plan.threads, plan.seconds, partial(bars.advance, loading))
    return Run(done, per_request(before, places.cpu_s(), done.tasks))


def _is_balanced(plan: Plan, total: Callable[[], int]) -> bool:
    """Whether all the money is there, and no more."""
    return plan.workload is not Workload.TRANSFER or total() == plan.accounts * BALANCE
