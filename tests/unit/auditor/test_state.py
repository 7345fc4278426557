"""What ordering keeps comes back out of the cells, and what a call expects is all that it relies on."""

from dataclasses import replace

import pytest

from auditor.state import OrderState, initial_cells, read_sequence, write_sequence
from protocol.errors import CountersignError
from protocol.hashing import ZERO_HASH
from protocol.journal import Head
from tests.parties import make_epochs
from tests.worlds import World


def advanced() -> OrderState:
    """A state in which no field has its first value."""
    world = World()
    _, update = world.order(world.put("a", 1))
    return OrderState(
        store_id=b"i" * 32,
        epoch=3,
        head=Head.start().advance(update.statement),
        order_hash=b"o" * 32,
        ordered_at_ms=1_700_000_000_123,
        positions={1: (2**40, -1), 0: (7, 12)},
        rejection_number=5,
        rejection_hash=b"r" * 32,
        decided=-1,
        stopped="",
        replay_entries=9,
    )


def test_a_state_comes_back_from_its_cells() -> None:
    """Every field, with unknown leader epochs and great offsets."""
    state = advanced()
    cells = {**state.cells(), "store_id": b"i" * 32, "decided": write_sequence(-1)}
    assert OrderState.from_cells(cells, 9) == state
    stopped = OrderState.from_cells({**cells, "stopped": "é".encode(), "decided": write_sequence(0)}, 0)
    assert stopped == replace(state, stopped="é", decided=0, replay_entries=0)


def test_equal_states_have_equal_cells() -> None:
    """In whatever order partitions were read: a call compares the bytes."""
    state = advanced()
    assert list(state.positions) != sorted(state.positions)
    turned = replace(state, positions=dict(sorted(state.positions.items())))
    assert turned.cells() == state.cells()


def test_a_new_store_is_where_a_new_ledger_starts() -> None:
    """Nothing ordered, nothing rejected, nothing decided, in the store that the configuration names."""
    epochs = make_epochs()
    store_id = epochs.latest.auditor_store_id
    state = OrderState.from_cells({**initial_cells(epochs), "store_id": store_id}, 0)
    assert state == OrderState.start(epochs)
    assert (state.sequence, state.decided, state.rejection_number, state.ordered_at_ms) == (-1, -1, -1, 0)
    assert (state.order_hash, state.rejection_hash, state.positions) == (ZERO_HASH, ZERO_HASH, {})
    assert read_sequence(initial_cells(epochs)["delivered"]) == -1


def test_a_call_expects_all_that_ordering_writes_and_that_it_is_its_store_and_not_stopped() -> None:
    """`decided` is left out: the validating machine moves it meanwhile."""
    state = advanced()
    assert state.expected() == {**state.cells(), "store_id": b"i" * 32, "stopped": b""}
    assert state.cells().keys() == {"epoch", "head", "order", "positions", "rejection"}


@pytest.mark.parametrize("name", ["store_id", "epoch", "head", "order", "rejection", "decided"])
def test_a_missing_cell_is_damage(name: str) -> None:
    """The store's fault, and said so; only positions and `stopped` may be absent."""
    cells = {**advanced().cells(), "store_id": b"i" * 32, "decided": write_sequence(-1)}
    del cells[name]
    with pytest.raises(CountersignError) as damaged:
        OrderState.from_cells(cells, 0)
    assert damaged.value.code == "store.damaged"


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("head", b""),
        ("head", bytes(8) + Head.start().to_bytes()[8:]),
        ("order", b"short"),
        ("rejection", b""),
        ("positions", b"1"),
        ("stopped", b"\xff"),
    ],
)
def test_a_cell_in_another_form_is_damage(name: str, cell: bytes) -> None:
    """Not an error of Python's."""
    cells = {**advanced().cells(), "store_id": b"i" * 32, "decided": write_sequence(-1), name: cell}
    with pytest.raises(CountersignError) as damaged:
        OrderState.from_cells(cells, 0)
    assert damaged.value.code == "store.damaged"


def test_what_was_decided_meanwhile_is_taken_over_and_nothing_else() -> None:
    """The other cells are ordering's own: what it knows of them is newer."""
    state = advanced()
    assert state.with_decided({"decided": write_sequence(0), "order": b"other"}) == replace(state, decided=0)


def test_a_store_that_was_emptied_is_seen() -> None:
    """Without the cell nobody may go on as if nothing had been decided."""
    with pytest.raises(CountersignError) as wiped:
        advanced().with_decided({})
    assert wiped.value.code == "store.wiped"


@pytest.mark.parametrize("sequence", [-1, 0, 2**40])
def test_a_sequence_is_a_cell_of_eight_bytes(sequence: int) -> None:
    """The sequence before the first one, too."""
    assert read_sequence(write_sequence(sequence)) == sequence
    assert len(write_sequence(sequence)) == 8
