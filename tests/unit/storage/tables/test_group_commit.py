"""Works of many threads are done together, each with its own outcome."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier, Event

import pytest

from storage.tables.group_commit import GroupCommit, Work


class Commits:
    """Does works one after the other, and remembers how many stood in each commit."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.hold: Event | None = None
        self.begun = Event()

    def __call__(self, works: Sequence[Work]) -> list[BaseException | None]:
        self.sizes.append(len(works))
        self.begun.set()
        if self.hold is not None:
            assert self.hold.wait(20)
        return [_attempt(work) for work in works]


def _attempt(work: Work) -> BaseException | None:
    try:
        work()
    except ValueError as error:
        return error
    return None


def _fail() -> None:
    raise ValueError("of this work alone")


def test_those_that_wait_are_done_together() -> None:
    """While one commit lasts others gather; the next takes them all, and each gets its own outcome."""
    commits = Commits()
    commits.hold = Event()
    group = GroupCommit(commits)
    done: list[int] = []
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(group.run, lambda: done.append(0))
        assert commits.begun.wait(20)
        others = [pool.submit(group.run, _fail if n == 4 else partial(done.append, n)) for n in range(1, 9)]
        while len(group._pending) < 8:
            assert not any(each.done() for each in others)
        commits.hold.set()
        first.result(20)
        failed = [n for n, each in enumerate(others, 1) if isinstance(each.exception(20), ValueError)]
    assert failed == [4]
    assert commits.sizes == [1, 8]
    assert sorted(done) == [0, 1, 2, 3, 5, 6, 7, 8]


def test_a_commit_that_fails_is_every_works_error() -> None:
    """And the next ones are led on."""

    def commit(works: Sequence[Work]) -> list[BaseException | None]:
        raise OSError("the disk")

    group = GroupCommit(commit)
    with ThreadPoolExecutor(4) as pool:
        failed = [pool.submit(group.run, lambda: None) for _ in range(20)]
        assert all(isinstance(each.exception(20), OSError) for each in failed)


def test_nothing_is_lost_or_done_twice() -> None:
    """Eight threads, bounded commits: every work is done once before its caller goes on."""
    commits = Commits()
    group = GroupCommit(commits, together_max=3)
    together = Barrier(8)
    done: list[tuple[int, int]] = []

    def many(worker: int) -> None:
        together.wait(20)
        for n in range(100):
            group.run(partial(done.append, (worker, n)))
            assert done.count((worker, n)) == 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(many, range(8)))
    assert len(done) == sum(commits.sizes) == 800
    assert max(commits.sizes) <= 3


def test_a_lone_work_is_its_own_leader() -> None:
    """Its error is raised to its caller."""
    with pytest.raises(ValueError, match="of this work alone"):
        GroupCommit(Commits()).run(_fail)


def test_a_commit_that_fails_fails_for_everybody_in_it() -> None:
    """Nobody is told that his work is on disk because another led the commit."""
    commits = Commits()
    commits.hold = Event()

    def commit(works: Sequence[Work]) -> list[BaseException | None]:
        outcomes = commits(works)
        if len(works) > 1:
            raise OSError("the disk")
        return outcomes

    group = GroupCommit(commit)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(group.run, lambda: None)
        assert commits.begun.wait(20)
        others = [pool.submit(group.run, lambda: None) for _ in range(8)]
        while len(group._pending) < 8:
            assert not any(each.done() for each in others)
        commits.hold.set()
        first.result(20)
        errors = [each.exception(20) for each in others]
    assert [str(error) for error in errors] == ["the disk"] * 8
