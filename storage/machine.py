"""The base of every role's machine: `step` takes one event and gives one effect.

A machine is written as a generator, so it reads like the protocol it follows: `fetched = yield Fetch(...)`.
It holds no clock, socket or thread; what it knows of the world is in the events. Dropping it between two
steps is a crash, and every `yield` is a place where that can happen.
"""

from collections.abc import Generator
from typing import Any, Protocol

from storage.effects import Effect, Event, Halt

Steps = Generator[Effect, Any, None]
"""Part of a machine's run: yields effects, and each `yield` gives the event that answers it."""


class Stepped(Protocol):
    """Whatever a stage can host: a machine, or what stands for one in a test."""

    def step(self, event: Event) -> Effect:
        """Take the answer to the last effect (`Started` first) and give the next effect."""
        ...


class Machine:
    """A pure machine driven by `step`; subclasses write `run`, and stand in `deploy.compiled_modules` as it does.

    Attributes:
        now_ms: when the last event happened.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self._steps: Steps | None = None

    def run(self) -> Steps:
        """The machine's whole life."""
        raise NotImplementedError

    def step(self, event: Event) -> Effect:
        """Take the answer to the last effect (`Started` first) and give the next effect.

        After a `Halt` the machine must not be stepped again.
        """
        self.now_ms = event.now_ms
        try:
            if self._steps is None:
                self._steps = self.run()
                return next(self._steps)
            return self._steps.send(event)
        except StopIteration:
            return Halt(code="machine.ended", text=f"{type(self).__name__} came to its end")
