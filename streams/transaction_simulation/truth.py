"""What clients knew, held against what the stores tell: the history that the isolation checks are given, and the checks
that need no history.

1. What a client was told holds: committed is committed, aborted never is, and so says whoever asked for it later.
2. In the end nothing is prepared, every record holds what its last writer left, and its version counts its writes.
3. No money is lost or made.
"""

from collections.abc import Mapping

from storage.model.operations import Row, ScanAll
from storage.transactions.layout import ABORTED, COMMITTED, TX_STATE, TX_VERSION
from storage.transactions.settings import Isolation
from streams.transaction_simulation.book import Attempt, Book, Outcome, item_of, whole
from streams.transaction_simulation.founding import Founding, coordinator_table
from streams.transaction_simulation.history import Anomaly, History, Item, Transaction, Write
from streams.transaction_simulation.installs import decisions, installs, version_order
from streams.transaction_simulation.programs import ACCOUNT_COUNT, OPENING_BALANCE
from streams.transaction_simulation.stores import Stores
from streams.transaction_simulation.tables import ACCOUNTS, SCHEMAS, key_of

_RANKS = {Isolation.READ_COMMITTED: 0, Isolation.SNAPSHOT: 1, Isolation.SERIALIZABLE: 2}


class Truth:
    """What really happened.

    Args:
        book: what clients knew.
        stores: with the record of every change.
        founding: the beginning.

    Raises:
        Anomaly: a decision was changed, or a version counted wrongly.
    """

    def __init__(self, book: Book, stores: Stores, founding: Founding) -> None:
        self._book = book
        self._stores = stores
        self._founding = founding
        self._decided = decisions(stores.changes, coordinator_table())
        self._names = {attempt.transaction_id: attempt.name for attempt in book.attempts.values()}
        self._installed = installs(stores.changes, SCHEMAS, self._asker)
        self._order = version_order(self._installed, founding.stamps, self._names, self._counts)

    def _asker(self, by: str) -> str | None:
        attempt = self._book.attempts.get(by)
        return None if attempt is None else attempt.transaction_id

    def _was_committed(self, name: str) -> bool:
        attempt = self._book.attempts.get(name)
        if attempt is None:
            return False
        return attempt.outcome is Outcome.COMMITTED or self._decided.get(attempt.transaction_id) == COMMITTED

    def _counts(self, name: str, item: Item, stamp: str | None) -> bool:
        if not self._was_committed(name):
            return False
        return stamp is not None or any(write.item == item for write in _writes(self._book.attempts[name]))

    # --- What clients knew ---

    def check_outcomes(self, answers: Mapping[str, int]) -> None:
        """Check what clients were told, and `answers` of those who asked later.

        Raises:
            Anomaly: it was not true.
        """
        for attempt in self._book.attempts.values():
            state = self._decided.get(attempt.transaction_id)
            if attempt.outcome is Outcome.COMMITTED and self._leaves_a_trace(attempt) and state != COMMITTED:
                raise Anomaly(f"{attempt.name} was told that it committed, but the decision is {state}")
            if attempt.outcome in (Outcome.ABORTED, Outcome.OPEN) and state == COMMITTED:
                raise Anomaly(f"{attempt.name} was {attempt.outcome} for its client, but was committed")
        for transaction_id, answer in answers.items():
            if answer != self._decided.get(transaction_id):
                raise Anomaly(f"{transaction_id} was said to be {answer}, it is {self._decided.get(transaction_id)}")

    def _leaves_a_trace(self, attempt: Attempt) -> bool:
        """Whether it wrote more than deletes of what was not there."""
        left = {write.item: write.stamp for write in _writes(attempt)}
        return any(stamp is not None for stamp in left.values())

    # --- Histories ---

    def history(self, at_least: Isolation) -> History:
        """The history of all that was committed, in which transactions of weaker levels only write."""
        transactions = {}
        for attempt in self._book.attempts.values():
            full = _RANKS[attempt.isolation] >= _RANKS[at_least]
            operations = attempt.operations if full else _writes(attempt)
            transactions[attempt.name] = Transaction(
                name=attempt.name,
                operations=tuple(operations),
                began_at=attempt.began_at,
                ended_at=attempt.ended_at,
                committed=self._was_committed(attempt.name),
            )
        return History(transactions=transactions, order=self._order)

    # --- The end ---

    def check_end(self) -> None:
        """Check the rows that are left, once everything is settled.

        Raises:
            Anomaly: one is not what its last writer left.
        """
        rows: dict[Item, Row] = {}
        for table in SCHEMAS:
            store = self._stores.stores[self._founding.layout.namespaces[table.namespace]]
            for row in store.scan(ScanAll(table=table)):
                rows[item_of(table, key_of(table, row))] = row
        for item in dict.fromkeys((*rows, *self._order)):
            last = self._order[item][-1] if self._order.get(item) else None
            self._check_row(item, rows.get(item), None if last is None else last.stamp)
        self._check_versions(rows)
        balances = sum(whole(row["balance"]) for item, row in rows.items() if item.table == ACCOUNTS.name.name)
        if balances != ACCOUNT_COUNT * OPENING_BALANCE:
            raise Anomaly(f"the sum of all balances is {balances}")

    def _check_row(self, item: Item, row: Row | None, stamp: str | None) -> None:
        if row is None:
            if stamp is not None:
                raise Anomaly(f"{item} is gone, but {stamp} was written to it")
            return
        if row[TX_STATE] not in (COMMITTED, None):
            raise Anomaly(f"{item} is still prepared: {row}")
        if stamp is None or self._book.check_content(row, str(item)) != stamp:
            raise Anomaly(f"{item} holds {row}, but its last writer left {stamp}")

    def _check_versions(self, rows: Mapping[Item, Row]) -> None:
        """Accounts are never closed, so their versions count every committed write."""
        for item, row in rows.items():
            writes = len(self._order[item]) - 1
            first = 0 if self._founding.imported else 1
            if item.table == ACCOUNTS.name.name and whole(row[TX_VERSION]) != first + writes:
                raise Anomaly(f"{item} is of version {row[TX_VERSION]!r} after {writes} writes on version {first}")

    def aborted(self) -> int:
        """How many were decided to be aborted."""
        return sum(1 for state in self._decided.values() if state == ABORTED)


def _writes(attempt: Attempt) -> list[Write]:
    return [operation for operation in attempt.operations if isinstance(operation, Write)]
