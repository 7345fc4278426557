"""A client that dies at any storage call of its commit leaves nothing half done, and nothing blocked for long."""

from itertools import islice
from typing import Any

import pytest

from protocol.errors import CountersignError
from storage.model.operations import Key, ScanByIndex
from storage.model.schema import TableName
from storage.tables.errors import UnknownOutcomeError
from storage.transactions.effects import All, Apply, Pull, Read, Steps
from storage.transactions.errors import TransactionAbortedError, TransactionConflictError
from storage.transactions.layout import ABORTED, COMMITTED
from storage.transactions.transaction_manager import Outcome, TransactionManager
from tests.unit.storage.transactions.test_transaction_manager import ACCOUNTS, NOTES, TABLE, balance, key, make

PREPARED_CALLS = 2
"""Of a transfer over two stores: after them everything is prepared."""

DECIDED_CALLS = 3
"""After them it is decided."""


def drive(manager: TransactionManager, steps: Steps[Any], calls: int, lost: int | None = None) -> bool:
    """Run a part of the core until it has made so many storage calls; tell if it came to its end.

    The answer to the call numbered `lost` is lost: it was made, but the client hears nothing.
    """
    answer: Any = None
    made = 0
    try:
        while True:
            effect = steps.throw(answer) if isinstance(answer, CountersignError) else steps.send(answer)
            parts = effect.parts if isinstance(effect, All) else (effect,)
            answers = []
            for part in parts:
                if isinstance(part, Read | Apply | Pull):
                    if made == calls:
                        return False
                    made += 1
                try:
                    answers.append(manager.driver.perform(part))
                except CountersignError as error:
                    answers.append(error)
                if isinstance(part, Apply) and made - 1 == lost:
                    answers[-1] = UnknownOutcomeError("lost")
            answer = answers if isinstance(effect, All) else answers[0]
    except StopIteration:
        return True


def transfer(manager: TransactionManager) -> Any:
    transaction = manager.begin()
    transaction.get_many([(TABLE, key(0)), (TABLE, key(1))])
    transaction.update(TABLE, key(0), {"balance": 50, "owner": "moved"})
    transaction.delete(TABLE, key(1))
    transaction.insert("office.notes", Key((1,)), {"text": "moved"})
    return transaction


@pytest.mark.parametrize("calls", range(8))
@pytest.mark.parametrize(("two_stores", "one_phase"), [(False, True), (False, False), (True, True), (True, False)])
def test_a_crash_at_every_call(two_stores: bool, one_phase: bool, calls: int) -> None:
    """After the lease, all of the transaction is there or none of it, as its outcome says, and others go on."""
    manager = make(two_stores, one_phase)
    crashed = transfer(manager)
    drive(manager, crashed.core.commit(), calls)
    state = manager.run(lambda other: other.get_many([(TABLE, key(0)), (TABLE, key(1)), ("office.notes", Key((1,)))]))
    done = state[0] is not None and state[0]["balance"] == 50
    assert state[1] is None if done else state[1] is not None
    assert (state[2] is not None) is done
    moved = manager.run(lambda other: other.scan(ScanByIndex(table=ACCOUNTS.name, column="owner", value="moved")))
    assert len(moved) == int(done)
    assert manager.resolve(crashed.id) is (Outcome.COMMITTED if done else Outcome.ABORTED)
    manager.run(lambda other: other.update(TABLE, key(0), {"balance": 1}))
    assert balance(manager, 0) == 1
    manager.close()


@pytest.mark.parametrize("lost", range(6))
@pytest.mark.parametrize(("two_stores", "one_phase"), [(False, True), (False, False), (True, True), (True, False)])
def test_a_lost_answer_at_every_call(two_stores: bool, one_phase: bool, lost: int) -> None:
    """The client learns what became of a call whose answer was lost: a batch that was applied counts."""
    manager = make(two_stores, one_phase)
    transaction = transfer(manager)
    assert drive(manager, transaction.core.commit(), 100, lost)
    assert balance(manager, 0) == 50
    assert balance(manager, 1) is None
    assert manager.resolve(transaction.id) is Outcome.COMMITTED
    manager.close()


def test_a_reader_does_not_wait_beyond_its_bound() -> None:
    """A record that is held within its lease is a conflict after a bounded wait, never a before-image."""
    manager = make(one_phase=False)
    object.__setattr__(manager.settings, "lease_ms", 60_000)
    crashed = transfer(manager)
    assert not drive(manager, crashed.core.commit(), 1)
    with pytest.raises(TransactionConflictError):
        balance(manager, 0)
    manager.close()


def test_resolve_aborts_what_is_not_decided() -> None:
    """After `resolve` said aborted the transaction cannot be committed any more, in one phase neither."""
    for one_phase in (True, False):
        manager = make(one_phase=one_phase)
        late = transfer(manager)
        assert manager.resolve(late.id, settle=False) is Outcome.UNDECIDED
        assert manager.resolve(late.id) is Outcome.ABORTED
        with pytest.raises(TransactionConflictError):
            late.commit()
        assert balance(manager, 0) == 100
        manager.close()


def test_the_sweeper_finishes_what_was_decided() -> None:
    """A client that died between the decision and its records: the sweep brings them forward."""
    manager = make(two_stores=True, one_phase=False)
    crashed = transfer(manager)
    steps = crashed.core.commit()
    assert not drive(manager, steps, 3)
    assert manager.resolve(crashed.id, settle=False) is Outcome.COMMITTED
    assert manager.sweep().settled == 1
    assert balance(manager, 0) == 50
    assert list(islice([manager.metrics()["recovered_forward"]], 1)) == [0]
    manager.close()


def test_a_durable_abort_in_the_home_is_seen_without_settling() -> None:
    """A transaction in two phases is decided in the home alone: a reader that gave it up has decided it."""
    manager = make(two_stores=True, one_phase=False)
    crashed = transfer(manager)
    drive(manager, crashed.core.commit(), PREPARED_CALLS)
    assert manager.resolve(crashed.id, settle=False) is Outcome.UNDECIDED
    coordinator = manager.world.coordinator
    assert manager.driver.run(coordinator.abort(coordinator.home, crashed.id, 0)) == ABORTED
    assert manager.resolve(crashed.id, settle=False) is Outcome.ABORTED
    manager.close()


@pytest.mark.parametrize("calls", range(8))
def test_who_resolves_aborts_in_the_home_last(calls: int) -> None:
    """A resolver that dies half way never makes `peek` call a transaction aborted that can still commit."""
    manager = make(two_stores=True)
    transaction = manager.begin()
    transaction.upsert("office.notes", Key((1,)), {"text": "late"})
    drive(manager, manager.world.coordinator.resolve(transaction.id, 0), calls)
    seen = manager.resolve(transaction.id, settle=False)
    try:
        transaction.commit()
    except TransactionAbortedError:
        assert seen in (Outcome.ABORTED, Outcome.UNDECIDED)
    else:
        assert seen is Outcome.UNDECIDED
    manager.close()


def test_a_dropped_table_keeps_no_row_of_the_coordinator() -> None:
    """Nothing of it can be prepared any more; also where the manager knew the table before it was dropped."""
    manager = make(two_stores=True)
    crashed = transfer(manager)
    drive(manager, crashed.core.commit(), DECIDED_CALLS)
    assert manager.resolve(crashed.id, settle=False) is Outcome.COMMITTED
    manager.stores["second"].drop_table(NOTES.name)
    object.__setattr__(manager.settings, "retention_ms", -1000)
    kept = [manager.sweep(tables=False).kept for _ in range(2)]
    assert kept[-1] == 0
    manager.close()


def test_a_table_that_another_service_may_have_keeps_its_row() -> None:
    """This manager knows its namespace by default only: that its store has no such table proves nothing."""
    manager = make()
    record = (TableName("elsewhere", "things"), Key((1,)))
    coordinator, new = manager.world.coordinator, manager.begin().id
    manager.stores["only"].apply(coordinator.decision("only", new, COMMITTED, 0, (record,)))
    object.__setattr__(manager.settings, "retention_ms", -1000)
    assert manager.sweep(tables=False).kept == 1
    manager.close()
