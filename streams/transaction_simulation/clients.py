"""Clients: each does one transaction after another, dies at any storage call, and comes back as another process."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from protocol.errors import CountersignError
from storage.transactions.effects import Clock, Steps, Wait
from storage.transactions.errors import TransactionTooOldError, TransactionUnknownError
from storage.transactions.identifiers import RANDOM_BYTES, transaction_id
from storage.transactions.record_reader import World
from storage.transactions.settings import Isolation
from storage.transactions.transaction import TransactionCore
from streams.transaction_simulation.book import Attempt, Book, Outcome
from streams.transaction_simulation.driver import Driver, Forecast, Scene
from streams.transaction_simulation.programs import PROGRAMS
from streams.transaction_simulation.services import BANK_PROGRAMS, SHOP_PROGRAMS, commit_services
from streams.transaction_simulation.session import Session
from streams.transaction_simulation.task_process import TaskProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """How a client behaves.

    Attributes:
        transactions: how many it does, those that failed included.
        programs: which ones.
        isolations: at which levels.
        pause_ms_max: between two of them.
        clock_ms: how far its clock is ahead.
        rolls_back: how often it changes its mind at the end.
        two_services: how often two services take part.
        insists: how often a transaction keeps others from what it scans, as one does that has tried in vain.
        awaited: its transactions are coroutines, and these stores are awaited; None: they are threads.
    """

    transactions: int
    programs: Sequence[str]
    isolations: Sequence[Isolation]
    pause_ms_max: int
    clock_ms: int
    rolls_back: float
    two_services: float
    insists: float
    awaited: Sequence[str] | None


class Client:
    """One client of the transaction manager.

    Args:
        name: for people.
        scene: where it lives.
        manager: what its transactions share; a process of its own knows tables by itself.
        book: where it takes everything down.
        rng: of its own.

    Attributes:
        is_done: it has done all its transactions.
        clock_ms: how far its clock is ahead.
    """

    def __init__(
        self,
        name: str,
        scene: Scene,
        manager: World,
        book: Book,
        character: Character,
        forecast: Forecast,
        rng: random.Random,
    ) -> None:
        self.name = name
        self.is_done = False
        self.clock_ms = character.clock_ms
        self._scene = scene
        self._manager = manager
        self._book = book
        self._character = character
        self._forecast = forecast
        self._rng = rng
        self._left = character.transactions
        self._count = 0

    def start(self) -> None:
        """Begin to live, or again after a crash."""
        awaited = self._character.awaited
        kind = Driver if awaited is None else partial(TaskProcess, awaited)
        self._driver = kind(
            self._scene,
            self.name,
            self._life(),
            ended=self._ended,
            forecast=self._forecast,
            clock_ms=self._character.clock_ms,
        )
        self._driver.start()

    def _ended(self, crashed: bool) -> None:
        if crashed:
            self._scene.agenda.put(self._rng.choice((0, 20, 200)), self.start)
        else:
            self.is_done = True

    def _life(self) -> Steps[None]:
        while self._left > 0:
            self._left -= 1
            yield Wait(self._rng.randint(0, self._character.pause_ms_max))
            attempt = yield from self._begin()
            cores = [self._core(attempt, insists=self._rng.random() < self._character.insists)]
            programs: tuple[str, ...] = (self._rng.choice(self._character.programs),)
            if self._rng.random() < self._character.two_services:
                cores = [self._core(attempt), self._core(attempt)]
                programs = (self._rng.choice(BANK_PROGRAMS), self._rng.choice(SHOP_PROGRAMS))
            try:
                for core, program in zip(cores, programs, strict=True):
                    yield from PROGRAMS[program](Session(core, attempt, self._book), self._rng)
            except CountersignError:
                attempt.outcome = Outcome.ABORTED
                yield from _roll_back(cores)
                continue
            if self._rng.random() < self._character.rolls_back:
                attempt.outcome = Outcome.ABORTED
                yield from _roll_back(cores)
                continue
            yield from self._commit(cores, attempt)

    def _core(self, attempt: Attempt, *, insists: bool = False) -> TransactionCore:
        core = TransactionCore(self._manager, attempt.transaction_id, attempt.isolation, insists=insists)
        if self._scene.bug is not None:
            self._scene.bug.make(core)
        return core

    def _begin(self) -> Steps[Attempt]:
        self._count += 1
        now_ms: int = yield Clock()
        attempt = Attempt(
            name=f"{self.name}.{self._count}",
            transaction_id=transaction_id(now_ms, self._rng.randbytes(RANDOM_BYTES)),
            isolation=self._rng.choice(self._character.isolations),
            began_at=self._scene.agenda.tick(),
        )
        self._driver.name = attempt.name
        self._book.attempts[attempt.name] = attempt
        return attempt

    def _commit(self, cores: Sequence[TransactionCore], attempt: Attempt) -> Steps[None]:
        attempt.outcome = Outcome.UNKNOWN  # until it is heard of, also by one that crashes
        try:
            yield from (cores[0].commit() if len(cores) == 1 else commit_services(cores))
        except TransactionUnknownError:
            return
        except CountersignError:
            attempt.outcome = Outcome.ABORTED
        else:
            attempt.outcome = Outcome.COMMITTED
            attempt.ended_at = self._scene.agenda.tick()


def _roll_back(cores: Sequence[TransactionCore]) -> Steps[None]:
    """Give up; what keeps others waiting may stay where a store is away."""
    for core in cores:
        try:
            yield from core.rollback()
        except CountersignError:
            continue


class Inquirer:
    """Asks what became of transactions whose clients do not know, while everything goes on.

    Attributes:
        answers: by the id of the transaction.
    """

    def __init__(self, name: str, scene: Scene, manager: World, book: Book, forecast: Forecast) -> None:
        self.answers: dict[str, int] = {}
        self.name = name
        self._scene = scene
        self._manager = manager
        self._book = book
        self._forecast = forecast

    def start(self) -> None:
        """Begin to ask, or again after a crash."""
        Driver(self._scene, self.name, self._life(), ended=self._ended, forecast=self._forecast).start()

    def _ended(self, crashed: bool) -> None:
        if crashed:
            self._scene.agenda.put(100, self.start)

    def _life(self) -> Steps[None]:
        while True:
            yield Wait(300)
            unknown = [one.transaction_id for one in self._book.attempts.values() if one.outcome is Outcome.UNKNOWN]
            for asked in unknown:
                if asked in self.answers:
                    continue
                now_ms: int = yield Clock()
                try:
                    self.answers[asked] = yield from self._manager.coordinator.resolve(asked, now_ms)
                except (TransactionTooOldError, CountersignError):
                    continue
