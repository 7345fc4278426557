"""The shop: begins transactions over both services, and commits them in two phases."""

import secrets
from collections.abc import Callable, Mapping
from typing import TypeVar

from examples.orders.transport import Service
from storage.transactions.errors import TransactionConflictError
from storage.transactions.services import Participant, ServicesTransaction
from storage.transactions.transaction_manager import TransactionManager

T = TypeVar("T")

_ATTEMPTS = 20


class Shop:
    """Orders and payments.

    Args:
        manager: over the coordinator's store alone; the shop has no records of its own.
        services: `customers` and `orders`.
    """

    def __init__(self, manager: TransactionManager, services: Mapping[str, Service]) -> None:
        self._manager = manager
        self._services = services

    def order(
        self, customer: int, items: list[tuple[int, int]], through: Mapping[str, Participant] | None = None
    ) -> str:
        """Order (item, count) on credit; return the order's id.

        Args:
            through: other ways to reach the services for the phases of the commit.

        Raises:
            CountersignError: `transaction.condition`: beyond the credit limit; nothing was ordered, nothing is owed.
        """
        order = secrets.token_hex(8)

        def work(transaction: ServicesTransaction) -> str:
            price = self._services["orders"].call(
                "place", ticket=transaction.ticket("orders"), order=order, customer=customer, items=items
            )
            ticket = transaction.ticket("customers")
            self._services["customers"].call("charge", ticket=ticket, customer=customer, amount=price)
            return order

        return self._together(work, through or self._services)

    def pay(self, customer: int, amount: int) -> int:
        """Pay back; return what is still owed."""

        def work(transaction: ServicesTransaction) -> int:
            ticket = transaction.ticket("customers")
            return int(self._services["customers"].call("charge", ticket=ticket, customer=customer, amount=-amount))

        return self._together(work, {"customers": self._services["customers"]})

    def _together(self, work: Callable[[ServicesTransaction], T], participants: Mapping[str, Participant]) -> T:
        """Do the work in one transaction, again after conflicts."""
        for attempt in range(_ATTEMPTS):
            transaction = ServicesTransaction(self._manager, participants)
            try:
                result = work(transaction)
                transaction.commit()
            except TransactionConflictError:
                if attempt == _ATTEMPTS - 1:
                    raise
            except BaseException:
                transaction.rollback()
                raise
            else:
                return result
        raise AssertionError("the last attempt returns or raises")
