"""What a child may say: it runs contracts of strangers, and nonsense ends it by a few errors that are known."""

from typing import Any

import pytest

from protocol.contracts.calls import Batch
from protocol.requests import call_of
from streams.executor_wire import Results
from tests.worlds import World

NONSENSE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)


@pytest.mark.parametrize(
    "row",
    [
        [0, "", "", "{}", [2**63], [], []],
        [0, "", "", "{}", [-(2**64)], [], []],
        [0, "", "", "{}", [1], [], [[2**63, "1", "00"]]],
        [0, "", "", "{}", [1], [], [[0, "1", "no hash"]]],
        [0, "", "", "{}", [0], [["bank", "a"]], []],
        [0, "", "", "{}", ["0"], [], []],
        [0, "", "", None, [], [], []],
        [0, "", "", "{}", None, [], []],
        ["code", True, [2**70]],
        "row",
        5,
        None,
    ],
)
def test_nonsense_of_the_child_is_an_error_that_is_known(row: Any) -> None:
    """Numbers beyond every list and values of other types, whether the parent is compiled or not."""
    world = World()
    batch = Batch(
        ledger_id=world.ledger_id,
        sequence=0,
        ordered_at_ms=world.now_ms,
        calls=(call_of(world.put("a", 1)),),
        records={key: versions[-1] for key, versions in world.auditor.history.items()},
    )
    with pytest.raises(NONSENSE):
        Results(batch).parse([row])
