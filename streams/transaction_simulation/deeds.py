"""Whether seeds have shown anything: a history in which nothing was done keeps every promise.

One seed may be so stormy that nobody comes through. Many together must have committed a good part of what was begun, at
every level, in one phase and in two, and must have met everything that the protocol has an answer to.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from streams.transaction_simulation.history import Anomaly

SEEDS_TOGETHER = 50
"""So many of them show everything."""

COMMITTED_SHARE = 0.3
"""Of all that was begun; half is usual."""

FAIR_WEATHER_SHARE = 0.2
"""Of what was begun in one seed without troubles, outages and wrong clocks."""

DEEDS_LEAST = 3
"""Each deed in `SEEDS_TOGETHER` seeds; most come up a hundred times."""

COUNTED = ("one_phase", "recovered_forward", "recovered_back", "expired", "frozen")
"""Deeds that a manager counts itself."""


class Done(Protocol):
    """What came of a seed."""

    @property
    def transactions(self) -> int:
        """How many were begun."""
        ...

    @property
    def committed(self) -> int:
        """How many of them are known to be committed."""
        ...

    @property
    def deeds(self) -> Mapping[str, int]:
        """How often each deed was done, those that were not included."""
        ...


def check_deeds(reports: Iterable[Done]) -> None:
    """See that many seeds together have shown everything.

    Raises:
        Anomaly: too little was committed, or something never happened.
    """
    begun, committed, deeds = 0, 0, Counter[str]()
    for report in reports:
        begun += report.transactions
        committed += report.committed
        for name, count in report.deeds.items():
            deeds[name] += count
    if committed < COMMITTED_SHARE * begun:
        raise Anomaly(f"only {committed} of {begun} transactions committed: the histories show nothing")
    missing = {name: count for name, count in deeds.items() if count < DEEDS_LEAST}
    if missing or not deeds:
        raise Anomaly(f"what is promised was hardly put to the test: {missing or 'nothing was done'}")
