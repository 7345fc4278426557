"""Waits for a cell of the store to change, without asking the store over and over."""

import threading
import time
from collections.abc import Callable, Mapping

from storage.ports import RecordStore

_LOOK_S = 0.25
"""How often to look although nobody in this process changed anything: another process may have."""


class CellWatch:
    """Shared by all stages of a process that use one store; each says when it has changed something."""

    def __init__(self) -> None:
        self._changes = 0
        self._changed = threading.Condition()

    def changed(self) -> None:
        """Wake up whoever waits."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def wait(
        self, store: RecordStore, cell: str, unlike: bytes, timeout_ms: int, give_up: Callable[[], bool]
    ) -> Mapping[str, bytes]:
        """Wait until a cell holds something else, or the time is over, or `give_up` says so.

        Returns:
            All cells as they are then.

        Raises:
            CountersignError: what `RecordStore.load` raises.
        """
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            seen = self._changes
            cells = store.load().cells
            left = deadline - time.monotonic()
            if cells.get(cell, b"") != unlike or left <= 0 or give_up():
                return cells
            with self._changed:
                if self._changes == seen:
                    self._changed.wait(min(left, _LOOK_S))
