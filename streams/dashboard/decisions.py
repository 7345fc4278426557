"""Decisions that were seen, each signed by both parties: the last ones, their rate, how long they took."""

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Any

from streams.percentiles import percentile

LISTED = 12
SECONDS = 60
_LATENCY_MS = 60_000
_SAMPLES_MAX = 6_000
_REMEMBERED = 512
_RATE_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenDecision:
    """A decision whose three signatures were verified here.

    Attributes:
        count: requests in it.
        ordered_at_ms: the Auditor's clock. decided_at_ms: the broker's, when it was appended.
    """

    sequence: int
    count: int
    kind: str
    ordered_at_ms: int
    decided_at_ms: int
    statement_hash: bytes

    @property
    def took_ms(self) -> int:
        """From its order to its decision."""
        return max(0, self.decided_at_ms - self.ordered_at_ms)


class DecisionLog:
    """The last decisions.

    Attributes:
        sequence: of the newest one, -1 before the first.
        skipped: messages on `decisions` that both parties have not signed.
        conflicts: decisions of a sequence that had another statement before.
    """

    def __init__(self) -> None:
        self.sequence = -1
        self.skipped = 0
        self.conflicts = 0
        self._known: dict[int, SeenDecision] = {}
        self._samples: deque[tuple[int, int]] = deque(maxlen=_SAMPLES_MAX)
        self._seconds: dict[int, list[int]] = {}

    def take(self, seen: SeenDecision, at_ms: int) -> None:
        """Take in a verified decision, seen at our time `at_ms`; one that is sent again counts once."""
        known = self._known.get(seen.sequence)
        if known is not None:
            self.conflicts += known.statement_hash != seen.statement_hash
            return
        if seen.sequence <= self.sequence - _REMEMBERED:
            return
        self._known[seen.sequence] = seen
        if len(self._known) > _REMEMBERED:
            del self._known[min(self._known)]
        self.sequence = max(self.sequence, seen.sequence)
        self._samples.append((at_ms, seen.took_ms))
        counted = self._seconds.setdefault(at_ms // 1000, [0, 0])
        counted[0] += seen.count
        counted[1] += 1
        while len(self._seconds) > 2 * SECONDS:
            del self._seconds[min(self._seconds)]

    def snapshot(self, now_ms: int) -> dict[str, Any]:
        """For the page."""
        second = now_ms // 1000
        recent = [self._seconds.get(second - ago, (0, 0)) for ago in range(1, _RATE_S + 1)]
        took = [took_ms for at_ms, took_ms in self._samples if at_ms >= now_ms - _LATENCY_MS]
        return {
            "sequence": self.sequence,
            "requests_per_s": sum(requests for requests, _ in recent) / _RATE_S,
            "per_s": sum(decisions for _, decisions in recent) / _RATE_S,
            "curve": [self._seconds.get(second - ago, (0, 0))[0] for ago in range(SECONDS, 0, -1)],
            "p50_ms": percentile(took, 0.5),
            "p99_ms": percentile(took, 0.99),
            "skipped": self.skipped,
            "conflicts": self.conflicts,
            "newest": [
                {
                    "sequence": each.sequence,
                    "count": each.count,
                    "kind": each.kind,
                    "ordered_at_ms": each.ordered_at_ms,
                    "took_ms": each.took_ms,
                    "statement": each.statement_hash.hex(),
                }
                for each in heapq.nlargest(LISTED, self._known.values(), key=lambda each: each.sequence)
            ],
        }
