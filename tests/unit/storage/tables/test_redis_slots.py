"""The map of a cluster's slots: what nodes say of it is checked, whatever they say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.tables.redis_nodes import CATALOGUE
from storage.tables.redis_slots import (
    NODES_MAX,
    SLOTS,
    NodeAddress,
    SlotMapError,
    checked_address,
    read_slot_map,
    slot_of,
)

ASKED = NodeAddress("10.0.0.1", 7000)
NODE = [b"10.0.0.2", 7001, b"id", []]


def test_slots_are_those_of_the_specification() -> None:
    """As CLUSTER KEYSLOT of a real server gives them for `t:{0}r1`, `t:{255}v` and `t:{catalogue}tables`."""
    assert (slot_of(0), slot_of(255), slot_of(CATALOGUE)) == (13907, 14163, 2698)


def test_a_map() -> None:
    """Says who serves each slot, and knows the replicas; a node without an address is where the one asked is."""
    replica = [None, 7005, b"id"]
    found = read_slot_map([[0, 9, NODE, replica], [20, SLOTS - 1, [b"", 7000, b"id"]]], ASKED)
    assert found.owners[9] == NodeAddress("10.0.0.2", 7001)
    assert found.owners[10] is None
    assert found.owners[20] == found.owners[-1] == ASKED
    assert found.primaries == (NodeAddress("10.0.0.2", 7001), ASKED)
    assert set(found.nodes) == {*found.primaries, NodeAddress("10.0.0.1", 7005)}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"OK",
        [],
        [[0, 1]],
        [[0, 1, []]],
        [[0, 1, NODE], [1, 2, NODE]],
        [[5, 4, NODE]],
        [[-1, 4, NODE]],
        [[0, SLOTS, NODE]],
        [[b"0", 1, NODE]],
        [[0, 1, [b"10.0.0.2", 0]]],
        [[0, 1, [b"10.0.0.2", 65_536]]],
        [[0, 1, [b"10.0.0.2", True]]],
        [[0, 1, [b"?", 1]]],
        [[0, 1, [b"a b", 1]]],
        [[0, 1, [b"a\r\n", 1]]],
        [[0, 1, [b"\xff", 1]]],
        [[0, 1, [b"a" * 256, 1]]],
        [[0, 1, [7, 1]]],
        [[0, 1, *([NODE] * (NODES_MAX + 1))]],
        [[0, 1, NODE, *([b"10.0.0.3", port] for port in range(1, NODES_MAX + 1))]],
        [[slot, slot, [b"10.0.0.3", slot + 1]] for slot in range(NODES_MAX + 1)],
        [[0, 1, NODE]] * (SLOTS + 1),
    ],
)
def test_what_is_no_map(answer: Any) -> None:
    """Has its code."""
    with pytest.raises(SlotMapError) as refused:
        read_slot_map(answer, ASKED)
    assert refused.value.code == "store.bad_slot_map"


LEAVES = st.none() | st.integers() | st.integers(0, SLOTS) | st.binary(max_size=300) | st.booleans() | st.text()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5), max_leaves=30))
def test_whatever_is_said(answer: Any) -> None:
    """Is a map, or refused: never another error."""
    try:
        found = read_slot_map(answer, ASKED)
    except SlotMapError:
        return
    assert found.primaries


@pytest.mark.parametrize(("host", "port"), [("a b", 1), ("", 0), ("?", 1), ("a" * 256, 1), ("a", -1)])
def test_where_a_call_is_sent_on_to(host: str, port: int) -> None:
    """Is checked as well; no host is that of who says it."""
    with pytest.raises(SlotMapError):
        checked_address(host, port, ASKED)
    assert checked_address("", 7009, ASKED) == NodeAddress("10.0.0.1", 7009)
