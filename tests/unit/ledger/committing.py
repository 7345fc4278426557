"""The Ledger's committing machine, driven event by event over a store and a guard in memory.

What it asks for is kept, in order. A world orders for it, with real keys; the honest Ledger of that world, which
uses nothing of the machine, says what must come out.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from deploy.stores import create_ledger_store
from ledger.commit import CommitMachine
from ledger.state import CommitState
from protocol.contracts.calls import Batch
from protocol.errors import CountersignError
from protocol.evidence import build
from protocol.limits import Limits
from protocol.records import Record, RecordKey
from protocol.requests import OpenedRequest
from schemas.order import Order
from schemas.statement import Decision
from storage.effects import (
    Apply,
    Effect,
    Event,
    Execute,
    Executed,
    Fetch,
    FindDecisions,
    Halt,
    Load,
    Message,
    Note,
    Publish,
    Published,
    ReadOutbox,
    Receive,
    Received,
    Report,
    Reported,
    Seek,
    Sign,
    Signed,
    Sought,
    Started,
    Verified,
    Verify,
)
from storage.memory_store import MemoryStore
from storage.performer import StorePerformer
from streams.store_fetch import StoreFetch
from tests.attacks.stages import MemoryGuard, executor_of
from tests.gallery.hanging import result_of
from tests.parties import key_of
from tests.unit.learners.cluster import epochs_of, verifies
from tests.worlds import World

A = RecordKey("object", "a")
COMMITTED = [Fetch, Verify, Execute, Apply, Note, Sign, Publish, Report]
"""What committing an order with requests takes."""

Wanted = TypeVar("Wanted")


class Committer:
    """A committing machine, and what outlives it.

    Args:
        configured: fields of the configuration that are unlike the usual ones.

    Attributes:
        world: makes requests, orders and decisions.
        now_ms: the Ledger's clock, a second ahead of the world's.
        asked: every effect of the machine that runs now.
        published: topic and value of everything sent, by whichever machine.
        meanwhile: what happens when an effect of a type is asked for, once; an event is its answer.
        halt: what the machine ended with.
    """

    def __init__(self, world: World | None = None, **configured: Any) -> None:
        self.world = world or World()
        if configured:
            self.world.epochs = epochs_of(self.world, 4, 1, **configured)
        self.store, self.guard = MemoryStore(), MemoryGuard()
        create_ledger_store(self.store, self.world.epochs)
        self.now_ms = self.world.now_ms + 1000
        self.published: list[tuple[str, bytes]] = []
        self.meanwhile: dict[type[Effect], Callable[[Any], Event | None]] = {}
        self._offsets = {"orders": 0, "decisions": 0}
        self.start()

    # --- The machine ---

    def start(self) -> list[Effect]:
        """Drop the machine, as a crash does, and start another; what it asks for before it waits."""
        self._machine = CommitMachine(epochs=self.world.epochs)
        self.asked: list[Effect] = []
        self.halt: Halt | None = None
        return self._run(Started(now_ms=self.now_ms))

    def deliver(self, *messages: Message) -> list[Effect]:
        """Answer its wait with messages; what it asks for until it waits again."""
        assert isinstance(self.asked[-1], Receive), self.asked[-1]
        return self._run(Received(now_ms=self.now_ms, messages=messages))

    def wait(self, ms: int | None = None) -> list[Effect]:
        """Let time pass, by default as long as it waits."""
        receive = self.asked[-1]
        assert isinstance(receive, Receive)
        self.now_ms += receive.wait_ms if ms is None else ms
        return self.deliver()

    def take(self, *orders: Order) -> list[Effect]:
        """Deliver orders."""
        return self.deliver(*map(self.ordered, orders))

    def learn(self, *decisions: Decision) -> list[Effect]:
        """Deliver decisions."""
        return self.deliver(*map(self.decided, decisions))

    def _run(self, event: Event) -> list[Effect]:
        first = len(self.asked)
        while True:
            try:
                effect = self._machine.step(event)
                self.asked.append(effect)
                if isinstance(effect, Receive):
                    return self.asked[first:-1]
                if not isinstance(effect, Halt):
                    event = self._perform(effect)
                    continue
            except CountersignError as error:
                effect = Halt(code=error.code, text=error.detail)  # as a stage does
                self.asked.append(effect)
            self.halt = effect
            return self.asked[first:]

    def _perform(self, effect: Effect) -> Event:
        if type(effect) in self.meanwhile:
            answer = self.meanwhile.pop(type(effect))(effect)
            if answer is not None:
                return answer
        match effect:
            case Load() | Fetch() | Apply() | ReadOutbox() | Note():
                return StorePerformer(self.store, self.guard, lambda: self.now_ms).perform(effect)
            case Execute():
                return self.execute(effect.batch)
            case Verify():
                return Verified(now_ms=self.now_ms, valid=tuple(map(verifies, effect.checks)))
            case Sign():
                return Signed(now_ms=self.now_ms, signatures=tuple(map(key_of("ledger").sign, effect.messages)))
            case FindDecisions():
                return Received(now_ms=self.now_ms, messages=tuple(map(self.decided, self.world.decisions.values())))
            case Publish():
                self.published += [(message.topic, message.value) for message in effect.messages]
                return Published(now_ms=self.now_ms)
            case Seek():
                return Sought(now_ms=self.now_ms)
            case Report():
                return Reported(now_ms=self.now_ms)
            case _:
                raise AssertionError(effect)

    def execute(self, batch: Batch) -> Executed:
        """What an executor answers."""
        fetch = StoreFetch(self.store)
        results = executor_of(Limits()).run(batch, fetch)
        return Executed(now_ms=self.now_ms, results=results, scans=tuple(fetch.scans))

    # --- What goes in ---

    def message(self, topic: str, value: bytes | None) -> Message:
        """The next message of a topic."""
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        return Message(topic, 0, offset, 7, None, value, self.now_ms)

    def ordered(self, order: Order) -> Message:
        """An order on its topic."""
        return self.message("orders", order.to_message())

    def decided(self, decision: Decision) -> Message:
        """A decision on its topic."""
        return self.message("decisions", decision.to_message())

    def decide(self, *requests: OpenedRequest) -> Order:
        """The order of a batch that the world decides at once; without requests, of one that writes object "a"."""
        if not requests:
            requests = (self.world.put("a", self.world.auditor.head.sequence),)
        return build.order_of(self.world.decide(*requests))

    def commit(self, count: int, *, verify: bool = True) -> None:
        """Commit so many batches, and have their decisions verified."""
        for _ in range(count):
            order = self.decide()
            self.take(order)
            if verify:
                self.learn(self.world.decisions[self.world.auditor.head.sequence])

    # --- What comes out ---

    @property
    def state(self) -> CommitState:
        """What the store says."""
        return CommitState.from_cells(self.store.load().cells)

    def record(self, key: RecordKey) -> Record:
        """A current record."""
        return self.store.fetch((key,)).records[key]

    def values(self, topic: str) -> list[bytes]:
        """What was sent to a topic."""
        return [value for name, value in self.published if name == topic]

    def expected(self, *sequences: int) -> list[bytes]:
        """The results that the world's honest Ledger sends, message by message."""
        return [result_of(self.world.decisions[sequence]).to_message() for sequence in sequences]

    def held(self) -> list[int]:
        """The sequences of the orders, decisions and statements that the machine holds."""
        machine = self._machine
        return sorted([*machine._orders, *machine._decisions, *machine._statements])

    def outbox(self, kind: str) -> list[int]:
        """Which numbers of a kind wait in the outbox."""
        return [entry.number for entry in self.store.read_outbox(kind, -1, 1_000_000)]


def kinds(effects: Iterable[Effect]) -> list[type[Effect]]:
    """The types of effects."""
    return [type(effect) for effect in effects]


def of_kind(effects: Sequence[Effect], kind: type[Wanted]) -> list[Wanted]:
    """The effects of a type."""
    return [effect for effect in effects if isinstance(effect, kind)]


def measured(effects: Sequence[Effect]) -> dict[str, float]:
    """What was reported, counters added up, gauges as they were last."""
    found: dict[str, float] = {}
    for report in of_kind(effects, Report):
        for name, value in report.metrics.items():
            found[name] = value if name.startswith("gauge_") else found.get(name, 0) + value
    return found
