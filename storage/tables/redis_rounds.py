"""Round trips that concurrent threads share.

A few may be under way at once. Who comes then waits; when a round is over, the first who waits leads the next, and
takes along what all others have to send. So the more threads there are, the more each round carries: fewer system
calls, fewer changes of thread, and one write to the server's disk for many batches. Who is alone waits for nobody.

Those who were answered together are woken in a chain: each wakes the next as soon as it runs itself. Woken all at once
they would only queue again, for the interpreter, and be woken twice each.
"""

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from threading import Lock
from typing import Any

from storage.tables.errors import UnknownOutcomeError

ROUNDS_AT_ONCE = 2
"""While the answers of one are read, the server works on the other."""

EXCHANGES_PER_ROUND = 64

RoundTrip = Callable[[bytes, int], list[Any]]
"""Sends packed commands and reads so many answers."""


class _Exchange:
    """What one thread sends, and what it is answered."""

    __slots__ = ("answers", "count", "error", "follower", "is_gone", "is_woken", "packed", "turn")

    def __init__(self, packed: bytes, count: int) -> None:
        self.packed = packed
        self.count = count
        self.answers: list[Any] | None = None
        self.error: BaseException | None = None
        self.follower: _Exchange | None = None
        self.is_gone = False
        self.is_woken = False
        self.turn = Lock()


class SharedRounds:
    """Exchanges of many threads in few round trips."""

    def __init__(self, round_trip: RoundTrip) -> None:
        self._round_trip = round_trip
        self._lock = Lock()
        self._under_way = 0
        self._waiting: deque[_Exchange] = deque()

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        """Send, and return so many answers; raises what the round trip raised."""
        mine = _Exchange(packed, count)
        with self._lock:
            leads = self._under_way < ROUNDS_AT_ONCE
            if leads:
                self._under_way += 1
            else:
                mine.turn.acquire()
                self._waiting.append(mine)
        if not leads:
            self._wait(mine)
        if mine.answers is None and mine.error is None:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error
        assert mine.answers is not None, "a round answers all who are in it"
        return mine.answers

    def _wait(self, mine: _Exchange) -> None:
        """Wait until it is answered, or has to lead."""
        try:
            mine.turn.acquire()
            self._wake(mine.follower)
        except BaseException:  # a signal's handler raised: others must not wait for who is gone
            self._leave(mine)
            raise

    def _leave(self, mine: _Exchange) -> None:
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return
            mine.is_gone = True
        if not mine.is_woken:
            return
        if mine.answers is None and mine.error is None:
            self._hand_over()
        else:
            self._wake(mine.follower)

    def _wake(self, exchange: _Exchange | None) -> None:
        """Let the first one go on of those who were answered together and are still there."""
        with self._lock:
            while exchange is not None and exchange.is_gone:
                exchange = exchange.follower
            if exchange is not None and not exchange.is_woken:
                exchange.is_woken = True
                exchange.turn.release()

    def _lead(self, mine: _Exchange) -> None:
        exchanges = [mine]
        with self._lock:
            while self._waiting and len(exchanges) < EXCHANGES_PER_ROUND:
                exchanges.append(self._waiting.popleft())
        error: BaseException = UnknownOutcomeError("the thread that led the round was stopped")
        answers: list[Any] | None = None
        try:
            if len(exchanges) == 1:
                answers = self._round_trip(mine.packed, mine.count)
            else:
                packed = b"".join([exchange.packed for exchange in exchanges])
                answers = self._round_trip(packed, sum([exchange.count for exchange in exchanges]))
        except Exception as raised:
            error = raised
        finally:
            self._hand_over()
            _distribute(exchanges, answers, error)
            self._wake(mine.follower)

    def _hand_over(self) -> None:
        """End a round: the next who waits leads another."""
        with self._lock:
            if self._waiting:
                leader = self._waiting.popleft()
                leader.is_woken = True
                leader.turn.release()
            else:
                self._under_way -= 1


def _distribute(exchanges: list[_Exchange], answers: list[Any] | None, error: BaseException) -> None:
    at = 0
    for exchange, follower in pairwise(exchanges):
        exchange.follower = follower
    for place, exchange in enumerate(exchanges):
        if answers is None:
            exchange.error = error if place == 0 else _another(error)
        else:
            exchange.answers = answers[at : at + exchange.count]
            at += exchange.count


def _another(error: BaseException) -> BaseException:
    """The same error once more: each thread raises one of its own, with its own traceback."""
    another = type(error).__new__(type(error), *error.args)
    another.__dict__.update(error.__dict__)
    return another
