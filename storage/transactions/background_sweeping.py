"""A thread that sweeps now and then, for programs that do not want to call the sweeper themselves."""

import random
from collections.abc import Callable
from threading import Event, Thread

from protocol.errors import CountersignError


class BackgroundSweeping:
    """Sweeps every so many seconds until it is stopped; spread, so that many processes do not sweep at once.

    Args:
        sweep: one round; what it raises is counted, and the next round tries again.
        every_s: between two rounds, on average.

    Attributes:
        rounds, failed: how many there were, and how many of them met an error.
    """

    def __init__(self, sweep: Callable[[], object], every_s: float) -> None:
        self.rounds = 0
        self.failed = 0
        self._sweep = sweep
        self._every_s = every_s
        self._stopped = Event()
        self._thread = Thread(target=self._work, name="transactions-sweeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; waits for the round that is under way."""
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopped.wait(self._every_s * (0.5 + random.random())):
            try:
                self._sweep()
            except CountersignError:
                self.failed += 1
            self.rounds += 1
