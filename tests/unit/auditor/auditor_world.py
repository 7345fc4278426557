"""The Auditor's machines, one at a time, over a store, a guard and a log in memory.

Effects are performed by `tests.attacks.stages.Stage`, and written down. A test looks between any two of them, and
may answer one itself.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from auditor.order import OrderMachine
from auditor.state import OrderState, initial_cells
from auditor.validate import ValidateMachine
from protocol.configuration import Epochs, check_epochs
from protocol.contracts.genesis import genesis_versions
from protocol.limits import Limits
from protocol.records import Record, RecordKey, successor
from protocol.requests import OpenedRequest
from schemas.order import Order, OrderHeader
from schemas.rejection import RejectionEntry, Rejections
from schemas.statement import Decision, Result, Statement, Update
from schemas.topics import topic_table
from storage.effects import Effect, Event, Halt, Outgoing, Started
from storage.machine import Stepped, Steps
from storage.memory_store import MemoryStore
from storage.ports import OutboxEntry, RecordWrite, StoreCall, Stored
from streams.memory_log import MemoryLog
from tests.attacks.stages import Disks, MemoryGuard, Stage, executor_of
from tests.parties import REPLICAS, key_of, make_epochs, sign_configuration
from tests.worlds import START_MS, World

PARTITIONS = 2
SALT_SECRET = b"salt" * 8

Asked = TypeVar("Asked", bound=Effect)
Instead = Callable[[Effect], Event | None]


def configured(limits: Limits | None = None, **changes: Any) -> Epochs:
    """Epoch 0, with other values in its configuration."""
    epochs = make_epochs(limits=limits)
    keys = {"auditor": key_of("auditor"), "ledger": key_of("ledger")}
    signed = sign_configuration(replace(epochs.latest, **changes), keys)  # type: ignore[arg-type]
    return check_epochs(epochs.ledger_id, epochs.genesis_bytes, (signed,))


def nothing(_: Effect) -> Event | None:
    """Leave it to the world."""
    return None


class Watched(Stage):
    """A stage that writes down what its machine asked for.

    Attributes:
        effects: those performed, in order; of every life of the machine.
        instead: answers an effect in place of the world, unless it gives None.
    """

    def __init__(self, make: Callable[[], Stepped], log: MemoryLog, disks: Disks) -> None:
        self.effects: list[Effect] = []
        self.instead: Instead = nothing
        super().__init__(make, log, disks=disks)

    def _perform(self, effect: Effect) -> Event | None:
        event = self.instead(effect) or super()._perform(effect)
        if event is not None:
            self.effects.append(effect)
        return event

    def of(self, kind: type[Asked]) -> list[Asked]:
        """The performed effects of one type."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def names(self) -> list[str]:
        """The types of the performed effects."""
        return [type(effect).__name__ for effect in self.effects]

    def run(self, ms: int) -> None:
        """Let time pass, from one wait to the next."""
        end = self._log.now_ms + ms
        self.move()
        while self.due_ms is not None and self.due_ms <= end:
            self._log.advance(self.due_ms)
            self.move()
        self._log.advance(end)
        self.move()


class Part:
    """A part of a machine by itself, which halts at its end."""

    def __init__(self, make: Callable[[], Steps]) -> None:
        self._steps = make()

    def step(self, event: Event) -> Effect:
        """See `storage.machine.Stepped`."""
        try:
            return next(self._steps) if isinstance(event, Started) else self._steps.send(event)
        except StopIteration:
            return Halt(code="machine.ended", text="a part came to its end")


class AuditorWorld:
    """An Auditor's disks and a log, and clients who make requests.

    Attributes:
        clients: makes requests by the log's clock; in tests of validating, both parties as well.
    """

    def __init__(self, epochs: Epochs | None = None) -> None:
        self.clients = World()
        self.epochs = epochs or self.clients.epochs
        self.log = MemoryLog({topic.name: topic.partitions for topic in topic_table(PARTITIONS, REPLICAS)})
        self.log.advance(START_MS)
        self.disks = self._disks()
        self._writer = self.log.writer()

    def _disks(self) -> Disks:
        store = MemoryStore()
        store.create(self.epochs.latest.auditor_store_id)
        pairs = ((RecordKey(r.namespace, r.key), r.value) for r in self.epochs.genesis.records)
        writes = tuple(RecordWrite(*pair) for pair in genesis_versions(self.epochs.ledger_id, pairs))
        call = StoreCall(expected_cells={}, writes=writes, cells=initial_cells(self.epochs))
        assert isinstance(store.apply(call), Stored)
        executor = executor_of(self.epochs.limits)
        return Disks(store=store, guard=MemoryGuard(), key=key_of("auditor"), executor=executor)

    def order_stage(self) -> Watched:
        """An ordering machine that has not moved yet."""
        make = partial(OrderMachine, epochs=self.epochs, salt_secret=SALT_SECRET, partitions=PARTITIONS)
        return Watched(make, self.log, self.disks)

    def validate_stage(self) -> Watched:
        """A validating machine that has not moved yet."""
        return Watched(partial(ValidateMachine, epochs=self.epochs), self.log, self.disks)

    def perform(self, make: Callable[[], Steps]) -> Watched:
        """Have a part of a machine performed to its end."""
        stage = Watched(partial(Part, make), self.log, self.disks)
        if not isinstance(stage.effect, Halt):
            stage.move()
        return stage

    # --- What goes in ---

    def send(self, topic: str, value: bytes, partition: int = 0) -> None:
        """Write to a topic, as anybody can."""
        self._writer.send([Outgoing(topic, partition, None, value)])

    def ask(self, *requests: OpenedRequest, partition: int = 0) -> None:
        """Send requests."""
        for request in requests:
            self.send("requests", request.envelope.to_message(), partition)

    def put(self, key: str, value: object, **changes: Any) -> OpenedRequest:
        """A request that writes an object, valid now."""
        self.clients.now_ms = self.log.now_ms
        return self.clients.request("object.put", {"key": key, "value": value}, **changes)

    def store(self, *outbox: OutboxEntry, **cells: bytes) -> None:
        """Change the Auditor's store, unchecked."""
        call = StoreCall(expected_cells={}, cells=cells, outbox_put=outbox)
        assert isinstance(self.disks.store.apply(call), Stored)

    def overwrite(self, key: RecordKey, value: bytes) -> Record:
        """Have somebody else write the next version of a record."""
        before = self.disks.store.fetch((key,)).records[key]
        record = successor(
            self.epochs.ledger_id, key, before, value, request_id=b"o" * 32, writer_sequence=0, writer_index=9
        )
        call = StoreCall(expected_cells={}, cells={}, writes=(RecordWrite(key, record),))
        assert isinstance(self.disks.store.apply(call), Stored)
        return record

    # --- What comes out ---

    def state(self) -> OrderState:
        """What the store holds."""
        contents = self.disks.store.load()
        return OrderState.from_cells(contents.cells, contents.replay_entries)

    def values(self, topic: str) -> list[bytes]:
        """Everything on a topic."""
        return [message.value or b"" for message in self.log.messages(topic)]

    def orders(self) -> list[Order]:
        """The orders, each as often as it was sent."""
        return [Order.from_message(value) for value in self.values("orders")]

    def headers(self) -> list[OrderHeader]:
        """Their headers."""
        return [OrderHeader.from_bytes(order.header) for order in self.orders()]

    def counts(self) -> list[int]:
        """How many requests each order holds."""
        return [header.count for header in self.headers()]

    def rejections(self) -> list[RejectionEntry]:
        """What was turned away, as often as it was sent."""
        batches = [Rejections.from_message(value) for value in self.values("rejections")]
        return [RejectionEntry.from_bytes(entry) for batch in batches for entry in batch.entries]

    def codes(self) -> list[str]:
        """Why."""
        return [entry.code for entry in self.rejections()]

    def decisions(self) -> list[Decision]:
        """The decisions, each as often as it was sent."""
        return [Decision.from_message(value) for value in self.values("decisions")]

    def decided(self) -> list[int]:
        """Their sequences."""
        return [Statement.from_bytes(decision.signed.statement).sequence for decision in self.decisions()]


class ValidateWorld(AuditorWorld):
    """Batches that the Auditor has ordered, and the results that an honest Ledger makes of them.

    Attributes:
        updates, results: by sequence.
    """

    def __init__(self, epochs: Epochs | None = None) -> None:
        super().__init__(epochs)
        self.updates: list[Update] = []
        self.results: list[Result] = []

    def order(self, *requests: OpenedRequest, stored: bool = True) -> Result:
        """Order requests (one put, if none is given), and have the Ledger commit them; the result is not sent yet."""
        requests = requests or (self.put("a", len(self.updates)),)
        order, update = self.clients.order(*requests)
        self.updates.append(update)
        self.results.append(self.clients.commit(order, requests))
        if stored:
            self.store_order(len(self.updates) - 1)
        return self.results[-1]

    def store_order(self, sequence: int) -> None:
        """Put an order into the outbox, as the ordering machine does."""
        self.store(OutboxEntry("order", sequence, self.updates[sequence].to_bytes()))

    def answer(self, *results: Result) -> None:
        """Send results."""
        for result in results:
            self.send("results", result.to_message())
