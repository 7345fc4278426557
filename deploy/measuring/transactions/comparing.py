"""One comparison: the manager under load, then its twin by hand, on the same servers."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from deploy.measuring.circumstances import machine, measured_commit
from deploy.measuring.processes import per_request
from deploy.measuring.transactions.by_hand import by_hand
from deploy.measuring.transactions.loading import Side, Subject, load_from_processes, load_here
from deploy.measuring.transactions.managed import Counts, opened_manager
from deploy.measuring.transactions.places import Places, opened_places
from deploy.measuring.transactions.plan import Plan
from deploy.measuring.transactions.running import Done
from deploy.measuring.transactions.workloads import BALANCE, Workload


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
        opened = opened_manager(plan.store, places.addresses, isolation=plan.isolation, two_phase=plan.two_phase)
        with opened as managed:
            opening = bars.add_task("opening accounts", total=plan.accounts)
            for count in managed.fill(plan.workload, plan.accounts):
                bars.advance(opening, count)
            run, counts = _under_load(plan, "manager", managed, places, directory, bars)
            balanced = _is_balanced(plan, managed.total)
        twin = by_hand(plan.store, places.addresses, directory)
        try:
            twin.fill(plan.workload, plan.accounts)
            by_hand_run, _ = _under_load(plan, "by hand", twin, places, directory, bars)
            balanced = _is_balanced(plan, twin.total) and balanced
        finally:
            twin.close()
    ended = run.done.tasks + sum(run.done.errors.values())
    return Figures(
        managed=run,
        by_hand=by_hand_run,
        conflicts=counts.conflicts,
        retries=counts.attempts - ended,
        storage_calls=counts.storage_calls / max(1, run.done.tasks),
        is_balanced=balanced,
        by_hand_is_atomic=twin.is_atomic,
    )


def _under_load(
    plan: Plan, side: Side, subject: Subject, places: Places, directory: Path, bars: Progress
) -> tuple[Run, Counts]:
    """Warm up, measure; the CPU time per task of servers and clients."""
    loading = bars.add_task(f"{side}: warming up", total=None)
    before: dict[str, float] = {}

    def ready() -> None:
        bars.update(loading, description=f"{side}: measuring")
        before.update(places.cpu_s())

    advance = partial(bars.advance, loading)
    if plan.processes == 1:
        load = load_here(plan, subject, range(plan.threads), ready, advance)
    else:
        load = load_from_processes(plan, side, places.addresses, directory, ready, advance)
    after = {"client": load.client_cpu_s} | places.cpu_s()
    return Run(load.done, per_request({"client": 0.0} | before, after, load.done.tasks)), load.counts


def _is_balanced(plan: Plan, total: Callable[[], int]) -> bool:
    """Whether all the money is there, and no more."""
    return plan.workload is not Workload.TRANSFER or total() == plan.accounts * BALANCE
