"""The process around Faust: it comes to an end, whatever Faust does, and says why."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError, KafkaConnectionError, NodeNotReadyError

from schemas.feed import Learned
from streams import faust_app
from streams.event_loop import run_in_loop
from streams.faust_app import LearnedCodec
from streams.log import LogUnavailableError
from streams.stop_signal import StopSignal


class Worker:
    """In place of Faust's: starts, crashes and stops as a test wants it to."""

    def __init__(self, _app: object) -> None:
        self.crash_reason: BaseException | None = None
        self._ended = asyncio.Event()

    async def start(self) -> None:
        """Started at once."""

    async def wait_until_stopped(self) -> None:
        await self._ended.wait()

    async def stop(self) -> None:
        self._ended.set()

    def crash(self, reason: BaseException) -> None:
        self.crash_reason = reason
        self._ended.set()


async def for_ever() -> None:
    """Neither comes to its end nor lets itself be cancelled, as some of aiokafka's tasks while the broker is away."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short times, and at the end nothing left of what a process would leave to its end."""
    for name in ("streams.faust_app._END_S", "streams.faust_app.CANCEL_S", "streams.event_loop.CANCEL_S"):
        monkeypatch.setattr(name, 0.05)
    loops: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop

    def made() -> asyncio.AbstractEventLoop:
        loops.append(make())
        return loops[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", made)
    yield
    for loop in loops:
        loop.close()
    logging.getLogger("asyncio").setLevel(logging.NOTSET)


def run(
    monkeypatch: pytest.MonkeyPatch, kind: type[Worker], stop: StopSignal, *, ends_when_ready: bool = False
) -> list[str]:
    """Run such a worker in a thread that must end; what was said to be ready."""
    ready, raised = list[str](), list[BaseException]()
    monkeypatch.setattr(faust_app, "_Worker", kind)

    def is_ready() -> None:
        ready.append("ready")
        if ends_when_ready:
            stop.request()

    def work() -> None:
        try:
            app: Any = None
            run_in_loop(faust_app._run(app, stop, is_ready))
        except BaseException as error:
            raised.append(error)

    running = threading.Thread(target=work, daemon=True)
    running.start()
    running.join(20)
    assert not running.is_alive(), "it hangs"
    if raised:
        raise raised[0]
    return ready


def test_it_is_ready_once_and_ends_when_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so it does where Faust ends by itself: who asks for the end later is not told of a loop that is closed."""
    assert run(monkeypatch, Worker, StopSignal(), ends_when_ready=True) == ["ready"]

    class Ends(Worker):
        async def start(self) -> None:
            asyncio.get_running_loop().call_later(0.05, self._ended.set)

    late = StopSignal()
    assert run(monkeypatch, Ends, late) == ["ready"]
    late.request()


def test_an_end_asked_for_before_the_start_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the start never comes to its end."""

    class Starting(Worker):
        async def start(self) -> None:
            await asyncio.Event().wait()

    stop = StopSignal()
    stop.request()
    assert run(monkeypatch, Starting, stop) == []


@pytest.mark.parametrize("what", ["start", "stop", "wait_until_stopped", "another task"])
def test_what_never_ends_does_not_keep_the_process(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Not even where it cannot be cancelled: without a broker, Faust's own end never came."""
    stop = StopSignal()

    class Hanging(Worker):
        async def start(self) -> None:
            if what == "start":
                await for_ever()
            if what == "another task":
                self.kept = asyncio.create_task(for_ever())

        async def wait_until_stopped(self) -> None:
            stop.request()
            await (for_ever() if what == "wait_until_stopped" else Worker.wait_until_stopped(self))

        async def stop(self) -> None:
            await (for_ever() if what == "stop" else super().stop())

    run(monkeypatch, Hanging, stop)


def crashed(when: str, reason: BaseException) -> type[Worker]:
    class Crashing(Worker):
        async def start(self) -> None:
            if when == "raised by the start":
                raise reason
            asyncio.get_running_loop().call_later(0.05, self.crash, reason)
            if when == "in the midst of the start":
                await asyncio.Event().wait()

    return Crashing


WHEN = ["raised by the start", "in the midst of the start", "later"]


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("kind", [KafkaConnectionError, NodeNotReadyError])
def test_a_broker_that_goes_away_is_said_to_be_away(
    monkeypatch: pytest.MonkeyPatch, when: str, kind: Callable[[], BaseException]
) -> None:
    """Whatever aiokafka calls it, and whenever: the role then ends with a code that can be acted on."""
    with pytest.raises(LogUnavailableError) as caught:
        run(monkeypatch, crashed(when, kind()), StopSignal())
    assert caught.value.code == "broker.unreachable"


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("reason", [IllegalStateError("ours"), ZeroDivisionError("ours")], ids=["Kafka's", "Python's"])
def test_any_other_crash_shows_as_it_is(monkeypatch: pytest.MonkeyPatch, when: str, reason: Exception) -> None:
    """A mistake in the program is not a broker that is away."""
    with pytest.raises(type(reason), match="ours"):
        run(monkeypatch, crashed(when, reason), StopSignal())


LEARNED = Learned(ledger_id=bytes(32), sequence=5, ordered_at_ms=1, learned_at_ms=2, requests=())


def test_only_what_is_a_decision_is_decoded() -> None:
    """What is none comes as None, whatever it is; an exception would end the views."""
    codec, message = LearnedCodec(), LEARNED.to_message()
    assert codec.loads(message) == LEARNED
    assert codec.loads(message[:-1]) is None
    for rubbish in (b"", b"\0", b"rubbish", b"x" + message, message[:20], b"\xff" * 200):
        assert codec.loads(rubbish) is None
