"""The orders' service: what can be bought, and who bought what."""

from datetime import UTC, datetime
from typing import Any

from examples.orders.places import ITEMS, ORDERS, STATEMENTS
from examples.orders.transport import Calls
from protocol.errors import CountersignError
from storage.model.operations import Key, Scan
from storage.transactions.services import JoinedTransactions
from storage.transactions.transaction_manager import Transaction, TransactionManager

FIRST = ((1, "Apple", 1000), (2, "Orange", 2000), (3, "Grape", 2500), (4, "Mango", 5000), (5, "Melon", 3000))


def calls(manager: TransactionManager, joined: JoinedTransactions) -> Calls:
    """What the service can do."""

    def place(ticket: str, order: str, customer: int, items: list[list[int]]) -> int:
        """Write an order down; return what it costs."""
        own = joined.join(ticket)
        own.insert(ORDERS, Key((customer,), (datetime.now(UTC),)), {"order": order})
        return sum(_add(own, order, item, count) for item, count in items)

    def orders(customer: int) -> list[dict[str, Any]]:
        """All orders of a customer, with what they cost."""
        return manager.run(lambda own: _orders(own, customer), read_only=True)

    return {"place": place, "orders": orders}


def load_first(manager: TransactionManager) -> None:
    """The items of the beginning, unless they are there."""

    def load(own: Transaction) -> None:
        for number, name, price in FIRST:
            if own.get(ITEMS, Key((number,))) is None:
                own.insert(ITEMS, Key((number,)), {"name": name, "price": price})

    manager.run(load)


def _add(own: Transaction, order: str, item: int, count: int) -> int:
    """Put an item into an order; return what it costs."""
    found = own.get(ITEMS, Key((item,)))
    if found is None or count < 1:
        raise CountersignError("transaction.condition", f"{count} of item {item} cannot be bought")
    own.insert(STATEMENTS, Key((order,), (item,)), {"count": count})
    return int(str(found["price"])) * count


def _orders(own: Transaction, customer: int) -> list[dict[str, Any]]:
    listed = []
    for row in own.scan(Scan(table=ORDERS, partition=(customer,))):
        order, total = str(row["order"]), 0
        for line in own.scan(Scan(table=STATEMENTS, partition=(order,))):
            item = own.get(ITEMS, Key((int(str(line["item"])),)))
            total += int(str(line["count"])) * int(str((item or {})["price"]))
        listed.append({"order": order, "total": total})
    return listed
