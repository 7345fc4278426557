"""Threads that do tasks for a while, and what came of it."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Barrier, BrokenBarrierError, Thread

from deploy.measuring.processes import percentile
from deploy.measuring.transactions.workloads import Task
from protocol.errors import CountersignError

Work = Callable[[Task], None]
"""Does one task, or raises."""

STEP_S = 0.2


@dataclass(slots=True)
class Done:
    """What came of a run.

    Attributes:
        tasks: how many were done.
        latencies_ms: of each that was done, its retries included.
        errors: code -> how often it came to the caller.
        seconds: from the first begin to the last end.
    """

    tasks: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Tasks that were done."""
        return round(self.tasks / self.seconds, 1) if self.seconds else 0.0

    def latency(self) -> dict[str, float]:
        """Percentiles, in milliseconds."""
        values = sorted(self.latencies_ms)
        return {"p50": round(percentile(values, 0.5), 2), "p99": round(percentile(values, 0.99), 2)}


def run_threads(
    make_work: Callable[[], Work],
    tasks: Callable[[int], Iterator[Task]],
    threads: int,
    seconds: float,
    progress: Callable[[int], None],
) -> Done:
    """Do tasks in threads, each one after the other, for so many seconds.

    Args:
        make_work: gives each thread what does its tasks, made in the thread.
        tasks: gives the tasks of a thread by its number.
        progress: told how many more were done.

    Raises:
        Exception: what no caller should meet: a thread ended with an error without a code.
    """
    results = [Done() for _ in range(threads)]
    broken: list[BaseException] = []
    began = [0.0]
    start = Barrier(threads + 1, action=lambda: began.__setitem__(0, time.perf_counter()))

    def work(number: int) -> None:
        try:
            do, own = make_work(), tasks(number)
            next(own)  # whatever a workload prepares is no part of what is measured
            with suppress(BrokenBarrierError):
                start.wait()
                _until(began[0] + seconds, do, own, results[number])
        except BaseException as error:
            broken.append(error)
            start.abort()

    workers = [Thread(target=work, args=(number,), name=f"load-{number}") for number in range(threads)]
    for worker in workers:
        worker.start()
    with suppress(BrokenBarrierError):
        start.wait()
    _watch(workers, results, progress)
    if broken:
        raise broken[0]
    return together(results, time.perf_counter() - began[0])


def _until(end: float, do: Work, own: Iterator[Task], result: Done) -> None:
    clock, latencies = time.perf_counter, result.latencies_ms
    before = clock()
    while before < end:
        try:
            do(next(own))
        except CountersignError as error:
            result.errors[error.code] += 1
            before = clock()
            continue
        after = clock()
        latencies.append((after - before) * 1000)
        result.tasks += 1
        before = after


def _watch(workers: list[Thread], results: list[Done], progress: Callable[[int], None]) -> None:
    """Wait for the threads, and tell how far they are."""
    told = 0
    for worker in workers:
        while worker.is_alive():
            worker.join(STEP_S)
            now = sum(result.tasks for result in results)
            progress(now - told)
            told = now


def together(results: Sequence[Done], seconds: float) -> Done:
    """What came of several runs at one time."""
    whole = Done(seconds=seconds)
    for result in results:
        whole.tasks += result.tasks
        whole.latencies_ms += result.latencies_ms
        whole.errors += result.errors
    return whole
