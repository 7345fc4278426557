"""The stage loop does what a machine asks for, waits for a world that is away, and ends as it is told."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from protocol.contracts.calls import Batch, Execution, Fetch
from protocol.records import ABSENT, RecordKey
from protocol.signatures import SignatureCheck
from protocol.signing import SigningKey, verify_key
from schemas.epoch import PublicKey
from storage import effects
from storage.effects import Alarm, Effect, Event, Halt, Outgoing, Position
from storage.errors import StoreUnavailableError
from storage.machine import Machine, Steps
from storage.memory_guard import MemoryGuard, MemoryGuardDisk
from storage.memory_store import MemoryStore
from storage.ports import Contents, Place, Refusal, ScanRows, StoreCall, Stored
from streams.cell_watch import CellWatch
from streams.log import LogUnavailableError
from streams.memory_log import MemoryLog, MemoryLogReader
from streams.metrics import StageMeter
from streams.performer import Party, Ports
from streams.signature_pool import SignaturePool
from streams.stage import Stage, run_stages
from streams.stop_signal import StopSignal

KEY = SigningKey.from_seed("p256", bytes(32))
STORE_ID = bytes(range(32))


class Store(MemoryStore):
    """A store whose next calls can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: list[str] = []
        self.create(STORE_ID)

    def _fail(self, call: str) -> None:
        if self.failing and self.failing[0] == call:
            self.failing.pop(0)
            raise StoreUnavailableError(f"{call} failed")

    def load(self) -> Contents:
        self._fail("load")
        return super().load()

    def apply(self, call: StoreCall) -> Stored | Refusal:
        self._fail("apply")
        return super().apply(call)


class NoExecutor:
    """Executes nothing; reads one range."""

    def run(self, batch: Batch, fetch: Fetch) -> tuple[Execution, ...]:
        assert fetch.record(RecordKey("bank", "a")) == ABSENT
        assert fetch.scan("bank", "a", "z", 5) == ()
        assert fetch.versions(RecordKey("bank", "a"), 3, 3) == []
        return ()

    def close(self) -> None:
        pass


class Script(Machine):
    """A machine that asks for these effects, remembers the answers, and halts."""

    def __init__(self, *asked: Effect | Callable[[], Effect]) -> None:
        super().__init__()
        self.asked = asked
        self.answers: list[Any] = []

    def run(self) -> Steps:
        for effect in self.asked:
            self.answers.append((yield effect() if callable(effect) else effect))
        yield Halt(code="done", text="")


@dataclass
class World:
    """A log, a store and a clock for stages."""

    log: MemoryLog = field(default_factory=lambda: MemoryLog({"orders": 1, "results": 1, "decisions": 1}))
    store: Store = field(default_factory=Store)
    stop: StopSignal = field(default_factory=lambda: StopSignal(drain_s=0.2))
    watch: CellWatch = field(default_factory=CellWatch)
    pool: SignaturePool = field(default_factory=lambda: SignaturePool(2))
    now_ms: int = 0

    def clock(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def stage(
        self, make_machine: Callable[[], Machine], name: str = "test", reader: MemoryLogReader | None = None
    ) -> Stage:
        guard = MemoryGuard(MemoryGuardDisk(window=64))
        guard.acquire(wait=False)
        party = Party(store=self.store, guard=guard, executor=NoExecutor(), watch=self.watch)
        ports = Ports(
            reader=reader or self.log.reader(),
            writer=self.log.writer(),
            pool=self.pool,
            now_ms=self.clock,
            stop=self.stop,
            signing_key=KEY,
            party=party,
        )
        self.meter = StageMeter(name)
        return Stage(make_machine, ports, self.meter)

    def answers(self, *asked: Effect | Callable[[], Effect]) -> list[Any]:
        """What a machine is answered that asks for this."""
        machine = Script(*asked)
        assert self.stage(lambda: machine).run() == Halt(code="done", text="")
        return machine.answers


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.pool.close()


def call(**cells: bytes) -> StoreCall:
    return StoreCall(expected_cells={}, cells=cells)


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
    assert values["Publish.count"] == values["Receive.count"] == values["messages_in"] == values["messages_out"] == 1
    assert values["bytes_in"] == values["bytes_out"] == 5
    assert values["step.count"] == 6
    assert values["ordered"] == 5
    assert values["gauge_sequence"] == 8
    assert 0 < values["step.cpu_us"] <= values["step.wall_us"] * 1.5 + 1_000


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
    """Rubbish among the decisions is passed by."""
    world.log.insert(Outgoing("decisions", 0, None, b"rubbish"))
    assert world.answers(effects.FindDecisions(sequences=(0,)))[0].messages == ()
    assert len(world.answers(effects.ReadTail(topic="decisions", count=3))[0].messages) == 1


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


def test_a_store_that_is_away_is_waited_for(world: World) -> None:
    """Reading is tried again for the same machine."""
    world.store.failing = ["load", "load"]
    assert world.answers(effects.Load())[0].cells == {"store_id": STORE_ID}
    assert not world.store.failing


def test_an_open_apply_starts_a_new_machine(world: World) -> None:
    """Nobody knows whether it was done: the machine is dropped, the store waited for, a new machine loads."""
    world.store.failing = ["apply", "load", "load"]
    made: list[Script] = []

    def make() -> Machine:
        made.append(Script(effects.Apply(call=call(sequence=b"1"))))
        return made[-1]

    assert world.stage(make).run() == Halt(code="done", text="")
    assert [len(machine.answers) for machine in made] == [0, 1]
    assert not world.store.failing
    assert world.meter.values["restarts"] == 1


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


def test_one_halt_ends_all_stages(world: World) -> None:
    """A process whose one stage halts does not go on with half of its work."""
    receive = effects.Receive(topics=("orders",), max_messages=1, wait_ms=60_000)
    stages = [world.stage(lambda: Script(receive)), world.stage(lambda: Script())]
    assert run_stages(stages, world.stop) == Halt(code="done", text="")


def test_a_bug_ends_all_stages_and_shows(world: World) -> None:
    """What is not understood is not caught."""

    class Broken(Machine):
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
        assert world.stop.requested
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
