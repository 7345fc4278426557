"""The load on one subject, the manager or its twin by hand: from threads of this process, or of several.

Python runs one thread of a process at a time, so a service that wants both of two cores is deployed as two processes;
so is the load, and by hand in the same way.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Literal, Protocol

from deploy.measuring.transactions.by_hand import by_hand
from deploy.measuring.transactions.managed import Counts, Managed, opened_manager
from deploy.measuring.transactions.places import Addresses
from deploy.measuring.transactions.plan import Driver, Plan
from deploy.measuring.transactions.running import Done, Work, run_threads, together
from deploy.measuring.transactions.running_tasks import run_coroutines
from deploy.measuring.transactions.workloads import Task
from protocol.errors import CountersignError
from streams.garbage_collection import collect_rarely

Side = Literal["manager", "by hand"]

_WARM_SEED = 1_000_000


class Subject(Protocol):
    """What is put under load."""

    def work(self) -> Work:
        """What does the tasks of one thread; called by that thread."""
        ...

    def counts(self) -> Counts:
        """What happened so far."""
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load.

    Attributes:
        client_cpu_s: of all client processes, in the measured time, like the counts.
    """

    done: Done
    client_cpu_s: float
    counts: Counts


def load_here(
    plan: Plan, subject: Subject, numbers: Sequence[int], ready: Callable[[], None], advance: Callable[[int], None]
) -> Load:
    """Warm up, say that all is ready, measure: a thread, or a coroutine, of this process for each number."""
    if plan.warmup_seconds:
        _do(plan, subject, [number + _WARM_SEED for number in numbers], plan.warmup_seconds, lambda _: None)
    ready()
    before, cpu_s = subject.counts(), time.process_time()
    done = _do(plan, subject, numbers, plan.seconds, advance)
    return Load(done, time.process_time() - cpu_s, subject.counts().since(before))


def _do(plan: Plan, subject: Subject, numbers: Sequence[int], seconds: float, advance: Callable[[int], None]) -> Done:
    def tasks(place: int) -> Iterator[Task]:
        return plan.tasks(numbers[place])

    if plan.driver is Driver.TASKS and isinstance(subject, Managed):
        return run_coroutines(subject.opened_task_work, tasks, len(numbers), seconds, advance)
    return run_threads(subject.work, tasks, len(numbers), seconds, advance)


def load_from_processes(
    plan: Plan,
    side: Side,
    addresses: Addresses,
    directory: Path,
    ready: Callable[[], None],
    advance: Callable[[int], None],
) -> Load:
    """The same from as many processes as the plan says, which share its threads.

    Raises:
        CountersignError: `service.failed`, one of them ended early.
    """
    context = get_context("spawn")
    ends: list[Connection] = []
    children = []
    for process in range(plan.processes):
        end, theirs = context.Pipe()
        numbers = range(process, plan.threads, plan.processes)
        arguments = (plan, side, addresses, directory, numbers, theirs)
        child = context.Process(target=_client, args=arguments, daemon=True)
        with _deaf():
            child.start()
        theirs.close()
        ends.append(end)
        children.append(child)
    try:
        for end in ends:
            _heard(end)  # it is warm
        ready()
        for end in ends:
            end.send(None)
        return _gather(ends, advance)
    finally:
        for child in children:
            child.join(timeout=10)
            child.kill()


@contextmanager
def _deaf() -> Iterator[None]:
    """What is started meanwhile does not hear Ctrl-C, which a terminal sends to all: it is for us to end it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _client(plan: Plan, side: Side, addresses: Addresses, directory: Path, numbers: range, parent: Connection) -> None:
    """One client process: warm up, wait for all to be, measure, tell."""
    collect_rarely()

    def ready() -> None:
        parent.send(0)
        parent.recv()

    if side == "manager":
        opened = opened_manager(plan.store, addresses, isolation=plan.isolation, two_phase=plan.two_phase)
        with opened as managed:
            parent.send(load_here(plan, managed, numbers, ready, parent.send))
        return
    twin = by_hand(plan.store, addresses, directory)
    try:
        parent.send(load_here(plan, twin, numbers, ready, parent.send))
    finally:
        twin.close()


def _heard(end: Connection) -> int | Load:
    try:
        heard: int | Load = end.recv()
    except EOFError as error:
        raise CountersignError("service.failed", "a client process ended early; what it said is above") from error
    return heard


def _gather(ends: Sequence[Connection], advance: Callable[[int], None]) -> Load:
    """Wait for what each process tells in the end; before that it tells how many more were done."""
    waiting, loads = list(ends), []
    while waiting:
        for end in wait(waiting):
            assert isinstance(end, Connection), "only pipes are waited for"
            heard = _heard(end)
            if isinstance(heard, Load):
                loads.append(heard)
                waiting.remove(end)
            else:
                advance(heard)
    done = together([load.done for load in loads], max(load.done.seconds for load in loads))
    counts = Counts(*(sum(values) for values in zip(*(load.counts for load in loads), strict=True)))
    return Load(done, sum(load.client_cpu_s for load in loads), counts)
