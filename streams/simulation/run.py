"""Runs seeds: a time of troubles in which nothing wrong may happen, and a time without them in which
everything must come to its end.

`run_seed` raises `SimulationFailure`, which says how to see the same again; `simulate` runs many.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from streams.memory_log import LogFaults
from streams.simulation.actor import Actor
from streams.simulation.bounds import check_bounds
from streams.simulation.checks import Checker
from streams.simulation.clients import Book, Character, Client
from streams.simulation.drained import Ending
from streams.simulation.faults import BLOWS, Troubles
from streams.simulation.founding import DISPERSED, ENTITIES, SIMULATED, found
from streams.simulation.planted import PLANTED
from streams.simulation.process import Process
from streams.simulation.rejections import check_rejection
from streams.simulation.twin import Violation
from streams.simulation.world import World

STEPS = 1500
"""Half-steps under troubles, by default."""

_DRAIN_STEPS_MAX = 20_000
_TRACE = 40
_USUAL = 0.6  # of the ledgers are dispersed as by default
_BOUNDS_EVERY = 100


class SimulationFailure(AssertionError):  # noqa: N818  # the outcome a simulation looks for
    """A seed under which something went wrong."""

    def __init__(self, seed: int, steps: int, planted: str | None, what: str, trace: Iterable[str]) -> None:
        command = f"countersign simulate --seed {seed}"
        command += f" --steps {steps}" if steps != STEPS else ""
        command += f' --planted "{planted}"' if planted else ""
        super().__init__("\n".join((what, "the last steps:", *trace, f"to see it again: {command}")))
        self.seed = seed
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a seed came to.

    Attributes:
        steps: half-steps, both times together.
        simulated_ms: by the world's clock.
        requests, decided, rejected: how many were made, and what became of them.
        batches: in the journal.
        troubles: how often each came.
        digest: over everything on the log; the same seed gives the same.
    """

    seed: int
    steps: int
    simulated_ms: int
    requests: int
    decided: int
    rejected: int
    batches: int
    troubles: dict[str, int]
    digest: str


def run_seed(seed: int, *, steps: int = STEPS, planted: str | None = None) -> Report:
    """Run one seed.

    Args:
        seed: draws everything.
        steps: half-steps under troubles.
        planted: name of a bug in `streams.simulation.planted.PLANTED`, to see it found.

    Raises:
        SimulationFailure: an invariant broke, or something did not come to its end.
    """
    simulation = Simulation(seed, steps, planted)
    try:
        return simulation.run()
    except Violation as violation:
        raise SimulationFailure(seed, steps, planted, str(violation), simulation.trace()) from violation
    except Exception as crash:
        what = f"{type(crash).__name__}: {crash}"
        raise SimulationFailure(seed, steps, planted, what, simulation.trace()) from crash


def simulate(
    seeds: Iterable[int],
    progress: Callable[[Report], None],
    *,
    steps: int = STEPS,
    planted: str | None = None,
) -> int:
    """Run seeds one after the other; how many there were.

    Args:
        seeds: which.
        progress: told of each report.
        steps, planted: as of `run_seed`.

    Raises:
        SimulationFailure: of the first seed that fails.
    """
    count = 0
    for seed in seeds:
        progress(run_seed(seed, steps=steps, planted=planted))
        count += 1
    return count


class Simulation:
    """One run."""

    def __init__(self, seed: int, steps: int, planted: str | None) -> None:
        self.seed = seed
        self.steps = steps
        self.rng = rng = random.Random(seed)
        bug = PLANTED[planted] if planted else None
        founding = found(SIMULATED, DISPERSED[0] if bug or rng.random() < _USUAL else rng.choice(DISPERSED))
        self.book = Book(founding.epochs)
        self.checker = Checker(
            founding, lambda entry, as_of: check_rejection(entry, as_of, self.book, self.checker, self.world)
        )
        self.world = World(
            rng,
            founding,
            self.checker,
            self.checker.halted,
            partitions=rng.choice((1, 2, 4)),
            log_faults=_log_faults(rng),
            bug=bug,
        )
        never_again = bug is not None and bug.client_gives_up
        self.clients = [
            Client(
                entity=entity, world=self.world, book=self.book, character=_character(rng, never_again), rng=rng
            )
            for entity in ENTITIES[: rng.randint(2, len(ENTITIES))]
        ]
        protects = rng.random() < 0.5
        self.world.auditor.lock_protects = self.world.ledger.lock_protects = protects
        chosen = tuple(name for name in BLOWS if rng.random() < rng.choice((0.15, 0.5)))
        rate = rng.choice((0.0, 0.005, 0.02, 0.05))
        if bug is not None and bug.provoked_by:
            chosen, rate = bug.provoked_by, rng.choice((0.03, 0.1))
        self.troubles = Troubles(world=self.world, rng=rng, chosen=chosen, rate=rate)
        self.ending = Ending(
            world=self.world,
            checker=self.checker,
            book=self.book,
            clients=self.clients,
            lost_tails=self.troubles.lost_tails,
        )
        self._trace: deque[tuple[int, str, object]] = deque(maxlen=_TRACE)
        self._taken = 0

    def run(self) -> Report:
        """Troubles first, then peace."""
        started_ms = self.world.now_ms
        for _ in range(self.steps):
            self.troubles.strike()
            self._turn()
        self.troubles.cease()
        self.world.log.advance(max(self.world.now_ms, self.checker.ordered_at_ms))
        self._drain()
        self.ending.check()
        return Report(
            seed=self.seed,
            steps=self._taken,
            simulated_ms=self.world.now_ms - started_ms,
            requests=len(self.book.asked),
            decided=len(self.checker.twin.decided),
            rejected=len(self.checker.rejected),
            batches=len(self.checker.twin.journal),
            troubles=self.troubles.dealt,
            digest=self._digest(),
        )

    def _drain(self) -> None:
        what = "?"
        for step in range(_DRAIN_STEPS_MAX):
            if step % 32 == 0:
                what = self.ending.what_is_open()
                if not what:
                    return
            self._turn()
        raise Violation(f"it does not come to its end: {what}")

    def _turn(self) -> None:
        """Half a step of whoever can do one; time goes on, at a leap if nobody can."""
        self._taken += 1
        if self._taken % _BOUNDS_EVERY == 0:
            check_bounds(self.world)
        draw = self.rng.random
        movers = self._movers()
        while movers:
            chosen = int(draw() * len(movers))
            last = movers.pop()
            if chosen < len(movers):
                last, movers[chosen] = movers[chosen], last
            if self._move(last):
                if draw() < 0.3:
                    self.world.log.advance(self.world.now_ms + 1 + int(draw() * 3))
                return
        self._leap()

    def _movers(self) -> "list[Process | Client | tuple[Process, Actor]]":
        movers: list[Process | Client | tuple[Process, Actor]] = [*self.clients]
        for process in self.world.processes:
            if process.is_awake and process.actors:
                movers += [(process, actor) for actor in process.actors]
            else:
                movers.append(process)
        return movers

    def _move(self, mover: "Process | Client | tuple[Process, Actor]") -> bool:
        if isinstance(mover, tuple):
            process, actor = mover
            if not process.move_actor(actor):
                return False
            if actor.event is not None:
                self._trace.append((self.world.now_ms, actor.name, actor.effect))
            return True
        return mover.move()

    def _leap(self) -> None:
        now_ms = self.world.now_ms
        dues = [process.next_due_ms() for process in self.world.processes]
        dues += [client.next_due_ms() for client in self.clients]
        dues.append(self.world.log.next_due_ms())
        self.world.log.advance(min((due for due in dues if due is not None and due > now_ms), default=now_ms + 10))

    def trace(self) -> list[str]:
        """The last steps, for people."""
        return [f"  {ms - 1_700_000_000_000:>8} {name:<20} {_brief(effect)}" for ms, name, effect in self._trace]

    def _digest(self) -> str:
        digest = sha256()
        for topic in ("orders", "results", "decisions", "receipts", "rejections"):
            for message in self.world.log.messages(topic):
                digest.update(message.value or b"")
        return digest.hexdigest()


def _brief(effect: object) -> str:
    text = repr(effect)
    return text if len(text) <= 110 else f"{text[:107]}..."


def _log_faults(rng: random.Random) -> LogFaults | None:
    if rng.random() < 0.3:
        return None
    return LogFaults(
        rng=rng,
        delay_ms_max=rng.choice((0, 5, 50, 300)),
        duplicate=rng.choice((0.0, 0.05, 0.3)),
        short_batch=rng.choice((0.0, 0.3)),
    )


def _character(rng: random.Random, gives_up: bool) -> Character:
    return Character(
        requests=rng.randint(4, 16),
        pause_ms=rng.choice((5, 50, 300)),
        brief=rng.choice((0.0, 0.0, 0.3)),
        lies=rng.choice((0.0, 0.0, 0.2)),
        forges=rng.choice((0.0, 0.0, 0.1)),
        rotates=rng.random() < 0.3,
        revokes="eve" if rng.random() < 0.2 else "",
        gives_up=gives_up,
    )
