"""What the Ledger keeps in its store's cells comes back as it was, and damage does not."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.state import CommitState, initial_cells
from protocol.errors import CountersignError
from protocol.hashing import tagged
from protocol.journal import Head
from storage.effects import FIRST_OFFSET, Position
from storage.errors import StoreAbsentError
from tests.parties import make_epochs
from tests.worlds import World

STORE_ID = b"l" * 32
_OFFSETS = st.tuples(st.integers(-2, 2**63 - 1), st.integers(-1, 2**31 - 1))


def some_state() -> CommitState:
    """A state of which no two fields are alike."""
    world = World()
    for value in range(3):
        world.decide(world.put("a", value))
    return CommitState(
        store_id=STORE_ID,
        epoch=4,
        head=world.ledger.head,
        order_hash=tagged("order", b""),
        ordered_at_ms=world.now_ms,
        verified=1,
        orders=(7, 2),
        decisions=(5, 3),
        stopped="",
    )


def stored(state: CommitState) -> dict[str, bytes]:
    """The cells of a store in that state."""
    return {"store_id": state.store_id, **state.cells()}


@given(
    epoch=st.integers(0, 2**63 - 1),
    order_hash=st.binary(min_size=32, max_size=32),
    ordered_at_ms=st.integers(0, 2**64 - 1),
    verified=st.integers(-1, 2**63 - 1),
    orders=_OFFSETS,
    decisions=_OFFSETS,
    stopped=st.sampled_from(["", "order.stale_read"]),
)
def test_a_state_comes_back_from_its_cells(stopped: str, **changes: object) -> None:
    """Each number in its whole range; why it stopped is kept beside what committing writes."""
    state = replace(some_state(), **changes)  # type: ignore[arg-type]  # as the fields are
    cells = {**stored(state), **({"stopped": stopped.encode()} if stopped else {})}
    assert CommitState.from_cells(cells) == replace(state, stopped=stopped)


def test_a_new_ledger_starts_before_everything() -> None:
    """Nothing committed, nothing verified, both topics from their start."""
    epochs = make_epochs()
    cells = {"store_id": STORE_ID, **initial_cells(epochs, STORE_ID)}
    state = CommitState.from_cells(cells)
    assert state == CommitState.start(epochs, STORE_ID)
    assert (state.sequence, state.verified, state.epoch, state.ordered_at_ms) == (-1, -1, 0, 0)
    assert (state.head, state.order_hash, state.stopped) == (Head.start(), bytes(32), "")
    assert state.positions() == (Position("orders", 0, FIRST_OFFSET), Position("decisions", 0, FIRST_OFFSET))


def test_a_store_begins_in_the_epoch_in_force() -> None:
    """Which need not be the first one: a lost store is made anew in a later epoch."""
    world = World()
    world.begin_epoch()
    assert CommitState.start(world.epochs, STORE_ID).epoch == 1


def test_positions_are_those_of_their_topics() -> None:
    assert some_state().positions() == (Position("orders", 0, 7, 2), Position("decisions", 0, 5, 3))


def test_a_call_is_tied_to_this_store_this_epoch_and_this_head() -> None:
    """Whoever loaded another store, an older epoch or another head is refused, and so is everybody once it stopped.

    What only says how far others are must not be in the way of the next call.
    """
    state = some_state()
    cells = stored(state)
    assert state.expected() == {
        "store_id": STORE_ID,
        "epoch": cells["epoch"],
        "head": cells["head"],
        "stopped": b"",
    }
    others = {"store_id": b"m" * 32, "epoch": 5, "head": Head.start()}
    for name, value in others.items():
        assert replace(state, **{name: value}).expected() != state.expected()  # type: ignore[arg-type]  # as above
    for name in {field.name for field in fields(CommitState)} - others.keys() - {"stopped"}:
        value = {"orders": (8, 2), "decisions": (6, 3), "order_hash": bytes(32)}.get(name, 0)
        assert replace(state, **{name: value}).expected() == state.expected()  # type: ignore[arg-type]  # as above


def test_what_committing_writes_leaves_the_stores_id_and_the_stop_alone() -> None:
    """No call of its own could undo a stop."""
    assert not {"store_id", "stopped"} & some_state().cells().keys()


@pytest.mark.parametrize("cell", ["store_id", "epoch", "order", "verified", "orders", "decisions"])
def test_a_missing_cell_is_damage(cell: str) -> None:
    """It is not taken for a new store."""
    cells = stored(some_state())
    del cells[cell]
    with pytest.raises(CountersignError) as raised:
        CommitState.from_cells(cells)
    assert raised.value.code == "store.damaged"


@pytest.mark.parametrize("cell", ["head", "order", "orders", "decisions"])
@pytest.mark.parametrize("value", [b"", b"\0", bytes(48), bytes(99)])
def test_a_cell_of_another_form_is_damage(cell: str, value: bytes) -> None:
    cells = stored(some_state()) | {cell: value}
    with pytest.raises(CountersignError) as raised:
        CommitState.from_cells(cells)
    assert raised.value.code == "store.damaged"


def test_a_stop_that_is_no_text_is_damage() -> None:
    with pytest.raises(CountersignError) as raised:
        CommitState.from_cells(stored(some_state()) | {"stopped": b"\xff"})
    assert raised.value.code == "store.damaged"


def test_a_store_without_a_head_was_never_filled() -> None:
    """It was made, and the genesis did not get into it."""
    with pytest.raises(StoreAbsentError):
        CommitState.from_cells({"store_id": STORE_ID})
