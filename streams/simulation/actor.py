"""One machine and the effect it waits for: what the scheduler moves, half a step at a time.

Half a step is either the performing of an effect or the machine's answer to its event. Between any two
halves the process may be dropped, which is a crash at that await, or paused, which makes it a zombie.
"""

from collections.abc import Callable

from storage.effects import Effect, Event, Halt, Started
from storage.machine import Machine
from streams.memory_log import MemoryLogWriter
from streams.simulation.performer import Performer, Ports
from streams.simulation.planted import Bug, Life


class Actor:
    """A machine in its world.

    Args:
        name: for traces, such as "auditor-1.order".
        make_machine: gives a machine that knows nothing.
        ports: its world.
        bug: planted on purpose, if there is to be one.

    Attributes:
        stopped_until_ms: it stands still before, by the world's clock.
    """

    def __init__(self, name: str, make_machine: Callable[[], Machine], ports: Ports, bug: Bug | None = None) -> None:
        self.name = name
        self._make_machine = make_machine
        self._ports = ports
        self._bug = bug
        self.stopped_until_ms = 0
        self.begin()

    def begin(self) -> None:
        """Begin anew with a machine that knows nothing."""
        self.machine = self._make_machine()
        self._life = Life(self.machine)
        self._performer = Performer(self._ports)
        self.effect: Effect | None = None
        self.event: Event | None = Started(now_ms=self._ports.now_ms())
        self._since_ms = 0

    @property
    def writer(self) -> MemoryLogWriter:
        """What it publishes with."""
        return self._ports.writer

    def is_at(self, kind: type, after: bool) -> bool:
        """Whether it is right before (or after) performing an effect of a kind."""
        return isinstance(self.effect, kind) and (self.event is not None) == after

    @property
    def halt(self) -> Halt | None:
        """The halt that the machine ended with, if it did."""
        return self.effect if isinstance(self.effect, Halt) else None

    @property
    def deadline_ms(self) -> int | None:
        """When a wait of the machine's will be over, by the process's clock."""
        wait_ms = getattr(self.effect, "wait_ms", None) or getattr(self.effect, "timeout_ms", None)
        return None if wait_ms is None or self.event is not None else self._since_ms + int(wait_ms)

    def move(self) -> bool:
        """Do half a step; False if the effect cannot be performed yet.

        Raises:
            StoreUnavailableError: it is unknown whether the call was done; begin anew.
            LockLostError, CountersignError: the process must end.
        """
        if self._ports.log.now_ms < self.stopped_until_ms:
            return False
        if self.event is not None:
            effect = self.machine.step(self.event)
            self.effect = self._bug.ask(effect, self._life) if self._bug else effect
            self.event, self._since_ms = None, self._ports.now_ms()
            return True
        assert self.effect is not None, "a machine is asked for its first effect before"
        self.event = self._performer.perform(self.effect, self._since_ms)
        if self.event is not None and self._bug:
            self.event = self._bug.answer(self.event, self.effect, self._life)
        return self.event is not None
