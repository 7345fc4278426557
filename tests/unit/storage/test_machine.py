"""A machine takes one event and gives one effect, and where it ends it says so."""

from dataclasses import replace

import pytest

from storage.effects import Halt, Load, Report, Reported, Started
from storage.machine import Machine, Steps


class Asking(Machine):
    """Asks twice, and keeps what it was answered and when."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[object] = []

    def run(self) -> Steps:
        for effect in (Load(), Report(metrics={})):
            self.answers.append((self.now_ms, (yield effect), self.now_ms))


class Empty(Machine):
    """Has nothing to do."""

    def run(self) -> Steps:
        yield from ()


class Broken(Machine):
    """Fails at the first answer."""

    def run(self) -> Steps:
        yield Load()
        raise ZeroDivisionError


def test_each_event_is_the_answer_to_the_effect_before_it() -> None:
    """The first only starts the machine; `now_ms` is of the last event."""
    machine = Asking()
    assert machine.now_ms == 0
    assert machine.step(Started(now_ms=5)) == Load()
    first, second = Reported(now_ms=7), Reported(now_ms=9)
    assert machine.step(first) == Report(metrics={})
    assert machine.answers == [(5, first, 7)]
    machine.step(second)
    assert machine.answers == [(5, first, 7), (7, second, 9)]


@pytest.mark.parametrize("made", [Asking, Empty])
def test_a_machine_that_comes_to_its_end_halts(made: type[Machine]) -> None:
    """At whatever step; it is not started again by the next one. StopIteration would pass for the end of a loop."""
    machine, effect = made(), None
    event = Started(now_ms=1)
    for _ in range(4):
        effect = machine.step(replace(event))
    assert effect == Halt(code="machine.ended", text=f"{made.__name__} came to its end")


def test_a_mistake_shows_and_the_machine_does_not_go_on() -> None:
    """Whoever steps it all the same gets a halt."""
    machine = Broken()
    machine.step(Started(now_ms=1))
    with pytest.raises(ZeroDivisionError):
        machine.step(Reported(now_ms=2))
    assert machine.step(Reported(now_ms=3)) == Halt(code="machine.ended", text="Broken came to its end")


def test_the_base_does_nothing_by_itself() -> None:
    """A machine without a life is a mistake."""
    with pytest.raises(NotImplementedError):
        Machine().step(Started(now_ms=0))
