"""The committing machine and its store: calls that are refused, other processes on it, and beginning again from it."""

from dataclasses import replace

import pytest

from deploy.stores import create_ledger_store
from protocol.hashing import tagged
from schemas.statement import Result
from storage.effects import (
    Apply,
    Event,
    Fetch,
    Halt,
    Load,
    Note,
    Publish,
    ReadOutbox,
    Refused,
    Report,
    Seek,
    Sign,
    Verify,
)
from storage.memory_store import MemoryStore
from storage.messages import Position
from storage.performer import StorePerformer
from storage.ports import OutboxTrim, StoreCall
from tests.attacks.stages import MemoryGuard
from tests.gallery.hanging import order_of
from tests.unit.ledger.committing import COMMITTED, A, Committer, kinds, measured, of_kind

BEGUN_AGAIN = [Report, Load, ReadOutbox, Seek, ReadOutbox, Note, Sign, Publish, Report]


@pytest.fixture
def committer() -> Committer:
    return Committer()


def twin_of(committer: Committer) -> Committer:
    """Another process of the same Ledger, on the same disks."""
    twin = Committer(committer.world)
    twin.store, twin.guard = committer.store, committer.guard
    twin.start()
    return twin


# --- A call that is refused ---


def test_a_call_that_was_done_already_is_not_done_again(committer: Committer) -> None:
    """A driver that tries again is refused over its own batch: the result is sent from the outbox, as it would be."""

    def apply_twice(effect: Apply) -> Event:
        performer = StorePerformer(committer.store, committer.guard, lambda: committer.now_ms)
        performer.perform(effect)
        return performer.perform(effect)

    committer.meanwhile[Apply] = apply_twice
    effects = committer.take(committer.decide())
    assert kinds(effects)[-len(BEGUN_AGAIN) :] == BEGUN_AGAIN
    assert measured(effects) == {"refused_cell": 1, "gauge_sequence": 0}
    assert committer.values("results") == committer.expected(0)
    committer.commit(1)
    assert committer.values("results") == committer.expected(0, 1)


def test_nothing_is_signed_when_the_store_refuses(committer: Committer) -> None:
    """Somebody else is active, and committed the same order first: his statement is the one, and it is sent again."""
    twin = twin_of(committer)
    order = committer.decide()

    def commit_first(effect: Apply) -> None:
        twin.take(order)

    committer.meanwhile[Apply] = commit_first
    effects = committer.take(order)
    assert kinds(effects) == [Verify, *COMMITTED[:4], *BEGUN_AGAIN]
    assert committer.published == twin.published
    assert committer.values("results") == committer.expected(0)
    assert committer.state.sequence == 0


def test_a_store_that_another_one_was_put_in_place_of_takes_nothing(committer: Committer) -> None:
    """A wiped store that was filled anew has another id: the call of whoever loaded the old one is refused, and what he
    knew of it is forgotten.
    """
    committer.commit(1, verify=False)
    order = committer.decide()

    def replace_store(effect: Apply) -> None:
        committer.store = MemoryStore()
        create_ledger_store(committer.store, committer.world.epochs)

    committer.meanwhile[Apply] = replace_store
    effects = committer.take(order)
    assert kinds(effects) == [Verify, *COMMITTED[:4], Report, Load, Seek]
    assert committer.state.sequence == -1
    committer.take(order_of(committer.world, 0), order)
    assert committer.values("results") == committer.expected(0, 0, 1)


def test_what_is_held_is_dropped_with_what_was_loaded(committer: Committer) -> None:
    """After a refusal everything is read again from the store's positions."""
    orders = [committer.decide(), committer.decide()]
    committer.take(orders[1])
    committer.learn(committer.world.decisions[1])

    def refuse(effect: Apply) -> Event:
        return Refused(now_ms=committer.now_ms, reason="read", cells={}, stale=(A,))

    committer.meanwhile[Apply] = refuse
    effects = committer.take(orders[0])
    assert measured(effects) == {"refused_read": 1}
    assert committer.values("results") == []
    committer.take(orders[0])
    assert committer.state.sequence == 0, "the second order is not held any more"
    committer.take(orders[1])
    committer.learn(committer.world.decisions[0])
    committer.take(committer.decide())
    assert measured(committer.asked)["gauge_unverified"] == 2, "nor is its decision"


def test_whoever_was_overtaken_accuses_nobody(committer: Committer) -> None:
    """Another process committed the order between two looks at the store: its request stands there already."""
    twin = twin_of(committer)
    order = committer.decide()

    def commit_first(effect: Fetch) -> None:
        twin.take(order)

    committer.meanwhile[Fetch] = commit_first
    effects = committer.take(order)
    assert kinds(effects) == [Verify, Fetch, Load, *BEGUN_AGAIN[1:]]
    assert committer.halt is None
    assert committer.values("results") == committer.expected(0)
    assert committer.values("evidence") == []


# --- Beginning again ---


def test_a_machine_that_begins_again_goes_on_from_the_store(committer: Committer) -> None:
    """It sends what is not verified again, byte for byte, and reads on behind what the store has."""
    committer.commit(2)
    committer.commit(2, verify=False)
    committer.learn(committer.world.decisions[2])
    committer.commit(1, verify=False)
    committer.published.clear()
    effects = committer.start()
    assert kinds(effects) == [Load, ReadOutbox, Seek, ReadOutbox, Note, Sign, Publish, Report]
    assert measured(effects) == {"gauge_sequence": 4}, "nothing may come for long"
    assert committer.values("results") == committer.expected(3, 4)
    (seek,) = of_kind(effects, Seek)
    assert seek.positions == (Position("orders", 0, 5, 7), Position("decisions", 0, 3, 7))
    committer.learn(committer.world.decisions[3], committer.world.decisions[4])
    committer.take(committer.decide())
    assert measured(committer.asked)["gauge_unverified"] == 1
    assert committer.halt is None


@pytest.mark.parametrize("effect", [Apply, Note, Sign, Publish])
def test_a_crash_before_any_effect_changes_no_byte(committer: Committer, effect: type) -> None:
    """One statement of a sequence, whenever the machine is dropped."""
    committer.commit(1)
    order = committer.decide()

    def crash(asked: object) -> None:
        raise InterruptedError

    committer.meanwhile[effect] = crash
    with pytest.raises(InterruptedError):
        committer.take(order)
    assert committer.values("results") == committer.expected(0)
    committer.start()
    if effect is Apply:
        committer.take(order)
    assert list(dict.fromkeys(committer.values("results"))) == committer.expected(0, 1)


def test_many_unverified_results_are_read_and_sent_in_portions(committer: Committer) -> None:
    """Eight at a time, whichever number there is; each decision finds its statement."""
    committer.commit(17, verify=False)
    committer.published.clear()
    effects = committer.start()
    reads = [(read.kind, read.first, read.last) for read in of_kind(effects, ReadOutbox)]
    portions = [("result", 0, 7), ("result", 8, 15), ("result", 16, 16)]
    assert reads == portions * 2
    assert [len(sent.messages) for sent in of_kind(effects, Publish)] == [8, 8, 1]
    assert committer.values("results") == committer.expected(*range(17))
    committer.learn(*committer.world.decisions.values())
    assert committer.halt is None
    committer.take(committer.decide())
    assert measured(committer.asked)["gauge_unverified"] == 1


@pytest.mark.parametrize("missing", ["first", "last"])
def test_a_store_that_lost_results_halts_the_ledger(committer: Committer, missing: str) -> None:
    """What was signed and is not verified must be there to be sent again."""
    committer.commit(1)
    committer.commit(3, verify=False)
    sequence = {"first": 1, "last": 3}[missing]
    kept = [entry for entry in committer.store.read_outbox("result", 0, 9) if entry.number != sequence]
    call = StoreCall(expected_cells={}, cells={}, outbox_trim=(OutboxTrim("result", 9),), outbox_put=kept)
    committer.store.apply(call)
    committer.published.clear()
    effects = committer.start()
    assert kinds(effects) == [Load, ReadOutbox, Load, Halt]
    assert committer.halt is not None
    assert committer.halt.code == "store.damaged"
    assert committer.published == []


def test_results_that_another_process_trimmed_meanwhile_are_not_missed(committer: Committer) -> None:
    """The store has moved on since it was loaded: it is loaded again."""
    committer.commit(2, verify=False)
    twin = twin_of(committer)

    def go_on(effect: ReadOutbox) -> None:
        twin.learn(*committer.world.decisions.values())
        twin.commit(1, verify=False)
        committer.store.apply(StoreCall(expected_cells={}, cells={}, outbox_trim=(OutboxTrim("result", 2),)))

    committer.meanwhile[ReadOutbox] = go_on
    effects = committer.start()
    assert kinds(effects) == [Load, ReadOutbox, Load, Load, ReadOutbox, Seek, ReadOutbox, Note, Sign, Publish, Report]
    assert committer.halt is None
    assert committer.values("results")[2:] == committer.expected(2)


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_store_of_another_epoch_is_not_served(committer: Committer, epoch: int) -> None:
    """The configuration that the store follows is missing, or the store is behind it."""
    committer.world.begin_epoch()
    cells = {"epoch": epoch.to_bytes(8, "big")}
    committer.store.apply(StoreCall(expected_cells={}, cells=cells))
    assert kinds(committer.start()) == [Load, Halt]
    assert committer.halt == Halt(code="epoch.needed", text=f"the store is in epoch {epoch}")


def test_a_store_that_was_made_and_not_filled_is_wiped(committer: Committer) -> None:
    """It never begins at 0 by itself."""
    committer.store = MemoryStore()
    committer.store.create(b"l" * 32)
    committer.start()
    assert committer.halt is not None
    assert committer.halt.code == "store.wiped"


def test_a_lost_guard_takes_what_is_sent_again(committer: Committer) -> None:
    """Statements are functions of the orders; the guard goes on from the first one that it is given."""
    committer.commit(2, verify=False)
    committer.guard = MemoryGuard()
    committer.start()
    committer.commit(1)
    assert committer.values("results") == committer.expected(0, 1, 0, 1, 2)


def test_a_guard_that_holds_another_statement_lets_nothing_be_signed(committer: Committer) -> None:
    """The store was rolled back, and the Auditor ordered something else: two statements would convict the Ledger."""
    backup = committer.store.copy()
    order = committer.decide()
    committer.take(order)
    committer.store = backup
    committer.start()
    committer.published.clear()
    other = committer.world.reorder(order, commitment=tagged("commit", b"other"))
    effects = committer.take(other)
    assert kinds(effects)[-2:] == [Note, Halt]
    assert committer.published == []


# --- What the outbox keeps ---


def test_results_and_orders_are_kept_for_two_windows() -> None:
    """Of the last 2W verified ones they are still there, for whoever is behind; and not one more."""
    committer = Committer(window=2)
    committer.commit(9)
    committer.commit(2, verify=False)
    assert (committer.state.verified, committer.state.sequence) == (8, 10)
    assert committer.outbox("result") == committer.outbox("order") == [4, 5, 6, 7, 8, 9, 10]


def test_a_result_waits_unsigned(committer: Committer) -> None:
    """Whoever steals the store has no signature of the last batch that the guard has not noted."""
    committer.commit(1)
    (entry,) = committer.store.read_outbox("result", 0, 0)
    assert Result.from_bytes(entry.message).ledger_signature == bytes(64)
    (value,) = committer.values("results")
    assert replace(Result.from_message(value), ledger_signature=bytes(64)) == Result.from_bytes(entry.message)
