"""A machine takes one event and gives one effect, and where it ends it says so."""

import inspect
from collections.abc import Callable

import pytest

from storage.effects import Halt, Load, Report, Reported, Started
from storage.machine import Machine, Steps

ENDED = Halt(code="machine.ended", text="Machine came to its end")

lives = pytest.mark.skipif(not inspect.isfunction(Machine.run), reason="a compiled class is given no other life")


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Machine], Steps]], Machine]:
    """Gives a machine with this life; a class of our own could not inherit from a compiled one."""

    def made(life: Callable[[Machine], Steps]) -> Machine:
        monkeypatch.setattr(Machine, "run", life)
        return Machine()

    return made


@lives
def test_each_event_is_the_answer_to_the_effect_before_it(live: Callable[..., Machine]) -> None:
    """The first only starts the machine; `now_ms` is of the last event."""
    answers: list[object] = []

    def life(machine: Machine) -> Steps:
        answers.append((machine.now_ms, (yield Load()), machine.now_ms))
        answers.append((machine.now_ms, (yield Report(metrics={})), machine.now_ms))

    machine = live(life)
    assert machine.now_ms == 0
    assert machine.step(Started(now_ms=5)) == Load()
    first, second = Reported(now_ms=7), Reported(now_ms=9)
    assert machine.step(first) == Report(metrics={})
    assert answers == [(5, first, 7)]
    machine.step(second)
    assert answers == [(5, first, 7), (7, second, 9)]


@lives
@pytest.mark.parametrize("effects", [0, 1, 2])
def test_a_machine_that_comes_to_its_end_halts(live: Callable[..., Machine], effects: int) -> None:
    """At whatever step, the first too; it is not started again. StopIteration would pass for the end of a loop."""

    def life(_: Machine) -> Steps:
        left = effects
        while left:
            left -= 1
            yield Load()

    machine = live(life)
    given = [machine.step(Started(now_ms=1)) for _ in range(effects + 2)]
    assert given == [*[Load()] * effects, ENDED, ENDED]


@lives
def test_a_mistake_shows_and_the_machine_does_not_go_on(live: Callable[..., Machine]) -> None:
    """Whoever steps it all the same gets a halt."""

    def life(_: Machine) -> Steps:
        yield Load()
        raise ZeroDivisionError

    machine = live(life)
    machine.step(Started(now_ms=1))
    with pytest.raises(ZeroDivisionError):
        machine.step(Reported(now_ms=2))
    assert machine.step(Reported(now_ms=3)) == ENDED


def test_the_base_does_nothing_by_itself() -> None:
    """A machine without a life is a mistake."""
    with pytest.raises(NotImplementedError):
        Machine().step(Started(now_ms=0))
