"""What a child may say: it runs contracts of strangers, and nonsense ends it by a few errors that are known."""

import marshal
from typing import Any

import pytest

from protocol.contracts.calls import Batch
from protocol.requests import call_of
from streams.executor_wire import LENGTH_BYTES, Results, answer_frame, read_answer
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


@pytest.mark.parametrize("answer", [["ready"], ["done", []], ["record", "notes", "a"], [], 7, None, "é", 1.5, b"[]"])
@pytest.mark.parametrize("version", range(marshal.version + 1))
def test_what_a_child_says_is_never_read_as_marshal(answer: Any, version: int) -> None:
    """That format trusts who writes it: what a child says in it is no JSON, which ends the child."""
    with pytest.raises(ValueError, match=r"JSON|character|UTF-8|literal"):
        read_answer(marshal.dumps(answer, version))


def test_what_a_child_says_is_json() -> None:
    """Whatever a contract made of it."""
    told = ["done", [[0, "", "né", '{"a":1}', [0], [["bank", "a", "", 9, "b", True, [1]]], [[0, None, "00"]]]]]
    frame = answer_frame(told)
    assert int.from_bytes(frame[:LENGTH_BYTES], "big") == len(frame) - LENGTH_BYTES
    assert read_answer(frame[LENGTH_BYTES:]) == read_answer(bytearray(frame[LENGTH_BYTES:])) == told
