"""A simulated process: its machines, its clock, and what may become of it.

A party's process is a standby until it holds the lock of its signing guard. A Ledger's process makes its store if it
finds none, and rebuilds before it commits, as `streams.ledger_stage` does. A replica that waits in vain for a decision
recovers from the others, as in `streams.replica_stage`.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from learners.recovery import RECOVERED
from learners.replica import BEHIND
from ledger.rebuild import REBUILT
from protocol.errors import CountersignError
from protocol.signing import SigningKey
from storage.effects import Halt
from storage.errors import StoreUnavailableError
from storage.machine import Machine
from storage.views import Views
from streams.memory_log import MemoryLog
from streams.simulation.actor import Actor
from streams.simulation.performer import Ports, Signatures, Watcher
from streams.simulation.planted import Bug
from streams.simulation.site import Guard, LockLostError, Site

MachineMaker = Callable[[], Machine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a process runs.

    Attributes:
        machines: by name, all at once, as soon as the process is active.
        key: what they sign with.
        site: of a party.
        views: of a learner.
        create_store: of the Ledger: makes a lost store anew, in steps; None if it is not lost.
        rebuild: of the Ledger: brings into the store what was decided above its head.
        recover: of a replica: learns from the others what `decisions` does not show.
    """

    machines: dict[str, MachineMaker]
    key: SigningKey | None = None
    site: Site | None = None
    views: Views | None = None
    create_store: Callable[[], Iterator[None] | None] = lambda: None
    rebuild: MachineMaker | None = None
    recover: MachineMaker | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all processes share.

    Attributes:
        on_halt: told of each machine that will not go on, and of the process it was in.
    """

    log: MemoryLog
    signatures: Signatures
    watcher: Watcher
    rng: random.Random
    on_halt: "Callable[[Process, Halt], None]"
    bug: Bug | None


class Process:
    """One process on a computer of its own.

    Attributes:
        clock_ms: how far its clock is ahead of the world's.
        paused_until_ms: it does nothing before.
        down_until_ms: it is dead and started again then; None while it lives.
        actors: its machines, none while it is not active.
    """

    def __init__(self, name: str, role: Role, around: Surroundings) -> None:
        self.name = name
        self.role = role
        self.clock_ms = 0
        self.paused_until_ms = 0
        self.down_until_ms: int | None = None
        self.actors: list[Actor] = []
        self._around = around
        self._guard = Guard(role.site) if role.site else None
        self._writers = 0
        self._is_active = False
        self._creating: Iterator[None] | None = None

    # --- Its state ---

    @property
    def is_active(self) -> bool:
        """Whether it believes that it may do something."""
        return self._is_active

    @property
    def is_zombie(self) -> bool:
        """Whether it believes itself active although it has lost the lock."""
        return self._is_active and self._guard is not None and not self._guard.holds_lock

    @property
    def is_awake(self) -> bool:
        """Whether it lives and is not paused."""
        return self.down_until_ms is None and self._around.log.now_ms >= self.paused_until_ms

    def now_ms(self) -> int:
        """Its clock."""
        return self._around.log.now_ms + self.clock_ms

    def next_due_ms(self) -> int | None:
        """When it will do something by itself again, by the world's clock."""
        if self.down_until_ms is not None:
            return self.down_until_ms
        if not self.is_awake:
            return self.paused_until_ms
        deadlines = [actor.deadline_ms for actor in self.actors]
        dues = [due - self.clock_ms for due in deadlines if due is not None]
        dues += [actor.stopped_until_ms for actor in self.actors if actor.stopped_until_ms]
        return min((due for due in dues if due > self._around.log.now_ms), default=None)

    # --- What becomes of it ---

    def crash(self, again_in_ms: int) -> None:
        """Die at once, and be started again later; messages under way are lost, or land, by chance."""
        for actor in self.actors:
            self._around.log.kill_writer(actor.writer, self._around.rng)
        self.actors = []
        self._is_active = False
        self._creating = None
        if self._guard is not None:
            self._guard.close()
        self.down_until_ms = self._around.log.now_ms + again_in_ms
        self.paused_until_ms = 0

    def move(self) -> bool:
        """Be started, become active, go on with the creation of a store; False if there is nothing to do."""
        if self.down_until_ms is not None:
            if self._around.log.now_ms < self.down_until_ms:
                return False
            self.down_until_ms = None
            self._guard = Guard(self.role.site) if self.role.site else None
            return True
        if not self.is_awake:
            return False
        if not self._is_active:
            if self._guard is not None and not self._guard.acquire(wait=False):
                return False
            self._is_active = True
            return True
        if self.actors:
            return False
        if self._creating is None:
            self._creating = self.role.create_store() or iter(())
        if next(self._creating, self) is self:
            first = {"rebuild": self.role.rebuild} if self.role.rebuild else self.role.machines
            self.actors = [self._actor(name, make) for name, make in first.items()]
        return True

    def move_actor(self, actor: Actor) -> bool:
        """Let a machine of this process do half a step; False if it cannot yet."""
        try:
            moved = actor.move()
        except StoreUnavailableError:
            actor.begin()
            return True
        except LockLostError:
            self.crash(again_in_ms=0)
            return True
        except CountersignError as error:
            self._halted(Halt(code=error.code, text=error.detail))
            return True
        halt = actor.halt
        if halt is not None and halt.code in (REBUILT, RECOVERED):
            self.actors = [self._actor(name, make) for name, make in self.role.machines.items()]
        elif halt is not None and halt.code == BEHIND and self.role.recover is not None:
            self.actors = [self._actor("recover", self.role.recover)]
        elif halt is not None:
            self._halted(halt)
        return moved

    def _halted(self, halt: Halt) -> None:
        self._around.on_halt(self, halt)
        self.crash(again_in_ms=100)

    def _actor(self, name: str, make_machine: MachineMaker) -> Actor:
        around, role = self._around, self.role
        ports = Ports(
            who=self.name,
            log=around.log,
            reader=around.log.reader(),
            writer=around.log.writer(),
            now_ms=self.now_ms,
            signatures=around.signatures,
            watcher=around.watcher,
            key=role.key,
            site=role.site,
            guard=self._guard,
            views=role.views,
        )
        return Actor(f"{self.name}.{name}", make_machine, ports, around.bug)
