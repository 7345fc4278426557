"""Many writers of a database that takes one at a time: those that wait are written together, by one commit.

Whoever finds nobody writing is the *leader*: it does the work of all that wait, each in a savepoint of its own, and
commits once. Then it goes its way, and the first of those that came meanwhile leads the next.
"""

from collections.abc import Callable, Sequence
from threading import Lock

Work = Callable[[], None]


class _Waiting:
    """One writer's work, and what became of it."""

    __slots__ = ("error", "gate", "is_leader", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.error: BaseException | None = None
        self.is_leader = False
        self.gate = Lock()
        self.gate.acquire()


class GroupCommit:
    """Lets threads write together.

    Args:
        commit: is given works, does each as a whole or not at all, all of them durable when it returns; gives the
            error of each that failed. It may raise, which is every work's error then.
        together_max: works in one commit.
    """

    def __init__(
        self, commit: Callable[[Sequence[Work]], list[BaseException | None]], *, together_max: int = 128
    ) -> None:
        self._commit = commit
        self._together_max = together_max
        self._lock = Lock()
        self._pending: list[_Waiting] = []
        self._led = False

    def run(self, work: Work) -> None:
        """Have a work done, and wait for it.

        Raises:
            BaseException: what the work raised, or the commit.
        """
        mine = _Waiting(work)
        with self._lock:
            self._pending.append(mine)
            mine.is_leader = not self._led
            self._led = True
        if not mine.is_leader:
            mine.gate.acquire()
        if mine.is_leader:
            self._lead()
        if mine.error is not None:
            raise mine.error

    def _lead(self) -> None:
        with self._lock:
            together, self._pending = self._pending[: self._together_max], self._pending[self._together_max :]
        try:
            outcomes = self._commit([each.work for each in together])
        except BaseException as error:
            outcomes = [error] * len(together)
        for each, outcome in zip(together, outcomes, strict=True):
            each.error = outcome
        with self._lock:
            following = self._pending[0] if self._pending else None
            self._led = following is not None
        if following is not None:
            following.is_leader = True
            following.gate.release()
        for each in together:
            if not each.is_leader:
                each.gate.release()
