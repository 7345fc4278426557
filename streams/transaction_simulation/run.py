"""Runs seeds of transactions: a time of troubles, then peace in which everything is settled, then the checks.

`run_seed` raises `TransactionSimulationFailure`, which says how to see the same again.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from protocol.errors import CountersignError
from storage.model.operations import ScanAll
from storage.transactions.effects import Clock, Steps, Wait
from storage.transactions.identifiers import RANDOM_BYTES, transaction_id
from storage.transactions.record_reader import World
from storage.transactions.settings import Isolation
from storage.transactions.sweeper import Sweeper
from storage.transactions.transaction import TransactionCore
from streams.transaction_simulation.book import Book, Outcome
from streams.transaction_simulation.clients import Character, Client, Inquirer
from streams.transaction_simulation.deeds import COUNTED, FAIR_WEATHER_SHARE
from streams.transaction_simulation.driver import Driver, Scene
from streams.transaction_simulation.founding import LAYOUTS, found, settings_of
from streams.transaction_simulation.history import Anomaly
from streams.transaction_simulation.isolation import (
    check_read_committed,
    check_snapshot_isolation,
    check_strict_serializability,
)
from streams.transaction_simulation.planted import PLANTED
from streams.transaction_simulation.programs import PROGRAMS
from streams.transaction_simulation.stores import Stores
from streams.transaction_simulation.sweeping import SweepingProcess
from streams.transaction_simulation.tables import COLUMNS, SCHEMAS
from streams.transaction_simulation.truth import Truth
from streams.transaction_simulation.weather import Trouble, Weather

_STEPS_MAX = 200_000


class TransactionSimulationFailure(AssertionError):  # noqa: N818  # the outcome a simulation looks for
    """A seed under which something went wrong."""

    def __init__(self, seed: int, planted: str | None, what: str, trace: Iterable[str]) -> None:
        command = f"countersign simulate --transactions --seed {seed}"
        command += f' --planted "{planted}"' if planted else ""
        super().__init__("\n".join((what, "the last storage calls:", *trace, f"to see it again: {command}")))
        self.seed = seed
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a seed came to.

    Attributes:
        transactions, committed, aborted, unknown: as their clients knew it in the end.
        calls: storage calls that were done.
        collected: rows of the coordinator.
        deeds: how often transactions came through each part of the protocol.
        simulated_ms: by the world's clock.
        troubles: how often each came.
        digest: over every change of a row; the same seed gives the same.
    """

    seed: int
    transactions: int
    committed: int
    aborted: int
    unknown: int
    calls: int
    collected: int
    simulated_ms: int
    troubles: Mapping[str, int]
    deeds: Mapping[str, int]
    digest: str


def run_seed(seed: int, *, planted: str | None = None) -> Report:
    """Run one seed.

    Args:
        seed: draws everything.
        planted: name of a bug in `streams.transaction_simulation.planted.PLANTED`, to see it found.

    Raises:
        TransactionSimulationFailure: a history is not what its level promises, or something was lost.
    """
    simulation = Simulation(seed, planted)
    try:
        return simulation.run()
    except Anomaly as anomaly:
        raise TransactionSimulationFailure(seed, planted, str(anomaly), simulation.trace()) from anomaly
    except Exception as crash:
        what = f"{type(crash).__name__}: {crash}"
        raise TransactionSimulationFailure(seed, planted, what, simulation.trace()) from crash


def simulate(seeds: Iterable[int], progress: Callable[[Report], None], *, planted: str | None = None) -> int:
    """Run seeds one after the other; how many there were.

    Raises:
        TransactionSimulationFailure: of the first seed that fails.
    """
    count = 0
    for seed in seeds:
        progress(run_seed(seed, planted=planted))
        count += 1
    return count


class Simulation:
    """One run."""

    def __init__(self, seed: int, planted: str | None = None) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self._managers: list[World] = []
        self.book = Book(COLUMNS)
        self.founding = found(LAYOUTS[rng.choice([*LAYOUTS])], rng, self.book)
        self.isolations = _isolations(rng)
        self.settings = settings_of(rng, self.isolations[0])
        self.stores = Stores(self.founding.stores)
        self.scene = Scene(self.stores, _weather(rng), rng, PLANTED[planted] if planted else None)
        programs = [name for name in PROGRAMS if rng.random() < 0.5] or [*PROGRAMS]
        self.clients = [self._client(number, programs) for number in range(rng.randint(2, 5))]
        self.inquirer = Inquirer("inquirer", self.scene, self._manager(), self.book, self.scene)
        self.sweepers = [
            SweepingProcess(
                f"sweeper {number}",
                self.scene,
                self._manager(),
                rng.choice((50, 500)),
                self._skew_ms(),
                rng.choice((None, 2, 10_000)),
            )
            for number in range(rng.choice((0, 1, 1, 2)))
        ]
        self._outages = rng.random() < 0.3

    def _manager(self) -> World:
        manager = self.founding.manager(self.settings)
        self._managers.append(manager)
        return manager

    def _skew_ms(self) -> int:
        """How far a clock is wrong: not much more than what is forgotten, or nothing would ever be committed."""
        most_ms = min(60_000, self.settings.retention_ms // 2)
        return self.rng.choice((0, 0, -most_ms, most_ms))

    def _awaited(self) -> list[str] | None:
        """The stores that a client awaits, if it is made of coroutines."""
        rng = self.rng
        return [name for name in self.stores.stores if rng.random() < 0.7] if rng.random() < 0.3 else None

    def _client(self, number: int, programs: list[str]) -> Client:
        rng = self.rng
        character = Character(
            transactions=rng.randint(6, 20),
            programs=programs,
            isolations=self.isolations,
            pause_ms_max=rng.choice((2, 20, 200)),
            clock_ms=self._skew_ms(),
            rolls_back=rng.choice((0.0, 0.1)),
            two_services=rng.choice((0.0, 0.0, 0.3)),
            insists=rng.choice((0.0, 0.0, 0.3)),
            awaited=self._awaited(),
        )
        own = random.Random(rng.getrandbits(64))
        return Client(f"c{number}", self.scene, self._manager(), self.book, character, self.scene, own)

    def run(self) -> Report:
        """Troubles first, then peace, then the checks."""
        self._trouble()
        self._settle()
        self._check()
        return self._report()

    def _trouble(self) -> None:
        for client in self.clients:
            self.scene.agenda.put(0, client.start)
        self.inquirer.start()
        for sweeper in self.sweepers:
            sweeper.start()
        if self._outages:
            self.scene.agenda.put(self.rng.randint(0, 500), self._outage)
        for _ in range(_STEPS_MAX):
            if all(client.is_done for client in self.clients):
                return
            self.scene.agenda.step()
        raise Anomaly("the clients do not come to their end")

    def _outage(self) -> None:
        """A store does not answer for a while."""
        away = self.stores.away
        if away or self.scene.peace:
            away.clear()
        else:
            away.add(self.rng.choice([*self.stores.stores]))
        self.scene.agenda.put(self.rng.randint(50, 800), self._outage)

    def _settle(self) -> None:
        """Let everything land that is still on its way, and let one who meets no trouble read every record."""
        self.scene.peace = True
        self.stores.away.clear()
        rounds = Driver(self.scene, "the last reader", self._read_everything(), ended=self._settled)
        self._is_settled = False
        self.scene.agenda.put(self.scene.weather.late_ms_max + self.settings.lease_ms + 130_000, rounds.start)
        for _ in range(_STEPS_MAX):
            if self._is_settled:
                return
            self.scene.agenda.step()
        raise Anomaly("what was left prepared is not settled")

    def _settled(self, crashed: bool) -> None:
        self._is_settled = True

    def _read_everything(self) -> Steps[None]:
        manager = self._manager()
        yield from Sweeper(manager).sweep()
        for table in SCHEMAS:
            for _ in range(5):
                now_ms: int = yield Clock()
                core = TransactionCore(
                    manager, transaction_id(now_ms, self.rng.randbytes(RANDOM_BYTES)), Isolation.SERIALIZABLE
                )
                try:
                    yield from core.scan(ScanAll(table=table))
                    yield from core.commit()
                    break
                except CountersignError:
                    yield Wait(10)
            else:
                raise Anomaly(f"{table} cannot be read in peace")

    def _check(self) -> None:
        truth = Truth(self.book, self.stores, self.founding)
        truth.check_outcomes(self.inquirer.answers)
        truth.check_end()
        least = int(FAIR_WEATHER_SHARE * len(self.book.attempts)) if self._is_fair() else 0
        check_read_committed(truth.history(Isolation.READ_COMMITTED), committed_least=least)
        check_snapshot_isolation(truth.history(Isolation.SNAPSHOT), committed_least=least)
        check_strict_serializability(truth.history(Isolation.SERIALIZABLE), committed_least=least)

    def _is_fair(self) -> bool:
        clocks = [each.clock_ms for each in self.clients] + [each.clock_ms for each in self.sweepers]
        return not self._outages and not self.scene.weather.rates and not any(clocks)

    def trace(self) -> list[str]:
        """The last storage calls, for people."""
        return [
            f"  {passed.now_ms:>7} {passed.by:<12} {passed.trouble:<12} {_brief(passed.call)}"
            for passed in self.scene.trace
        ]

    def _report(self) -> Report:
        outcomes = [attempt.outcome for attempt in self.book.attempts.values()]
        return Report(
            seed=self.seed,
            transactions=len(outcomes),
            committed=outcomes.count(Outcome.COMMITTED),
            aborted=outcomes.count(Outcome.ABORTED),
            unknown=outcomes.count(Outcome.UNKNOWN) + outcomes.count(Outcome.OPEN),
            calls=self.stores.calls,
            collected=sum(sweeper.removed for sweeper in self.sweepers),
            simulated_ms=self.scene.agenda.now_ms,
            troubles={str(trouble): count for trouble, count in self.scene.dealt.items()},
            deeds=self._deeds(),
            digest=sha256(repr(self.stores.changes).encode()).hexdigest(),
        )

    def _deeds(self) -> dict[str, int]:
        counters = [manager.counters for manager in self._managers]
        done = {name: sum(getattr(each, name) for each in counters) for name in COUNTED}
        done["two_phases"] = sum(each.committed - each.one_phase for each in counters)
        done["abandoned"] = sum(sweeper.abandoned for sweeper in self.sweepers)
        done["collected"] = sum(sweeper.removed for sweeper in self.sweepers)
        done["unknown"] = sum(attempt.outcome is Outcome.UNKNOWN for attempt in self.book.attempts.values())
        for isolation in Isolation:
            done[f"committed {isolation}"] = sum(
                attempt.isolation is isolation and attempt.outcome is Outcome.COMMITTED
                for attempt in self.book.attempts.values()
            )
        return done


def _isolations(rng: random.Random) -> tuple[Isolation, ...]:
    if rng.random() < 0.6:
        return (Isolation.SERIALIZABLE,)
    if rng.random() < 0.5:
        return (rng.choice((Isolation.SNAPSHOT, Isolation.READ_COMMITTED)),)
    return tuple(Isolation)


def _weather(rng: random.Random) -> Weather:
    rate = rng.choice((0.0, 0.02, 0.06, 0.15))
    chosen = [trouble for trouble in Trouble if trouble is not Trouble.NONE and rng.random() < 0.5]
    rates: dict[Trouble, float] = {trouble: rate / len(chosen) for trouble in chosen}
    return Weather(
        rates=rates,
        quick_ms_max=rng.choice((1, 4, 20)),
        slow_ms_max=rng.choice((50, 400)),
        timeout_ms=rng.choice((50, 300)),
        late_ms_max=rng.choice((100, 3_000, 20_000)),
    )


def _brief(call: object) -> str:
    text = repr(call)
    return text if len(text) <= 400 else f"{text[:397]}..."
