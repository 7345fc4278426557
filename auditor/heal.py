"""Sending decisions again that did not arrive: the broker lost them, or the Ledger asks for them.

Rules:

1. What is there is known by its bytes: a decision comes out the same however often it is made. A message that only
   claims to be one hides nothing.
2. From the first that is missing on, all are sent again, so that whoever reads from there finds them in order.
3. The Ledger asks by sending a result again although it is decided. It is answered a few at a time, at most once in
   the time after which anything is sent again: old results can be replayed by anybody.
"""

from collections.abc import Generator
from typing import Any

from auditor import send
from protocol.configuration import Epochs
from storage.effects import Effect, ReadTail, Received, Report
from storage.machine import Steps

_LOOKED_AFTER_MAX = 32
"""Decisions looked after at the end of the log, which bounds memory; fewer where W is small."""

_ANSWERED_AT_ONCE = 8


class DecisionHealer:
    """Looks after the decisions that were sent."""

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs
        self._again_after_ms = epochs.limits.resend_first_ms
        self._looked_after = min(_LOOKED_AFTER_MAX, 2 * epochs.latest.window)
        self._whole: object = None
        self._asked: set[int] = set()
        self._answered_at_ms = 0

    def look(self, decided: int) -> Steps:
        """Send again what is missing among the newest decisions, if the log has changed since the last look."""
        newest: Received = yield ReadTail(topic="decisions", count=1)
        seen = decided, [(message.offset, message.leader_epoch) for message in newest.messages]
        if decided < 0 or seen == self._whole:
            return
        tail: Received = yield ReadTail(topic="decisions", count=2 * self._looked_after)
        present = frozenset(message.value for message in tail.messages)
        missing = yield from self._first_missing(decided, present)
        if missing is None:
            self._whole = seen
        else:
            yield Report(metrics={"alarm_tail_lost": 1})
            yield from send.decisions(missing, decided, self._epochs)

    def _first_missing(
        self, decided: int, present: frozenset[bytes | None]
    ) -> Generator[Effect, Any, int | None]:
        for sequence in range(max(0, decided - self._looked_after + 1), decided + 1):
            messages = yield from send.decision_messages(sequence, sequence, self._epochs)
            if messages and messages[0].value not in present:
                return sequence
        return None

    def ask(self, sequence: int) -> None:
        """The Ledger has sent the result of a decision again."""
        self._asked.add(sequence)

    def answer(self, now_ms: int) -> Steps:
        """Send the first decision that was asked for, and those that the Ledger will ask for next."""
        if self._asked and now_ms - self._answered_at_ms >= self._again_after_ms:
            first, last = min(self._asked), max(self._asked)
            self._asked.clear()
            self._answered_at_ms = now_ms
            yield from send.decisions(first, min(last, first + _ANSWERED_AT_ONCE - 1), self._epochs)
