"""The troubles of the world, each a blow that a schedule may deal at any moment.

Every seed draws its own set of them and how often they come, so that some runs are calm, and some have one
trouble over and over.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.topics import DECISIONS, ORDERS, REQUESTS
from storage.effects import Apply, Note, Publish
from streams.simulation.mischief import TOPICS, do_mischief
from streams.simulation.process import Process
from streams.simulation.site import CallTrouble, Site
from streams.simulation.world import World, is_lost

MINUTE_MS = 60_000

_HISTORY = frozenset((ORDERS, DECISIONS))
"""One of them in full is needed to rebuild the Ledger's store."""


@dataclass(kw_only=True)
class Troubles:
    """The troubles of one run.

    Attributes:
        chosen: their names.
        rate: probability of a blow at each half-step.
        dealt: how often each came.
        lost_tails: topics that lost messages the broker had acknowledged.
    """

    world: World
    rng: random.Random
    chosen: tuple[str, ...]
    rate: float
    dealt: dict[str, int] = field(default_factory=dict)
    lost_tails: set[str] = field(default_factory=set)
    ambushes: list["Ambush"] = field(default_factory=list)

    def strike(self) -> None:
        """Deal a blow if it is time to."""
        if self.chosen and self.rng.random() < self.rate:
            name = self.rng.choice(self.chosen)
            self.dealt[name] = self.dealt.get(name, 0) + 1
            BLOWS[name](self)
        for ambush in self.ambushes:
            if ambush.springs():
                self.ambushes.remove(ambush)
                self._spring(ambush)
                return

    def _spring(self, ambush: "Ambush") -> None:
        if ambush.zombie:
            self.make_zombie(ambush.process)
        else:
            ambush.process.crash(again_in_ms=self.rng.randint(0, 500))

    def make_zombie(self, process: Process) -> None:
        """Pause a process and let its standby take over; it wakes up later and believes itself active."""
        site = process.role.site
        if site is not None and process.is_active:
            site.holder = None
            process.paused_until_ms = self.world.now_ms + self.rng.choice((20, 200, 2000))

    def lose_tail(self, topic: str, partition: int, count: int) -> None:
        """Let the broker lose messages, unless that leaves a Ledger without a store nothing to come back from."""
        gone = self.lost_tails | {topic}
        if count and not (self.world.ledger.store_was_lost and gone >= _HISTORY):
            self.lost_tails.add(topic)
            self.world.log.lose_tail(topic, partition, count)

    def may_lose_ledger_store(self) -> bool:
        """Whether the Ledger could come back: it has its guard, and orders or decisions are all there."""
        return not self.world.ledger.guard_was_lost and not self.lost_tails >= _HISTORY

    def cease(self) -> None:
        """Let the world be well again: everything is there, everybody awake, every clock right."""
        self.ambushes.clear()
        self.world.log.away = False
        for site in (self.world.auditor, self.world.ledger):
            site.away = False
            site.troubles.clear()
        lock_is_back = self.rng.random() < 0.5
        for process in self.world.processes:
            if process.is_zombie and lock_is_back:
                process.crash(again_in_ms=0)
            process.paused_until_ms = 0
            process.clock_ms = 0
            for actor in process.actors:
                actor.stopped_until_ms = 0
            if process.role.site is self.world.ledger and self.world.ledger.store_was_lost:
                process.crash(again_in_ms=0)  # while nothing is ordered it would not notice


@dataclass(frozen=True, kw_only=True)
class Ambush:
    """Waits for a process to come to a certain effect, and takes it there."""

    process: Process
    kind: type
    after: bool
    zombie: bool

    def springs(self) -> bool:
        """Whether the process is there."""
        return any(actor.is_at(self.kind, self.after) for actor in self.process.actors)


def _processes(troubles: Troubles, prefixes: tuple[str, ...] = ("auditor", "ledger")) -> list[Process]:
    world = troubles.world
    return [process for process in world.processes if process.is_active and process.name.startswith(prefixes)]


def _crash(troubles: Troubles) -> None:
    everybody = _processes(troubles, ("auditor", "ledger", "auditor", "ledger", "replica", "learner"))
    if everybody:
        troubles.rng.choice(everybody).crash(again_in_ms=troubles.rng.choice((0, 50, 500)))


def _lie_in_wait(troubles: Troubles, zombie: bool) -> None:
    processes = _processes(troubles)
    if processes and len(troubles.ambushes) < 3:
        kind = troubles.rng.choice((Apply, Apply, Note, Publish))
        after = troubles.rng.random() < 0.5
        process = troubles.rng.choice(processes)
        troubles.ambushes.append(Ambush(process=process, kind=kind, after=after, zombie=zombie))


def _pause(troubles: Troubles) -> None:
    process = troubles.rng.choice(troubles.world.processes)
    process.paused_until_ms = troubles.world.now_ms + troubles.rng.choice((50, 500, 5000))


def _stop_stage(troubles: Troubles) -> None:
    """One machine stands still for long while the others of its process go on."""
    actors = [actor for process in _processes(troubles) for actor in process.actors]
    if actors:
        until_ms = troubles.world.now_ms + troubles.rng.choice((500, 5_000, 20_000))
        troubles.rng.choice(actors).stopped_until_ms = until_ms


def _zombie(troubles: Troubles) -> None:
    processes = _processes(troubles)
    if processes:
        troubles.make_zombie(troubles.rng.choice(processes))


def _sites(troubles: Troubles) -> Site:
    return troubles.rng.choice((troubles.world.auditor, troubles.world.ledger))


def _call(trouble: CallTrouble) -> "Callable[[Troubles], None]":
    def blow(troubles: Troubles) -> None:
        _sites(troubles).troubles.append(trouble)

    return blow


def _store_away(troubles: Troubles) -> None:
    site = _sites(troubles)
    site.away = not site.away


def _broker_away(troubles: Troubles) -> None:
    troubles.world.log.away = not troubles.world.log.away


def _lose_tail(troubles: Troubles) -> None:
    topic = troubles.rng.choice(TOPICS)
    partition = troubles.rng.randrange(troubles.world.partitions) if topic == REQUESTS else 0
    count = len(troubles.world.log.messages(topic, partition))
    troubles.lose_tail(topic, partition, min(count, troubles.rng.randint(1, 4)))


def _empty_log(troubles: Troubles) -> None:
    """The broker loses everything it has."""
    for topic in TOPICS:
        for partition in range(troubles.world.partitions if topic == REQUESTS else 1):
            troubles.lose_tail(topic, partition, len(troubles.world.log.messages(topic, partition)))


def _lose_ledger_store(troubles: Troubles) -> None:
    ledger = troubles.world.ledger
    if not troubles.may_lose_ledger_store():
        return
    ledger.store_was_lost = True
    ledger.store.wipe()
    if troubles.rng.random() < 0.5:  # else it is wiped under the feet of a process that goes on
        for process in _processes(troubles, ("ledger",)):
            process.crash(again_in_ms=troubles.rng.choice((0, 200)))


def _roll_back_ledger_store(troubles: Troubles) -> None:
    ledger = troubles.world.ledger
    if not troubles.may_lose_ledger_store():
        return
    if ledger.backup is None or is_lost(ledger):
        ledger.backup = None if is_lost(ledger) else ledger.store.copy()
        return
    ledger.store_was_lost = True
    ledger.store = ledger.backup
    ledger.backup = None


def _lose_guard(troubles: Troubles) -> None:
    """The guard's disk fails under the processes that have it open. Only where the lock protects: a party that has
    neither lock nor guard has nothing left that keeps two processes apart.
    """
    site = _sites(troubles)
    if site.lock_protects and not site.store_was_lost:
        site.wipe_guard()
        for process in _processes(troubles, (site.party,)):
            process.crash(again_in_ms=troubles.rng.choice((0, 200)))


def _turn_clock(troubles: Troubles) -> None:
    process = troubles.rng.choice([p for p in troubles.world.processes if p.role.site])
    process.clock_ms = troubles.rng.choice((0, 0, -1500, 1500, -3 * MINUTE_MS, 3 * MINUTE_MS))


def _sleep(troubles: Troubles) -> None:
    """Everything stands still for minutes, as when a lid is closed."""
    troubles.world.log.advance(troubles.world.now_ms + troubles.rng.randint(1, 3) * MINUTE_MS)


def _mischief(troubles: Troubles) -> None:
    do_mischief(troubles.world, troubles.rng)


BLOWS: dict[str, Callable[[Troubles], None]] = {
    "answer lost": _call("answer lost"),
    "broker away": _broker_away,
    "call lost": _call("call lost"),
    "clock turned": _turn_clock,
    "crash": _crash,
    "crash at a call": lambda troubles: _lie_in_wait(troubles, zombie=False),
    "driver retries": _call("driver retries"),
    "guard lost": _lose_guard,
    "ledger store lost": _lose_ledger_store,
    "ledger store rolled back": _roll_back_ledger_store,
    "log emptied": _empty_log,
    "mischief": _mischief,
    "pause": _pause,
    "sleep": _sleep,
    "stage stopped": _stop_stage,
    "store away": _store_away,
    "tail lost": _lose_tail,
    "zombie": _zombie,
    "zombie at a call": lambda troubles: _lie_in_wait(troubles, zombie=True),
}
"""Every trouble, by name."""
