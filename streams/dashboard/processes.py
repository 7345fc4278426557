"""What every process says of itself on `metrics`, as rates, means and curves over the last minute.

Rules:

1. Metrics are unsigned and anybody's: only roles of this ledger are kept, few instances of each, with bounded
   names and values that are numbers everywhere, in JSON and in a browser.
2. Rates come from the sender's own clock, silence from ours.
3. A counter that falls, or a clock that goes back, is a new beginning.
"""

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from schemas.feed import Metrics
from streams.metrics import GAUGE

SAMPLES = 61
"""Kept of each process, one a second."""

RATE_MS = 5_000
"""Over how much of the past a present rate is taken."""

_MEASURES_MAX = 1_000
_NAME_CHARACTERS_MAX = 128
_VALUE_MAX = 2.0**53
_INSTANCES_MAX = 4
_FORGET_MS = 60_000

Sample = tuple[int, Mapping[str, float]]


class ProcessHistory:
    """The last minute of one process.

    Attributes:
        seen_ms: when it spoke last, by our clock.
        ahead_ms: how far its clock is ahead of the broker's, as far as is known; negative behind it.
    """

    def __init__(self, role: str, instance: str) -> None:
        self.role = role
        self.instance = instance
        self.seen_ms = 0
        self.ahead_ms = 0
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)

    def take(self, metrics: Metrics, now_ms: int, appended_ms: int | None = None) -> None:
        """Take in what the process said; `now_ms` is when we read it, `appended_ms` when the broker got it."""
        values = {
            sys.intern(name): value
            for name, value in metrics.values[:_MEASURES_MAX]
            if len(name) <= _NAME_CHARACTERS_MAX and abs(value) <= _VALUE_MAX
        }
        if self._samples and metrics.at_ms <= self._samples[-1][0]:
            self._samples.clear()
        self._samples.append((metrics.at_ms, values))
        self.seen_ms = now_ms
        self.ahead_ms = metrics.at_ms - appended_ms if appended_ms else 0

    @property
    def said_ms(self) -> int:
        """When it spoke last, by its own clock."""
        return self._samples[-1][0] if self._samples else 0

    @property
    def values(self) -> Mapping[str, float]:
        """What it said last."""
        return self._samples[-1][1] if self._samples else {}

    def value(self, name: str) -> float | None:
        """The last value of a measure."""
        return self.values.get(name)

    def rate(self, name: str, within_ms: int = RATE_MS) -> float | None:
        """How much a counter grew per second of late; None if that cannot be told."""
        first = self._first_of(name, within_ms)
        if first is None:
            return None
        (from_ms, before), (to_ms, after) = first, self._samples[-1]
        return (after[name] - before[name]) * 1000 / (to_ms - from_ms)

    def growth(self, name: str, within_ms: int) -> float:
        """By how much a counter grew; one that appeared meanwhile grew from 0."""
        if name not in self.values:
            return 0.0
        since_ms = self._samples[-1][0] - within_ms
        before = next((values for at_ms, values in self._samples if at_ms >= since_ms), {})
        return max(0.0, self.values[name] - before.get(name, 0.0))

    def unchanged_ms(self, name: str) -> int:
        """For how long a measure has stayed as it is, as far back as is kept."""
        last_ms, values = self._samples[-1]
        since_ms = last_ms
        for at_ms, before in reversed(self._samples):
            if before.get(name) != values.get(name):
                break
            since_ms = at_ms
        return last_ms - since_ms

    def mean(self, total: str, count: str, within_ms: int = 2 * RATE_MS) -> float | None:
        """A mean of late, from two counters: of what was measured, and of how often."""
        counted = self.growth(count, within_ms)
        return self.growth(total, within_ms) / counted if counted else None

    def curve(self, name: str) -> list[float | None]:
        """A counter's rate from second to second, the oldest first."""
        points: list[float | None] = []
        for (from_ms, before), (to_ms, after) in pairwise(self._samples):
            start = before.get(name, None if GAUGE in name else 0.0)
            grown = -1.0 if start is None or name not in after else after[name] - start
            points.append(round(grown * 1000 / (to_ms - from_ms), 1) if grown >= 0 else None)
        return points

    def _first_of(self, name: str, within_ms: int) -> Sample | None:
        """The earliest sample in a time from which a counter has not fallen."""
        if len(self._samples) < 2 or name not in self.values:
            return None
        since_ms = self._samples[-1][0] - within_ms
        found = None
        after = self.values[name]
        for sample in list(self._samples)[-2::-1]:
            if name not in sample[1] or sample[1][name] > after or (found and sample[0] < since_ms):
                break
            found, after = sample, sample[1][name]
        return found


class Processes:
    """All processes of a ledger that say how they are.

    Args:
        roles: whose metrics are kept, in the order in which they are listed.
    """

    def __init__(self, roles: Sequence[str]) -> None:
        self._roles = roles
        self._histories: dict[str, dict[str, ProcessHistory]] = {}

    def take(self, metrics: Metrics, now_ms: int, appended_ms: int | None = None) -> bool:
        """Take in a process's metrics; False if they are of no role of ours."""
        if metrics.role not in self._roles:
            return False
        instances = self._histories.setdefault(metrics.role, {})
        if metrics.instance not in instances:
            while len(instances) >= _INSTANCES_MAX:
                del instances[min(instances, key=lambda name: instances[name].seen_ms)]
            instance = metrics.instance[:_NAME_CHARACTERS_MAX]
            instances[metrics.instance] = ProcessHistory(metrics.role, instance)
        instances[metrics.instance].take(metrics, now_ms, appended_ms)
        return True

    def active(self, role: str) -> ProcessHistory | None:
        """The process of a role that spoke last."""
        instances = self._histories.get(role)
        return max(instances.values(), key=lambda each: each.seen_ms) if instances else None

    def last_seen_ms(self) -> int:
        """When anybody spoke last, 0 if nobody has."""
        histories = (each for instances in self._histories.values() for each in instances.values())
        return max((each.seen_ms for each in histories), default=0)

    def listed(self, now_ms: int) -> Iterator[ProcessHistory]:
        """Every process, but those that ended and were followed by another."""
        for role in self._roles:
            newest = self.active(role)
            for history in self._histories.get(role, {}).values():
                if history is newest or now_ms - history.seen_ms < _FORGET_MS // 10:
                    yield history
