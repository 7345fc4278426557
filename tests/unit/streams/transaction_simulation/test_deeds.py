"""The guard against empty histories sees what is missing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from streams.transaction_simulation.deeds import DEEDS_LEAST, check_deeds
from streams.transaction_simulation.history import Anomaly


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    transactions: int = 10
    committed: int = 4
    deeds: Mapping[str, int]


FULL = Done(deeds={"one_phase": DEEDS_LEAST, "frozen": 100})


def test_seeds_that_show_enough_together() -> None:
    """One of them may show nothing at all."""
    check_deeds([FULL])
    check_deeds([FULL, replace(FULL, transactions=1, committed=0, deeds={"one_phase": 0, "frozen": 0})])


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (replace(FULL, committed=2), "only 2 of 10"),
        (replace(FULL, deeds={"one_phase": DEEDS_LEAST - 1, "frozen": 100}), "one_phase"),
        (replace(FULL, deeds={}), "nothing was done"),
    ],
)
def test_what_is_missing_is_said(done: Done, said: str) -> None:
    """Too few commits, a deed that was hardly done, or none that was counted."""
    with pytest.raises(Anomaly, match=said):
        check_deeds([done])
