"""Coroutines that do tasks for a while, beside one another in one event loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager

from deploy.measuring.transactions.running import STEP_S, Done, together
from deploy.measuring.transactions.workloads import Task
from protocol.errors import CountersignError

TaskWork = Callable[[Task], Awaitable[None]]
"""Does one task, or raises."""


def run_coroutines(
    opened_work: Callable[[], AbstractContextManager[TaskWork]],
    tasks: Callable[[int], Iterator[Task]],
    count: int,
    seconds: float,
    progress: Callable[[int], None],
) -> Done:
    """Do tasks in coroutines, each one after the other, for so many seconds.

    Args:
        opened_work: gives what does the tasks of all, in their event loop.
        tasks: gives the tasks of a coroutine by its number.
        progress: told how many more were done.
    """
    return asyncio.run(_run(opened_work, tasks, count, seconds, progress))


async def _run(
    opened_work: Callable[[], AbstractContextManager[TaskWork]],
    tasks: Callable[[int], Iterator[Task]],
    count: int,
    seconds: float,
    progress: Callable[[int], None],
) -> Done:
    results = [Done() for _ in range(count)]
    sources = [tasks(number) for number in range(count)]
    for source in sources:
        next(source)  # whatever a workload prepares is no part of what is measured
    with opened_work() as do:
        began = time.perf_counter()
        workers = [_until(began + seconds, do, own, into) for own, into in zip(sources, results, strict=True)]
        watching = asyncio.create_task(_watch(results, progress))
        try:
            await asyncio.gather(*workers)
        finally:
            watching.cancel()
    return together(results, time.perf_counter() - began)


async def _until(end: float, do: TaskWork, own: Iterator[Task], result: Done) -> None:
    clock, latencies = time.perf_counter, result.latencies_ms
    before = clock()
    while before < end:
        try:
            await do(next(own))
        except CountersignError as error:
            result.errors[error.code] += 1
            before = clock()
            continue
        after = clock()
        latencies.append((after - before) * 1000)
        result.tasks += 1
        before = after


async def _watch(results: list[Done], progress: Callable[[int], None]) -> None:
    """Tell how far they are."""
    told = 0
    while True:
        await asyncio.sleep(STEP_S)
        now = sum(result.tasks for result in results)
        progress(now - told)
        told = now
