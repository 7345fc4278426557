"""Threads under load: every task is counted, coded errors too, and any other error ends the run."""

from collections.abc import Iterator
from itertools import repeat
from threading import Lock

import pytest

from deploy.measuring.transactions.running import Work, run_threads
from deploy.measuring.transactions.workloads import Access, Action, Task
from protocol.errors import CountersignError

TASK = (Access(Action.READ, 1, ""),)


def _tasks(number: int) -> Iterator[Task]:
    return repeat(TASK)


def test_what_is_done_is_counted_with_its_errors() -> None:
    """All threads together; the progress comes to the same number."""
    calls, told, lock = [0], [0], Lock()

    def make_work() -> Work:
        def do(task: Task) -> None:
            with lock:
                calls[0] += 1
                fails = calls[0] % 10 == 0
            if fails:
                raise CountersignError("transaction.contended")

        return do

    done = run_threads(make_work, _tasks, 4, 0.1, lambda more: told.__setitem__(0, told[0] + more))
    assert done.tasks == told[0] == len(done.latencies_ms) > 0
    assert done.tasks + done.errors["transaction.contended"] == calls[0]
    assert 0.1 <= done.seconds < 5
    assert done.per_second == pytest.approx(done.tasks / done.seconds, abs=0.1)


@pytest.mark.parametrize("in_preparation", [True, False])
def test_an_error_without_a_code_comes_out(in_preparation: bool) -> None:
    """Whether a thread met it before the start or under way; no thread waits for ever."""

    def fail(task: Task) -> None:
        raise RuntimeError("a bug")

    def make_work() -> Work:
        if in_preparation:
            raise RuntimeError("a bug")
        return fail

    with pytest.raises(RuntimeError, match="a bug"):
        run_threads(make_work, _tasks, 3, 0.1, lambda more: None)
