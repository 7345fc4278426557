"""The customers' service: who they are, what they may owe, and what they do owe."""

from typing import Any

from examples.orders.places import CUSTOMERS
from examples.orders.transport import Calls
from protocol.errors import CountersignError
from storage.model.operations import Key
from storage.transactions.services import JoinedTransactions
from storage.transactions.transaction_manager import Transaction, TransactionManager

FIRST = ((1, "Yamada Taro", 10_000), (2, "Yamada Hanako", 10_000), (3, "Suzuki Ichiro", 10_000))


def calls(manager: TransactionManager, joined: JoinedTransactions) -> Calls:
    """What the service can do."""

    def charge(ticket: str, customer: int, amount: int) -> int:
        """Let a customer owe more, or with a negative amount less; return the new total."""
        own = joined.join(ticket)
        row = own.get(CUSTOMERS, Key((customer,)))
        if row is None:
            raise CountersignError("transaction.condition", f"there is no customer {customer}")
        total = int(str(row["credit_total"])) + amount
        if not 0 <= total <= int(str(row["credit_limit"])):
            raise CountersignError("transaction.condition", f"customer {customer} would owe {total}")
        own.update(CUSTOMERS, Key((customer,)), {"credit_total": total})
        return total

    def customer(customer: int) -> dict[str, Any]:
        """What is known of a customer."""
        row = manager.run(lambda own: own.get(CUSTOMERS, Key((customer,))), read_only=True)
        return dict(row or {})

    return {"charge": charge, "customer": customer}


def load_first(manager: TransactionManager) -> None:
    """The customers of the beginning, unless they are there."""

    def load(own: Transaction) -> None:
        for number, name, limit in FIRST:
            if own.get(CUSTOMERS, Key((number,))) is None:
                own.insert(CUSTOMERS, Key((number,)), {"name": name, "credit_limit": limit, "credit_total": 0})

    manager.run(load)
