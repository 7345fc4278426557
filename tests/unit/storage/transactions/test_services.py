"""One transaction over two services, each with a manager of its own over the shared coordinator."""

import asyncio
import time
from collections.abc import Callable

import pytest

from protocol.errors import CountersignError
from storage.model.errors import InvalidOperationError
from storage.model.operations import Key
from storage.tables.errors import StoreContendedError
from storage.transactions import services
from storage.transactions.async_manager import AsyncTransaction, AsyncTransactionManager
from storage.transactions.errors import TransactionConflictError, TransactionMisuseError
from storage.transactions.services import JoinedTransactions, ServicesTransaction
from storage.transactions.transaction_manager import Outcome, TransactionManager
from tests.unit.storage.transactions.test_transaction_manager import TABLE, balance, key, make


def two_services() -> tuple[TransactionManager, TransactionManager]:
    orders = make(two_stores=True)
    customers = TransactionManager(
        orders.stores, home="first", namespaces={"bank": "first", "office": "second"}, settings=orders.settings
    )
    return orders, customers


def test_both_services_commit_together() -> None:
    """What each has written is there after the initiator's commit, and the outcome is one."""
    orders, customers = two_services()
    own, other = JoinedTransactions(orders), JoinedTransactions(customers)
    whole = ServicesTransaction(orders, {"orders": own, "customers": other})
    own.join(whole.ticket("orders")).insert("office.notes", Key((1,)), {"text": "order"})
    assert other.join(whole.ticket("customers")).get(TABLE, key(0)) is not None
    other.join(whole.ticket("customers")).update(TABLE, key(0), {"balance": 60})
    whole.commit()
    assert balance(orders, 0) == 60
    assert orders.begin().get("office.notes", Key((1,))) == {"id": 1, "text": "order"}
    assert customers.resolve(whole.id) is Outcome.COMMITTED
    with pytest.raises(CountersignError, match=r"transaction\.ended"):
        whole.commit()
    orders.close()
    customers.close()


def test_a_conflict_in_one_service_undoes_all() -> None:
    """The other service's prepared records are brought back."""
    orders, customers = two_services()
    own, other = JoinedTransactions(orders), JoinedTransactions(customers)
    whole = ServicesTransaction(orders, {"orders": own, "customers": other})
    own.join(whole.ticket("orders")).insert("office.notes", Key((1,)), {"text": "order"})
    other.join(whole.ticket("customers")).get(TABLE, key(0))
    own.join(whole.ticket("orders")).get(TABLE, key(1))
    other.join(whole.ticket("customers")).update(TABLE, key(0), {"balance": 60})
    orders.run(lambda third: third.update(TABLE, key(1), {"balance": 0}))
    with pytest.raises(TransactionConflictError):
        whole.commit()
    assert balance(orders, 0) == 100
    assert orders.begin().get("office.notes", Key((1,))) is None
    orders.close()
    customers.close()


def test_a_service_that_forgot_undoes_all() -> None:
    """A participant that was started again does not know the transaction: nothing is committed."""
    orders, customers = two_services()
    own = JoinedTransactions(orders)
    whole = ServicesTransaction(orders, {"orders": own, "customers": JoinedTransactions(customers)})
    own.join(whole.ticket("orders")).update(TABLE, key(0), {"balance": 60})
    with pytest.raises(CountersignError, match=r"transaction\.participant"):
        whole.commit()
    assert balance(orders, 0) == 100
    orders.close()
    customers.close()


def test_coroutines_share_a_hot_record() -> None:
    """The asyncio twin: every coroutine comes through, none of their changes is lost."""
    manager = make(two_stores=True)

    async def add(transaction: AsyncTransaction) -> None:
        row = await transaction.get(TABLE, key(0))
        assert row is not None
        assert isinstance(row["balance"], int)
        await transaction.update(TABLE, key(0), {"balance": row["balance"] + 1})

    async def all_of_them() -> None:
        twin = AsyncTransactionManager(manager)
        await asyncio.gather(*(twin.run(add) for _ in range(30)))

    asyncio.run(all_of_them())
    assert balance(manager, 0) == 130
    manager.close()


def test_a_failed_prepare_that_is_asked_again_fails_again() -> None:
    """A stub whose first answer was lost asks again: half of what the service was to write is never committed."""
    orders, customers = two_services()
    own, other = JoinedTransactions(orders), JoinedTransactions(customers)

    class Retrying(JoinedTransactions):
        def prepare(self, transaction_id: str, calls: int) -> bytes:
            with pytest.raises(TransactionConflictError):
                other.prepare(transaction_id, calls)
            return other.prepare(transaction_id, calls)

    whole = ServicesTransaction(orders, {"orders": own, "customers": Retrying(customers)})
    own.join(whole.ticket("orders")).insert("office.notes", Key((1,)), {"text": "order"})
    part = other.join(whole.ticket("customers"))
    part.get(TABLE, key(0))
    part.update(TABLE, key(0), {"balance": 60})
    orders.run(lambda third: third.update(TABLE, key(0), {"balance": 7}))
    with pytest.raises(TransactionConflictError):
        whole.commit()
    assert balance(orders, 0) == 7
    assert orders.begin().get("office.notes", Key((1,))) is None
    with pytest.raises(CountersignError, match=r"transaction\.phase"):
        other.validate(whole.id)
    orders.close()
    customers.close()


def test_a_prepare_that_is_asked_again_says_the_same() -> None:
    """And a part that its service has rolled back, by a `with` block or otherwise, is not prepared."""
    orders, customers = two_services()
    own = JoinedTransactions(orders)
    whole = ServicesTransaction(orders, {"orders": own})
    own.join(whole.ticket("orders")).update(TABLE, key(0), {"balance": 60})
    packed = own.prepare(whole.id, 1)
    assert packed != b"[]"
    assert own.prepare(whole.id, 1) == packed
    whole.commit()
    assert balance(orders, 0) == 60
    whole = ServicesTransaction(orders, {"orders": own})
    with own.join(whole.ticket("orders")) as part:
        part.update(TABLE, key(0), {"balance": 50})
    with pytest.raises(CountersignError, match=r"transaction\.ended"):
        whole.commit()
    assert balance(orders, 0) == 60
    orders.close()
    customers.close()


def test_a_service_that_was_started_again_between_two_calls_undoes_all() -> None:
    """It does not take the second call for the first, so half of its part is never committed."""
    orders, customers = two_services()
    other = JoinedTransactions(customers)
    whole = ServicesTransaction(orders, {"customers": other})
    part = other.join(whole.ticket("customers"))
    assert other.join(whole.ticket("customers")) is part
    again = JoinedTransactions(customers)
    with pytest.raises(CountersignError, match=r"transaction\.participant"):
        again.join(whole.ticket("customers"))
    orders.close()
    customers.close()


def test_a_late_first_call_is_not_the_whole_part() -> None:
    """A service that was started again and meets the first call once more has not seen the others: nothing is kept."""
    orders, customers = two_services()
    gone, again = JoinedTransactions(customers), JoinedTransactions(customers)
    whole = ServicesTransaction(orders, {"customers": again})
    first, second = whole.ticket("customers"), whole.ticket("customers")
    gone.join(first).update(TABLE, key(0), {"balance": 60})
    gone.join(second).update(TABLE, key(1), {"balance": 140})
    again.join(first).update(TABLE, key(0), {"balance": 60})
    with pytest.raises(CountersignError, match=r"1 of 2 calls"):
        whole.commit()
    assert (balance(orders, 0), balance(orders, 1)) == (100, 100)
    orders.close()
    customers.close()


@pytest.mark.parametrize("ticket", ["", "x:0", "0" * 32, "0" * 32 + ":", "0" * 32 + ":-1", "0" * 32 + ":\u0661"])
def test_what_is_no_ticket_is_refused(ticket: str) -> None:
    """Before anything is kept about it."""
    manager = make()
    with pytest.raises(InvalidOperationError, match=r"value\.out_of_range"):
        JoinedTransactions(manager).join(ticket)
    manager.close()


def test_a_ticket_is_of_a_participant_and_of_its_time() -> None:
    """A service that would not be prepared gets none, and after the end nobody does."""
    manager = make()
    whole = ServicesTransaction(manager, {"own": JoinedTransactions(manager)})
    with pytest.raises(TransactionMisuseError, match=r"transaction\.phase"):
        whole.ticket("another")
    whole.rollback()
    with pytest.raises(TransactionMisuseError, match=r"transaction\.ended"):
        whole.ticket("own")
    manager.close()


def test_a_prepare_that_failed_once_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its store was contended for a moment: asked again it says the same, and prepares nothing late."""
    manager = make(one_phase=False)
    own = JoinedTransactions(manager)
    whole = ServicesTransaction(manager, {"own": own})
    own.join(whole.ticket("own")).update(TABLE, key(0), {"balance": 60})
    store = manager.stores["only"]
    with monkeypatch.context() as away:
        away.setattr(store, "apply", raising(StoreContendedError()))
        with pytest.raises(TransactionConflictError) as first:
            own.prepare(whole.id, 1)
    with pytest.raises(TransactionConflictError) as again:
        own.prepare(whole.id, 1)
    assert again.value is first.value
    whole.rollback()
    assert balance(manager, 0) == 100
    manager.close()


def raising(error: Exception) -> Callable[[object], None]:
    """What raises whatever it is given."""

    def fail(_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_part_takes_no_work_after_its_end(end: str) -> None:
    """A call of the service that is late finds its transaction ended: what it would write is never committed."""
    manager = make()
    own = JoinedTransactions(manager)
    whole = ServicesTransaction(manager, {"own": own})
    part = own.join(whole.ticket("own"))
    part.update(TABLE, key(0), {"balance": 60})
    getattr(whole, end)()
    with pytest.raises(TransactionMisuseError, match=r"transaction\.ended"):
        part.update(TABLE, key(1), {"balance": 140})
    assert balance(manager, 0) == (60 if end == "commit" else 100)
    manager.close()


def test_abandoned_parts_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts whose initiators died keep nobody out for longer than a lease and a wait; those in use stay."""
    monkeypatch.setattr(services, "_JOINED_MAX", 3)
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)  # lease and wait are shorter than a busy machine may pause
    manager = make()
    joined = JoinedTransactions(manager)
    wholes = [ServicesTransaction(manager, {"own": joined}) for _ in range(5)]
    used = joined.join(wholes[0].ticket("own"))
    for whole in wholes[1:3]:
        joined.join(whole.ticket("own"))
    with pytest.raises(TransactionMisuseError, match=r"transaction\.too_large"):
        joined.join(wholes[3].ticket("own"))
    now_s += 1
    used.update(TABLE, key(0), {"balance": 60})
    assert joined.join(wholes[0].ticket("own")) is used
    joined.join(wholes[4].ticket("own"))
    wholes[0].commit()
    assert balance(manager, 0) == 60
    with pytest.raises(CountersignError, match=r"transaction\.participant"):
        wholes[1].commit()
    manager.close()


@pytest.mark.parametrize(
    "packed", [b"[3", b"[1]", b'[["a","b",[["x"]],[]]]', b'[["a","b",[["n","z"]],[]]]', None, "[]"]
)
def test_a_service_that_answers_nonsense_undoes_all(packed: object) -> None:
    """Its answer is read before anything is decided, and the others are told to roll back."""
    orders, customers = two_services()
    own = JoinedTransactions(orders)
    whole = ServicesTransaction(orders, {"orders": own, "customers": Answering(packed)})
    own.join(whole.ticket("orders")).update(TABLE, key(0), {"balance": 60})
    with pytest.raises(CountersignError, match=r"transaction\.participant"):
        whole.commit()
    assert balance(orders, 0) == 100
    with pytest.raises(CountersignError, match=r"transaction\.participant"):
        own.validate(whole.id)
    orders.close()
    customers.close()


def test_a_transport_that_fails_never_tells_the_wrong_outcome() -> None:
    """Before the decision its own error comes out and all is undone; after it the transaction is committed."""
    orders, customers = two_services()
    own = JoinedTransactions(orders)
    whole = ServicesTransaction(orders, {"orders": own, "customers": Answering(b"[]")})
    own.join(whole.ticket("orders")).update(TABLE, key(0), {"balance": 60})
    whole.commit()
    assert balance(orders, 0) == 60
    whole = ServicesTransaction(orders, {"orders": own, "customers": Answering(ConnectionError("gone"))})
    own.join(whole.ticket("orders")).update(TABLE, key(0), {"balance": 50})
    with pytest.raises(ConnectionError):
        whole.commit()
    assert balance(orders, 0) == 60
    orders.close()
    customers.close()


class Answering:
    """A service whose answer to `prepare` is given, and which cannot be reached afterwards."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def prepare(self, transaction_id: str, calls: int) -> bytes:
        """Give the answer."""
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer  # type: ignore[return-value]  # of any type, as a stub might

    def validate(self, transaction_id: str) -> None:
        """Nothing was read."""

    def commit(self, transaction_id: str) -> None:
        """Is not reached."""
        raise ConnectionError(transaction_id)

    rollback = commit
