"""One simulated clock, and what will happen when."""

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class Agenda:
    """Actions in the order of their times; those of one time in the order in which they were put down.

    Attributes:
        now_ms: the time of the action that runs, since the simulation's beginning.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self._ticks = 0
        self._count = 0
        self._actions: list[tuple[int, int, Action]] = []

    def tick(self) -> int:
        """A moment that no two events share, later than all before."""
        self._ticks += 1
        return self._ticks

    def put(self, after_ms: int, action: Action) -> None:
        """Let something happen in a while."""
        assert after_ms >= 0, "nothing happens in the past"
        self._count += 1
        heapq.heappush(self._actions, (self.now_ms + after_ms, self._count, action))

    def step(self) -> bool:
        """Let the next thing happen; False if there is none."""
        if not self._actions:
            return False
        self.now_ms, _, action = heapq.heappop(self._actions)
        action()
        return True
