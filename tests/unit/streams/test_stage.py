"""The stage loop starts machines, measures them, and ends as it is told."""

import logging
import signal
import threading
from collections.abc import Iterator

import pytest

from storage import effects
from storage.effects import Effect, Event, Halt, Outgoing, Position
from storage.machine import Stepped
from storage.ports import Place
from streams.stage import run_stages
from tests.unit.streams.stage_world import Script, World, call


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.pool.close()


def test_everything_is_measured(world: World) -> None:
    """Every kind of effect has a count and times; messages are counted with their bytes; reports are kept."""
    world.answers(
        effects.Publish(messages=(Outgoing("orders", 0, None, b"12345"),)),
        effects.Seek(positions=(Position("orders", 0, 0),)),
        effects.Receive(topics=("orders",), max_messages=10, wait_ms=1_000),
        effects.Report(metrics={"ordered": 2, "gauge_sequence": 7}),
        effects.Report(metrics={"ordered": 3, "gauge_sequence": 8}),
    )
    values = world.meter.values
    assert (
        values["Publish.count"]
        == values["Receive.count"]
        == values["messages_in"]
        == values["messages_out"]
        == 1
    )
    assert values["bytes_in"] == values["bytes_out"] == 5
    assert (values["step.count"], values["decode.count"]) == (5, 1)
    assert values["ordered"] == 5
    assert values["gauge_sequence"] == 8
    assert 0 < values["step.cpu_us"] <= values["step.wall_us"] * 1.5 + 1_000


def test_an_open_apply_starts_a_new_machine(world: World) -> None:
    """Nobody knows whether it was done: the machine is dropped, the store waited for, a new machine loads."""
    world.store.failing = ["apply", "load", "load"]
    made: list[Script] = []

    def make() -> Stepped:
        made.append(Script(effects.Apply(call=call(sequence=b"1"))))
        return made[-1]

    assert world.stage(make).run() == Halt(code="done", text="")
    assert [len(machine.answers) for machine in made] == [0, 1]
    assert not world.store.failing
    assert world.meter.values["restarts"] == 1


def test_what_must_not_go_on_halts(world: World) -> None:
    """A lost start of the log ends the stage with its code."""
    for number in range(5):
        world.log.insert(Outgoing("orders", 0, None, b"%d" % number))
    world.log.expire("orders", 0, 3)
    seek = effects.Seek(positions=(Position("orders", 0, 1),))
    receive = effects.Receive(topics=("orders",), max_messages=10, wait_ms=1_000)
    halt = world.stage(lambda: Script(seek, receive)).run()
    assert halt is not None
    assert halt.code == "log.start_lost"
    assert "begins at 3" in halt.text


@pytest.mark.parametrize(("ends", "level", "measure"), [((), "ERROR", "halted"), (("done",), "INFO", "ended")])
def test_only_a_halt_that_nothing_follows_is_an_error(
    world: World, caplog: pytest.LogCaptureFixture, ends: tuple[str, ...], level: str, measure: str
) -> None:
    """A machine that another one follows has done its work: its log says so, and no measure calls it a halt."""
    caplog.set_level(logging.INFO)
    halt = world.stage(Script, ends=frozenset(ends)).run()
    assert halt == Halt(code="done", text="")
    assert [record.levelname for record in caplog.records] == [level]
    assert [name for name in world.meter.values if "done" in name] == [f"{measure}.done"]


def test_a_wiped_store_halts(world: World) -> None:
    """An empty store is never taken for a new one."""
    world.store.wipe()
    halt = world.stage(lambda: Script(effects.Load())).run()
    assert halt is not None
    assert halt.code == "store.wiped"


def test_a_stop_comes_at_the_next_wait(world: World) -> None:
    """What was begun is finished: the machine is stopped before it waits for more, not before it has sent."""

    def requested() -> Effect:
        world.stop.request()
        return effects.Apply(call=call(sequence=b"1"))

    receive = effects.Receive(topics=("orders",), max_messages=1, wait_ms=60_000)
    machine = Script(requested, effects.Publish(messages=(Outgoing("orders", 0, None, b"sent"),)), receive)
    assert world.stage(lambda: machine).run() is None
    assert [type(answer).__name__ for answer in machine.answers] == ["Applied", "Published"]
    assert [message.value for message in world.log.messages("orders")] == [b"sent"]


@pytest.mark.parametrize(
    "waiting",
    [
        effects.Receive(topics=("orders",), max_messages=1, wait_ms=60_000),
        effects.Await(cell="decided", value_to_differ_from=b"", timeout_ms=60_000),
    ],
)
def test_a_stop_ends_a_wait(world: World, waiting: Effect) -> None:
    """A machine that waits for a minute is stopped at once."""
    machine = Script(waiting, waiting)
    stage = world.stage(lambda: machine)
    thread = threading.Thread(target=stage.run)
    thread.start()
    world.stop.request()
    thread.join(5)
    assert not thread.is_alive()


def test_a_stop_does_not_wait_for_a_log_that_is_away(world: World) -> None:
    """After the time to drain, a message that cannot be sent is left to the outbox."""
    world.log.away = True
    machine = Script(effects.Publish(messages=(Outgoing("orders", 0, None, b"unsent"),)))
    stage = world.stage(lambda: machine)
    thread = threading.Thread(target=stage.run)
    thread.start()
    world.stop.request()
    thread.join(5)
    assert not thread.is_alive()
    assert not machine.answers


def test_one_halt_ends_all_stages(world: World) -> None:
    """A process whose one stage halts does not go on with half of its work."""
    receive = effects.Receive(topics=("orders",), max_messages=1, wait_ms=60_000)
    stages = [world.stage(lambda: Script(receive)), world.stage(lambda: Script())]
    assert run_stages(stages, world.stop) == Halt(code="done", text="")


def test_a_bug_ends_all_stages_and_shows(world: World) -> None:
    """What is not understood is not caught."""

    class Broken:
        def step(self, event: Event) -> Effect:
            raise ZeroDivisionError

    receive = effects.Receive(topics=("orders",), max_messages=1, wait_ms=60_000)
    stages = [world.stage(lambda: Script(receive)), world.stage(Broken)]
    with pytest.raises(ZeroDivisionError):
        run_stages(stages, world.stop)


def test_a_signal_asks_for_the_end(world: World) -> None:
    """SIGTERM is a request, and the process ends by itself."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        world.stop.on_signals()
        assert not world.stop.requested
        signal.raise_signal(signal.SIGTERM)
        assert world.stop.wait(10)
        assert not world.stop.overdue
        receive = effects.Receive(topics=("orders",), max_messages=1, wait_ms=60_000)
        assert run_stages([world.stage(lambda: Script(receive))], world.stop) is None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_a_guard_that_contradicts_halts(world: World) -> None:
    """A second hash for one place is never signed."""

    def note(hashed: bytes) -> Effect:
        return effects.Note(places=(Place("order", 0, 0, hashed, bytes(32)),))

    halt = world.stage(lambda: Script(note(b"a" * 32), note(b"b" * 32))).run()
    assert halt is not None
    assert halt.code == "guard.contradiction"


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        (effects.Await(cell="decided", value_to_differ_from=b"", timeout_ms=60_000), 1),
        (effects.Receive(topics=("orders",), max_messages=1, wait_ms=60_000), 1),
        (effects.Load(), 1_000_000),
    ],
)
def test_a_stop_ends_a_machine_that_would_never_end(world: World, asked: Effect, most: int) -> None:
    """At its first wait; one that never waits, when the time to drain is over."""
    ended = threading.Event()

    def again() -> Effect:
        world.stop.request()
        return effects.Report(metrics={}) if ended.is_set() else asked

    machine = Script(*[again] * (most + 1_000))
    thread = threading.Thread(target=world.stage(lambda: machine).run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    ended.set()
    assert len(machine.answers) < most


def test_a_store_that_fails_again_and_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """New machines come ever more slowly, and quickly again once one has stored something."""
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) == 12

    monkeypatch.setattr(world.stop, "wait", wait)
    world.store.failing = ["apply"] * 9
    lives = 0

    def live() -> Script:
        nonlocal lives
        lives += 1
        if lives == 10:  # this one stores something before it fails
            return Script(effects.Apply(call=call(sequence=b"1")), fail)
        return Script(fail)

    def fail() -> Effect:
        world.store.failing = world.store.failing or ["apply"]
        return effects.Apply(call=call(sequence=b"2"))

    assert world.stage(live).run() is None
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.05, 0.1, 0.2]
