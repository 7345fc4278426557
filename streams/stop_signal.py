"""How a process is told to end, and how long it may take.

A handler of a signal runs in the middle of whatever the main thread does. If that holds a lock, as each wait does for a
moment, whoever asks for the same lock in the handler waits for ever. So the handler only wakes a thread, and that asks
for the end.
"""

import signal
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType


class StopSignal:
    """Tells the stages of a process when to end.

    Args:
        drain_s: how long they have to come to a good end.
    """

    def __init__(self, *, drain_s: float = 5.0) -> None:
        self._drain_s = drain_s
        self._requested = threading.Event()
        self._deadline = 0.0
        self._listeners: list[Callable[[], None]] = []

    def on_request(self, listener: Callable[[], None]) -> None:
        """Have this called when the end is asked for: for waits that know nothing of this signal."""
        self._listeners.append(listener)
        if self.requested:
            listener()

    def request(self) -> None:
        """Ask everybody to end."""
        if not self._requested.is_set():
            self._deadline = time.monotonic() + self._drain_s
            self._requested.set()
            for listener in self._listeners:
                listener()

    def on_signals(self) -> None:
        """Let SIGTERM and SIGINT ask for the end, a moment later; from the main thread."""
        came: SimpleQueue[int] = SimpleQueue()  # its `put` may interrupt any other code, itself too

        def on_signal(number: int, _frame: FrameType | None) -> None:
            came.put(number)

        def ask() -> None:
            came.get()
            self.request()

        threading.Thread(target=ask, name="signals", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)

    @property
    def requested(self) -> bool:
        """Come to a good end soon."""
        return self._requested.is_set()

    @property
    def overdue(self) -> bool:
        """End now."""
        return self._requested.is_set() and time.monotonic() >= self._deadline

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until a stop is requested; whether it is."""
        return self._requested.wait(seconds)
