"""Round trips that threads share: everybody gets his own answers, nobody waits for ever, whatever goes wrong."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock, Semaphore, get_ident
from typing import Any, cast

import pytest

from storage.tables.errors import TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.redis_rounds import EXCHANGES_PER_ROUND, ROUNDS_AT_ONCE, SharedRounds, _Exchange

THREADS = 32


class Server:
    """Answers each byte with itself, when it is let."""

    def __init__(self) -> None:
        self.rounds: list[bytes] = []
        self.begun = Semaphore(0)
        self.open = Event()
        self.error: BaseException | None = None

    def __call__(self, packed: bytes, count: int) -> list[Any]:
        self.rounds.append(packed)
        self.begun.release()
        assert self.open.wait(30)
        if self.error is not None:
            raise self.error
        assert len(packed) == count
        return list(packed)


def crowd(pool: ThreadPoolExecutor, server: Server, rounds: SharedRounds) -> list[Future[list[Any]]]:
    """Threads of which the first ones are under way, and all others wait."""
    first = [pool.submit(rounds.exchange, bytes((n,)), 1) for n in range(ROUNDS_AT_ONCE)]
    for _ in first:
        assert server.begun.acquire(timeout=30)
    others = [pool.submit(rounds.exchange, bytes((n, n)), 2) for n in range(ROUNDS_AT_ONCE, THREADS)]
    while len(rounds._waiting) < len(others):
        pass
    return first + others


def test_who_is_alone_goes_alone() -> None:
    """Each exchange of one thread is a round."""
    server = Server()
    server.open.set()
    rounds = SharedRounds(server)
    assert [rounds.exchange(b"a", 1), rounds.exchange(b"bc", 2)] == [[97], [98, 99]]
    assert server.rounds == [b"a", b"bc"]


def test_those_who_wait_go_together() -> None:
    """In few rounds, and each gets his own answers."""
    server = Server()
    rounds = SharedRounds(server)
    with ThreadPoolExecutor(THREADS) as pool:
        futures = crowd(pool, server, rounds)
        server.open.set()
        answers = [future.result(30) for future in futures]
    assert answers == [[n] * (1 if n < ROUNDS_AT_ONCE else 2) for n in range(THREADS)]
    assert len(server.rounds) <= ROUNDS_AT_ONCE + 2
    assert rounds.exchange(b"z", 1) == [122]


@pytest.mark.parametrize("error", [UnknownOutcomeError("lost"), TableStoreUnavailableError("away"), ValueError("bug")])
def test_a_lost_round_is_lost_for_all_who_are_in_it(error: Exception) -> None:
    """Each thread raises an error of its own, with the same code, and the next exchange is served."""
    server = Server()
    rounds = SharedRounds(server)
    with ThreadPoolExecutor(THREADS) as pool:
        futures = crowd(pool, server, rounds)
        server.error = error
        server.open.set()
        raised = [future.exception(30) for future in futures]
    assert all(type(one) is type(error) and str(one) == str(error) for one in raised)
    assert len({id(one) for one in raised}) > THREADS - 2 * ROUNDS_AT_ONCE - 2
    server.error = None
    assert rounds.exchange(b"z", 1) == [122]


def test_a_leader_that_is_stopped_leaves_nobody_waiting() -> None:
    """Those who went with it learn that their outcome is unknown."""
    server = Server()
    rounds = SharedRounds(server)
    with ThreadPoolExecutor(THREADS) as pool:
        futures = crowd(pool, server, rounds)
        server.error = KeyboardInterrupt()
        server.open.set()
        raised = [future.exception(30) for future in futures]
    assert {type(one) for one in raised} <= {KeyboardInterrupt, UnknownOutcomeError}
    assert UnknownOutcomeError in {type(one) for one in raised}
    server.error = None
    assert rounds.exchange(b"z", 1) == [122]


def test_a_round_is_bounded() -> None:
    """However many wait."""
    server = Server()
    rounds = SharedRounds(server)
    count = 2 * EXCHANGES_PER_ROUND + ROUNDS_AT_ONCE
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(rounds.exchange, b"x", 1) for _ in range(count)]
        while len(rounds._waiting) < count - ROUNDS_AT_ONCE:
            pass
        server.open.set()
        assert [future.result(30) for future in futures] == [[120]] * count
    assert max(map(len, server.rounds)) <= EXCHANGES_PER_ROUND


class StoppedError(Exception):
    """What a signal's handler raises."""


def stop_me(_number: int, _frame: object) -> None:
    raise StoppedError


@pytest.fixture
def stopping() -> Iterator[Callable[[], None]]:
    """Interrupts the main thread where it is, as a user's Ctrl-C does."""
    before = signal.signal(signal.SIGUSR1, stop_me)
    main = get_ident()
    yield lambda: signal.pthread_kill(main, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_who_is_interrupted_while_he_waits_is_sent_by_nobody(stopping: Callable[[], None]) -> None:
    """And nobody waits for him."""
    server = Server()
    rounds = SharedRounds(server)
    with ThreadPoolExecutor(THREADS) as pool:
        first = [pool.submit(rounds.exchange, bytes((n,)), 1) for n in range(ROUNDS_AT_ONCE)]
        for _ in first:
            assert server.begun.acquire(timeout=30)

        def interrupt() -> None:
            while not rounds._waiting:
                pass
            stopping()

        interrupting = pool.submit(interrupt)
        with pytest.raises(StoppedError):
            rounds.exchange(b"never", 5)
        interrupting.result(30)
        server.open.set()
        assert [future.result(30) for future in first] == [[n] for n in range(ROUNDS_AT_ONCE)]
        assert rounds.exchange(b"z", 1) == [122]
    assert b"never" not in b"".join(server.rounds)


def test_who_is_interrupted_in_a_round_keeps_nobody_from_his_answer(stopping: Callable[[], None]) -> None:
    """Those behind him in the chain are woken all the same."""
    gates = [Event() for _ in range(ROUNDS_AT_ONCE + 1)]
    begun: list[bytes] = []

    def serve(packed: bytes, count: int) -> list[Any]:
        gate = gates[len(begun)]
        begun.append(packed)
        assert gate.wait(30)
        return list(packed)

    rounds = SharedRounds(serve)
    with ThreadPoolExecutor(THREADS) as pool:
        for n in range(ROUNDS_AT_ONCE):
            pool.submit(rounds.exchange, b"%d" % n, 1)
            while len(begun) <= n:
                pass
        leader = pool.submit(rounds.exchange, b"l", 1)
        while len(rounds._waiting) < 1:
            pass

        def interrupt() -> Future[list[Any]]:
            while len(rounds._waiting) < 2:
                pass
            behind = pool.submit(rounds.exchange, b"f", 1)
            while len(rounds._waiting) < 3:
                pass
            gates[0].set()
            while len(begun) <= ROUNDS_AT_ONCE:
                pass
            stopping()
            return behind

        interrupting = pool.submit(interrupt)
        with pytest.raises(StoppedError):
            rounds.exchange(b"m", 1)
        behind = interrupting.result(30)
        for gate in gates:
            gate.set()
        assert leader.result(30) == [ord("l")]
        assert behind.result(30) == [ord("f")]
        assert begun[-1] == b"lmf"
        gates.append(gates[0])
        assert rounds.exchange(b"z", 1) == [122]


class InterruptedTurn:
    """A lock whose owner is interrupted at the moment when it has got it."""

    def __init__(self, lock: Lock) -> None:
        self.release = lock.release
        self._lock = lock

    def acquire(self) -> bool:
        self._lock.acquire()
        raise StoppedError


def test_who_is_interrupted_as_he_is_woken_wakes_the_next() -> None:
    """The chain does not break between two instructions."""
    server = Server()
    rounds = SharedRounds(server)
    first, second, third = (_Exchange(b"x", 1) for _ in range(3))
    first.follower, second.follower = second, third
    second.answers = third.answers = []
    for exchange in (second, third):
        exchange.turn.acquire()
    second.turn = cast(Any, InterruptedTurn(second.turn))
    rounds._wake(second)
    with pytest.raises(StoppedError):
        rounds._wait(second)
    assert third.turn.acquire(timeout=5)
