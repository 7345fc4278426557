"""What can befall one storage call: the caller dies before or after it was done, it is lost, its answer is lost, it is
done long after the caller has given it up, or it just takes long.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Trouble(StrEnum):
    """What befalls a call."""

    NONE = "none"
    SLOW = "slow"
    """Done and answered, but late."""

    REFUSED = "refused"
    """Not done, and the caller is told so."""

    LOST = "lost"
    """Never done; the caller waits in vain."""

    ANSWER_LOST = "answer lost"
    """Done; the caller waits in vain."""

    LANDS_LATE = "lands late"
    """The caller waits in vain, gives up, and then it is done after all."""

    CRASH_BEFORE = "crash before"
    """The caller dies, and nothing was done."""

    CRASH_AFTER = "crash after"
    """The caller dies, and it was done."""

    CRASH_AND_LANDS_LATE = "crash and lands late"
    """The caller dies, and it is done some time later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """When a call is done and when its caller hears of it, in milliseconds from when it was made.

    Attributes:
        done_ms: None if it never is.
        answered_ms: when the caller has its answer, or gives up.
        refused: the caller is told that nothing was done.
        gives_up: the caller hears nothing, only that time is up.
        crashes: the caller dies instead.
    """

    done_ms: int | None
    answered_ms: int
    refused: bool = False
    gives_up: bool = False
    crashes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How calls fare in one run.

    Attributes:
        rates: the probability of each trouble at each call.
        quick_ms_max: a call takes from 0 to this, each way.
        slow_ms_max: a slow one from 0 to this.
        timeout_ms: a caller gives up after so long.
        late_ms_max: a call that lands late does so within this after its caller gave it up.
    """

    rates: Mapping[Trouble, float] = field(default_factory=dict)
    quick_ms_max: int = 4
    slow_ms_max: int = 400
    timeout_ms: int = 300
    late_ms_max: int = 3_000

    def draw(self, rng: random.Random) -> Trouble:
        """The trouble of the next call."""
        drawn = rng.random()
        for trouble, rate in self.rates.items():
            drawn -= rate
            if drawn < 0:
                return trouble
        return Trouble.NONE

    def fate(self, trouble: Trouble, rng: random.Random) -> Fate:
        """How a call with this trouble goes."""
        done_ms = rng.randint(0, self.quick_ms_max)
        back_ms = done_ms + rng.randint(0, self.quick_ms_max)
        late_ms = self.timeout_ms + rng.randint(1, self.late_ms_max)
        match trouble:
            case Trouble.NONE:
                return Fate(done_ms=done_ms, answered_ms=back_ms)
            case Trouble.SLOW:
                slow_ms = rng.randint(0, self.slow_ms_max)
                return Fate(done_ms=slow_ms, answered_ms=slow_ms + rng.randint(0, self.slow_ms_max))
            case Trouble.REFUSED:
                return Fate(done_ms=None, answered_ms=back_ms, refused=True)
            case Trouble.LOST:
                return Fate(done_ms=None, answered_ms=self.timeout_ms, gives_up=True)
            case Trouble.ANSWER_LOST:
                return Fate(done_ms=done_ms, answered_ms=self.timeout_ms, gives_up=True)
            case Trouble.LANDS_LATE:
                return Fate(done_ms=late_ms, answered_ms=self.timeout_ms, gives_up=True)
            case Trouble.CRASH_BEFORE:
                return Fate(done_ms=None, answered_ms=done_ms, crashes=True)
            case Trouble.CRASH_AFTER:
                return Fate(done_ms=done_ms, answered_ms=back_ms, crashes=True)
            case Trouble.CRASH_AND_LANDS_LATE:
                return Fate(done_ms=late_ms, answered_ms=done_ms, crashes=True)
