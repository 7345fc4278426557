"""Queues before hot records, in any order of events: nobody waits for ever, and nothing is left behind."""

from functools import partial
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from storage.model.operations import Key
from storage.model.schema import TableName
from storage.transactions.hot_records import HotRecords
from storage.transactions.layout import Record

RECORDS: list[Record] = [(TableName("bank", "accounts"), Key((number,))) for number in range(4)]
TRANSACTIONS = 7


class Client:
    """A transaction that reads some hot records, in no order, and ends; or is forgotten before it ends."""

    def __init__(self, hot: HotRecords, name: str, chance: Random, *, may_be_forgotten: bool) -> None:
        self.name = name
        self.waits_for: Record | None = None
        self.is_over = False
        self._hot = hot
        self._wanted = chance.choices(RECORDS, k=chance.randint(1, 5))
        self._is_forgotten = may_be_forgotten and chance.random() < 0.4

    @property
    def can_go_on(self) -> bool:
        return self.waits_for is None and not self.is_over

    def go_on(self) -> None:
        if not self._wanted:
            self.is_over = True
            if not self._is_forgotten:
                self._hot.leave(self.name)
            return
        record = self._wanted.pop()
        self.waits_for = record
        if self._hot.enter(self.name, record, partial(self.wake, record)):
            self.waits_for = None

    def wake(self, record: Record) -> None:
        assert self.waits_for == record, f"{self.name} is woken, and does not wait"
        self.waits_for = None

    def push_in(self) -> bool:
        assert self.waits_for is not None
        if not self._hot.push_in(self.name, self.waits_for):
            return False
        self.waits_for = None
        return True

    def give_up(self) -> None:
        """Be cancelled, wherever it is."""
        self.waits_for, self.is_over = None, True
        self._hot.leave(self.name)


@given(chance=st.randoms(use_true_random=False), may_be_forgotten=st.booleans())
def test_everybody_comes_to_the_end(chance: Random, may_be_forgotten: bool) -> None:
    """Without pushing in, as long as nobody forgets to end; and then nobody holds anything any more."""
    hot = HotRecords()
    hot.heat(RECORDS)
    clients = [Client(hot, f"{n}", chance, may_be_forgotten=may_be_forgotten) for n in range(TRANSACTIONS)]
    while not all(client.is_over for client in clients):
        able = [client for client in clients if client.can_go_on]
        waiting = [client for client in clients if client.waits_for is not None]
        if waiting and chance.random() < 0.1:
            chance.choice(waiting).give_up()
        elif able:
            chance.choice(able).go_on()
        else:
            assert may_be_forgotten, "they wait for one another"
            assert any(client.push_in() for client in waiting * 2), "a turn that was abandoned is lost for ever"
    if not may_be_forgotten:
        assert not hot._held
        assert all(line.owner is None and not line.waiting for line in hot._lines.values())
