"""One transaction over two services, each with a manager of its own over the shared coordinator."""

import asyncio

import pytest

from protocol.errors import CountersignError
from storage.model.operations import Key
from storage.transactions.async_manager import AsyncTransaction, AsyncTransactionManager
from storage.transactions.errors import TransactionConflictError
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
    own.join(whole.id).insert("office.notes", Key((1,)), {"text": "order"})
    assert other.join(whole.id).get(TABLE, key(0)) is not None
    other.join(whole.id).update(TABLE, key(0), {"balance": 60})
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
    own.join(whole.id).insert("office.notes", Key((1,)), {"text": "order"})
    other.join(whole.id).get(TABLE, key(0))
    own.join(whole.id).get(TABLE, key(1))
    other.join(whole.id).update(TABLE, key(0), {"balance": 60})
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
    own.join(whole.id).update(TABLE, key(0), {"balance": 60})
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
