"""Effects are done as a machine asks for them, and a world that is away is waited for."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from protocol.contracts.calls import Batch
from protocol.signatures import SignatureCheck
from protocol.signing import verify_key
from schemas.epoch import PublicKey
from storage import effects
from storage.effects import Alarm, Effect, Halt, Message, Outgoing, Position
from storage.ports import Contents, ScanRows
from streams import performer
from streams.log import LogUnavailableError
from streams.memory_log import MemoryLogReader
from streams.stop_signal import StopSignal
from tests.unit.streams.stage_world import KEY, STORE_ID, Script, World, call
from tests.worlds import World as LedgerWorld


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.pool.close()


def test_effects_are_answered_in_order(world: World) -> None:
    """Each answer belongs to the effect before it, and time goes on."""
    answers = world.answers(
        effects.Publish(messages=(Outgoing("orders", 0, b"k", b"one"), Outgoing("orders", 0, None, b"two"))),
        effects.Seek(positions=(Position("orders", 0, 0),)),
        effects.Receive(topics=("orders",), max_messages=10, wait_ms=1_000),
        effects.Load(),
        effects.Apply(call=call(sequence=b"7")),
        effects.Fetch(cells=("sequence",)),
        effects.Report(metrics={"ordered": 2, "gauge_sequence": 7}),
    )
    kinds = ["Published", "Sought", "Received", "Loaded", "Applied", "Fetched", "Reported"]
    assert [type(answer).__name__ for answer in answers] == kinds
    assert [message.value for message in answers[2].messages] == [b"one", b"two"]
    assert answers[3].cells == {"store_id": STORE_ID}
    assert answers[5].cells == {"sequence": b"7"}
    times = [answer.now_ms for answer in answers]
    assert times == sorted(set(times))


def test_signatures_are_made_and_checked_in_order(world: World) -> None:
    """More signatures than one thread takes: each good one is found good, each bad one bad, in its place."""
    messages = tuple(b"%d" % number for number in range(40))
    signed = world.answers(effects.Sign(messages=messages))[0].signatures
    for message, signature in zip(messages, signed, strict=True):
        verify_key(KEY.public_key.algorithm, KEY.public_key.key).verify(message, signature)
    bad = {3, 17, 39}
    checks = [
        SignatureCheck(KEY.public_key, message + b"!" * (place in bad), signature)
        for place, (message, signature) in enumerate(zip(messages, signed, strict=True))
    ]
    checks.append(SignatureCheck(PublicKey("p256", b"no key"), messages[0], signed[0]))
    valid = world.answers(effects.Verify(checks=tuple(checks)))[0].valid
    assert valid == (*(place not in bad for place in range(40)), False)


def test_an_execution_gives_the_ranges_it_read(world: World) -> None:
    """The machine learns which ranges were read for it, as the store holds them."""
    batch = Batch(ledger_id=bytes(32), sequence=0, ordered_at_ms=0, calls=(), records={})
    executed = world.answers(effects.Execute(batch=batch))[0]
    assert executed.results == ()
    assert [type(scan) for scan in executed.scans] == [ScanRows]
    assert executed.scans[0].range == ("bank", "a", "z", 5)


def test_decisions_are_found_by_what_they_claim(world: World) -> None:
    """Those of other sequences, and rubbish among them, are passed by; one that was sent twice comes twice."""
    ledger = LedgerWorld()
    made = [ledger.decide(ledger.put("a", number)).to_message() for number in range(3)]
    for value in (made[0], b"rubbish", made[1], made[2], made[1]):
        world.log.insert(Outgoing("decisions", 0, None, value))
    found = world.answers(effects.FindDecisions(sequences=(1, 7)))[0].messages
    assert [message.value for message in found] == [made[1]] * 2
    assert len(world.answers(effects.ReadTail(topic="decisions", count=3))[0].messages) == 3


def test_a_lost_tail_is_told_and_counted(world: World) -> None:
    """The machine gets the alarm, and the operator sees it."""
    for number in range(5):
        world.log.insert(Outgoing("orders", 0, None, b"%d" % number))
    received = world.answers(
        effects.Seek(positions=(Position("orders", 0, 9),)),
        effects.Receive(topics=("orders",), max_messages=10, wait_ms=1_000),
    )[1]
    assert received.alarms == (Alarm("orders", 0, 9, 5),)
    assert world.meter.values["alarm.log.tail_lost"] == 1


def test_a_tail_whose_offsets_were_used_again(world: World) -> None:
    """It is lost although the log is as long as before."""
    alarm = Alarm("orders", 0, 9, 9)

    class Reader(MemoryLogReader):
        def receive(
            self, topics: Sequence[str], max_messages: int, wait_ms: int
        ) -> tuple[tuple[Message, ...], tuple[Alarm, ...]]:
            return (), (alarm,)

    machine = Script(effects.Receive(topics=("orders",), max_messages=10, wait_ms=1_000))
    assert world.stage(lambda: machine, reader=Reader(world.log)).run() is not None
    assert machine.answers[0].alarms == (alarm,)
    assert world.meter.values["alarm.log.tail_lost"] == 1


@pytest.mark.parametrize(
    ("alarm_after_ms", "told"), [(0, ["store.unreachable: load failed", "it is over"]), (9_000, [])]
)
def test_what_was_told_is_told_to_be_over(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    alarm_after_ms: int,
    told: list[str],
) -> None:
    """Once, when the store answers again; of a moment that nobody was told of, nothing is said."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(performer, "_ALARM_AFTER_MS", alarm_after_ms)
    world.store.failing = ["load", "load"]
    world.answers(effects.Load(), effects.Load())
    said = [record.getMessage() for record in caplog.records if "done" not in record.getMessage()]
    assert len(said) == len(told)
    assert all(line.endswith(wanted) for line, wanted in zip(said, told, strict=True))


def test_a_store_that_is_away_is_waited_for(world: World) -> None:
    """Reading is tried again for the same machine."""
    world.store.failing = ["load", "load"]
    assert world.answers(effects.Load())[0].cells == {"store_id": STORE_ID}
    assert not world.store.failing
    assert not [name for name in world.meter.values if name.startswith("alarm")], "a moment is no alarm"


def test_a_log_that_is_away_is_waited_for(world: World) -> None:
    """A seek is tried again until the log is there."""

    class Reader(MemoryLogReader):
        def seek(self, positions: Sequence[Position]) -> None:
            if not tried:
                tried.append(True)
                raise LogUnavailableError("away")
            super().seek(positions)

    tried: list[bool] = []
    machine = Script(effects.Seek(positions=(Position("orders", 0, 0),)))
    assert world.stage(lambda: machine, reader=Reader(world.log)).run() is not None
    assert len(machine.answers) == 1


def test_a_log_that_stays_away_raises_an_alarm(world: World) -> None:
    """Reading and sending in vain is told to the operator, and goes on when the log is back."""
    world.log.away = True
    reader = world.log.reader()
    reader.unreachable_ms()
    world.log.advance(3_000)
    seek = effects.Seek(positions=(Position("orders", 0, 0),))
    receive = effects.Receive(topics=("orders",), max_messages=1, wait_ms=10)

    def come_back() -> Effect:
        assert world.meter.values["alarm.broker.unreachable"] == 1
        world.log.away = False
        return seek

    machine = Script(receive, come_back)
    assert world.stage(lambda: machine, reader=reader).run() == Halt(code="done", text="")
    assert [type(answer).__name__ for answer in machine.answers] == ["Received", "Sought"]


def test_messages_that_cannot_be_sent_raise_an_alarm(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """They wait until the log is back, and the operator is told that they do, but not over and over; and of the end."""
    caplog.set_level(logging.INFO)
    world.log.away = True

    def come_back() -> None:
        for _ in range(1_000):
            world.log.advance(world.log.now_ms + 3_000)
            time.sleep(0.01)
            if world.meter.values.get("alarm.broker.unreachable", 0) > 1:
                break
        world.log.away = False
        world.log.advance(world.log.now_ms)

    machine = Script(effects.Publish(messages=(Outgoing("orders", 0, None, b"late"),)))
    stage = world.stage(lambda: machine)
    thread = threading.Thread(target=come_back)
    thread.start()
    assert stage.run() == Halt(code="done", text="")
    thread.join()
    assert world.meter.values["alarm.broker.unreachable"] >= 2
    told = [(record.levelname, record.getMessage().rpartition(": ")[2]) for record in caplog.records]
    assert told[:2] == [("WARNING", "1 messages wait to be sent"), ("INFO", "it is over")]
    assert [level for level, _ in told].count("WARNING") == 1
    assert [message.value for message in world.log.messages("orders")] == [b"late"]


def test_messages_that_can_be_sent_before_the_time_to_drain_is_over(world: World) -> None:
    """They are: what was begun is finished, though the stage is told to stop meanwhile."""
    world.stop = StopSignal(drain_s=20)
    world.log.away = True
    machine = Script(effects.Publish(messages=(Outgoing("orders", 0, None, b"late"),)))
    stage = world.stage(lambda: machine)
    thread = threading.Thread(target=stage.run)
    thread.start()
    world.stop.request()
    time.sleep(0.6)  # longer than it waits for the log at once
    world.log.away = False
    world.log.advance(world.log.now_ms)
    thread.join(10)
    assert [message.value for message in world.log.messages("orders")] == [b"late"]
    assert len(machine.answers) == 1


def test_an_apply_wakes_who_awaits_the_cell(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stage waits for what the other stage of the process changes, without asking the store meanwhile."""
    monkeypatch.setattr("streams.cell_watch._LOOK_S", 60.0)
    loads = []
    load = world.store.load

    def counted() -> Contents:
        loads.append(True)
        return load()

    world.store.load = counted  # type: ignore[method-assign]
    machine = Script(effects.Await(cell="decided", value_to_differ_from=b"", timeout_ms=60_000))
    waiting = threading.Thread(target=world.stage(lambda: machine).run)
    waiting.start()
    while not loads:
        time.sleep(0.001)
    world.answers(effects.Apply(call=call(other=b"1")), effects.Apply(call=call(decided=b"5")))
    waiting.join(10)
    assert not waiting.is_alive()
    assert machine.answers[0].cells["decided"] == b"5"
    assert len(loads) <= 3


def test_an_await_ends_with_its_time(world: World) -> None:
    """A cell that does not change is answered with all cells as they are."""
    answer = world.answers(effects.Await(cell="decided", value_to_differ_from=b"", timeout_ms=20))[0]
    assert answer.cells == {"store_id": STORE_ID}


def test_an_await_sees_what_another_process_changed(world: World) -> None:
    """The store is looked at from time to time, although nobody here has changed it."""
    machine = Script(effects.Await(cell="decided", value_to_differ_from=b"", timeout_ms=60_000))
    waiting = threading.Thread(target=world.stage(lambda: machine).run)
    waiting.start()
    world.store.apply(call(decided=b"5"))
    waiting.join(10)
    assert machine.answers[0].cells["decided"] == b"5"
