"""Looks, where messages wait for long, whether a broker's own settings keep it from taking them.

A broker closes the connection on whoever sends it more at once than it takes, and librdkafka sends the same again: it
looks as if the broker were away. Nothing is concluded from that: the brokers are asked for the setting, and what they
say is told.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from streams.log import LogRefusedError, LogUnavailableError

PATIENCE_MS = 5_000
"""After so long it is looked for: a broker that is started again is back by then, most of the time."""

_AGAIN_S = 60.0

_log = logging.getLogger("countersign.kafka")


class LimitWatch:
    """For one writer; it is told once.

    Args:
        look: asks the brokers, and gives a line for each setting that is too low.
    """

    def __init__(self, look: Callable[[], tuple[str, ...]]) -> None:
        self._look = look
        self._is_told = False
        self._looked_at: float | None = None

    def waited(self, ms: int) -> None:
        """Messages have waited for so long: ask the brokers, in a thread of its own, and not again for a minute."""
        now = time.monotonic()
        is_asked = self._looked_at is not None and now - self._looked_at < _AGAIN_S
        if ms < PATIENCE_MS or self._is_told or is_asked:
            return
        self._looked_at = now
        threading.Thread(target=self._ask, name="broker's limits", daemon=True).start()

    def _ask(self) -> None:
        with suppress(LogUnavailableError, LogRefusedError):  # it is away, then; or keeps its settings to itself
            for line in self._look():
                self._is_told = True
                _log.warning("messages wait, and long ones are not taken: %s", line)
