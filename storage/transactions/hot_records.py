"""Queues before hot records: in one process, transactions that meet at a record go one after the other.

A record becomes hot with its first conflict. From then on who reads it waits for its turn, first come, first served,
until the transaction before has ended; so what it reads is still true when it commits, and no attempt is wasted.

Nobody waits for a record while he holds a later one, so no two wait for each other: he goes on without his turn, and if
that costs him the attempt, he queues before the next one, in order, for all that he will need (`TransactionCore`,
`expects`). A wait is bounded: the first who waits in a line that does not move goes on as if there were no queue, and
takes the place of one that was abandoned; a long line that moves is waited for. A record at which nobody had to wait
for a while is hot no more, and of more than `HOT_RECORDS_MAX` those whose conflict is the longest ago.

It is a courtesy: other processes do not know of it, and correctness never depends on it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from threading import Lock

from storage.transactions.layout import Record

_COOL_AFTER = 64
"""Transactions in a row that nobody waited for."""

HOT_RECORDS_MAX = 10_000

Wake = Callable[[], None]


class _Waiter:
    """Who waits in a line, and how many turns there had been when he last looked."""

    __slots__ = ("transaction_id", "turns_seen", "wake")

    def __init__(self, transaction_id: str, wake: Wake, turns_seen: int) -> None:
        self.transaction_id = transaction_id
        self.wake = wake
        self.turns_seen = turns_seen


class _Line:
    """Who is at a hot record, and who waits."""

    __slots__ = ("idle", "owner", "turns", "waiting")

    def __init__(self) -> None:
        self.owner: str | None = None
        self.waiting: deque[_Waiter] = deque()
        self.idle = 0
        self.turns = 0


class HotRecords:
    """The hot records of one process; safe for threads."""

    def __init__(self) -> None:
        self._lines: dict[Record, _Line] = {}
        self._held: dict[str, set[Record]] = {}
        self._lock = Lock()

    def __contains__(self, record: object) -> bool:
        return record in self._lines

    def heat(self, records: Iterable[Record]) -> None:
        """Note that there was a conflict about these records."""
        with self._lock:
            for record in records:
                line = self._lines.pop(record, None) or _Line()
                line.idle = 0
                self._lines[record] = line  # behind the others
            if len(self._lines) > HOT_RECORDS_MAX:
                self._cool(len(self._lines) - HOT_RECORDS_MAX)

    def enter(self, transaction_id: str, record: Record, wake: Wake) -> bool:
        """Take a place in a record's line; return whether to go on at once, else `wake` will be called."""
        with self._lock:
            line = self._lines.get(record)
            if line is None or line.owner == transaction_id:
                return True
            if line.owner is None:
                self._own(line, record, transaction_id)
                return True
            if any(held > record for held in self._held.get(transaction_id, ())):
                line.idle = 0
                return True
            line.waiting.append(_Waiter(transaction_id, wake, line.turns))
            line.idle = 0
            self._held.setdefault(transaction_id, set()).add(record)
            return False

    def push_in(self, transaction_id: str, record: Record) -> bool:
        """Waited for a while: take the turn, whoever has it; return False if one is to wait on.

        The line moves, or others are before; in a line that moves everybody would push in when the first one does.
        """
        with self._lock:
            line = self._lines.get(record)
            if line is None or line.owner == transaction_id:
                return True
            first = line.waiting[0]
            if first.transaction_id != transaction_id:
                return False
            if first.turns_seen != line.turns:
                first.turns_seen = line.turns
                return False
            line.waiting.popleft()
            if line.owner is not None:
                self._disown(line.owner, record)
            self._own(line, record, transaction_id)
            return True

    def leave(self, transaction_id: str) -> None:
        """The transaction has ended: it is the next one's turn at each of its records."""
        if transaction_id not in self._held:
            return
        with self._lock:
            for record in self._held.pop(transaction_id, ()):
                line = self._lines.get(record)
                if line is None:
                    continue
                self._unwait(line, transaction_id)
                if line.owner == transaction_id:
                    self._pass_on(line, record)

    def _cool(self, count: int) -> None:
        """Forget so many records, from the first on, at which nobody is."""
        idle = (record for record, line in self._lines.items() if line.owner is None and not line.waiting)
        for record in list(islice(idle, count)):
            del self._lines[record]

    def _own(self, line: _Line, record: Record, transaction_id: str) -> None:
        line.owner = transaction_id
        line.turns += 1
        self._held.setdefault(transaction_id, set()).add(record)

    def _disown(self, transaction_id: str, record: Record) -> None:
        held = self._held.get(transaction_id, set())
        held.discard(record)
        if not held:
            self._held.pop(transaction_id, None)

    def _unwait(self, line: _Line, transaction_id: str) -> None:
        if line.waiting:
            line.waiting = deque(each for each in line.waiting if each.transaction_id != transaction_id)

    def _pass_on(self, line: _Line, record: Record) -> None:
        if line.waiting:
            first = line.waiting.popleft()
            line.owner = first.transaction_id
            line.turns += 1
            first.wake()
            return
        line.owner = None
        line.idle += 1
        if line.idle >= _COOL_AFTER:
            del self._lines[record]
