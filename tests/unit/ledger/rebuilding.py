"""The Ledger's rebuilding machine, driven effect by effect over a store and a log in memory."""

from collections.abc import Callable, Sequence
from typing import Any

from deploy.stores import create_ledger_store
from ledger.rebuild import REBUILT, RebuildMachine
from ledger.state import CommitState
from protocol.errors import CountersignError
from protocol.records import RecordKey
from schemas.statement import Decision
from storage.effects import (
    Apply,
    Effect,
    Event,
    Fetch,
    Halt,
    JournalRead,
    Load,
    Outgoing,
    ReadJournal,
    ReadTail,
    Receive,
    Received,
    Report,
    Reported,
    Seek,
    Sought,
    Started,
    Verified,
    Verify,
)
from storage.memory_store import MemoryStore
from storage.performer import StorePerformer
from streams.memory_log import MemoryLog
from tests.attacks.stages import MemoryGuard
from tests.unit.learners.cluster import verifies
from tests.worlds import World

NAMESPACES = ("bank", "object", "sys")
_EFFECTS_MAX = 300
"""A rebuild of these small logs that asks for more does not come to an end."""


class Rebuilder:
    """A rebuilding machine over a store and a log in memory.

    Attributes:
        meanwhile: what happens before an effect of a type is performed, once.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.log = MemoryLog({"decisions": 1})
        self.store = MemoryStore()
        create_ledger_store(self.store, world.epochs)
        self.reader = self.log.reader()
        self.meanwhile: dict[type[Effect], Callable[[Any], None]] = {}

    def publish(self, *decisions: Decision | bytes) -> None:
        """Write decisions, or whatever else, to the log."""
        for each in decisions:
            value = each if isinstance(each, bytes) else each.to_message()
            self.log.insert(Outgoing("decisions", 0, None, value))

    def run(self) -> list[Effect]:
        """Run until it halts; everything that it asked for."""
        self.machine = RebuildMachine(epochs=self.world.epochs)
        asked: list[Effect] = []
        event: Event = Started(now_ms=0)
        while len(asked) < _EFFECTS_MAX:
            try:
                effect = self.machine.step(event)
                asked.append(effect)
                if isinstance(effect, Halt):
                    return asked
                event = self.perform(effect)
            except CountersignError as error:
                return [*asked, Halt(code=error.code, text=error.detail)]  # as a stage does
        raise AssertionError("it does not come to an end")

    def perform(self, effect: Effect) -> Event:
        if type(effect) in self.meanwhile:
            self.meanwhile.pop(type(effect))(effect)
        match effect:
            case Load() | Fetch() | Apply():
                return StorePerformer(self.store, MemoryGuard(), lambda: 0).perform(effect)
            case Receive():
                messages, alarms = self.reader.receive(effect.topics, effect.max_messages, 0)
                return Received(now_ms=0, messages=messages, alarms=alarms)
            case ReadTail():
                return Received(now_ms=0, messages=self.reader.read_tail(effect.topic, effect.count))
            case Seek():
                self.reader.seek(effect.positions)
                return Sought(now_ms=0)
            case Verify():
                return Verified(now_ms=0, valid=tuple(map(verifies, effect.checks)))
            case ReadJournal():
                return JournalRead(now_ms=0)
            case Report():
                return Reported(now_ms=0)
            case _:
                raise AssertionError(effect)

    @property
    def state(self) -> CommitState:
        return CommitState.from_cells(self.store.load().cells)


def records(store: MemoryStore) -> dict[RecordKey, object]:
    """All records of a store."""
    return {RecordKey(n, key): record for n in NAMESPACES for key, record in store.records(n)}


def check_whole(rebuilder: Rebuilder, asked: Sequence[Effect]) -> None:
    """Require that the store is that of a Ledger that committed all this itself."""
    world = rebuilder.world
    last = max(world.decisions)
    halt = asked[-1]
    assert isinstance(halt, Halt)
    assert (halt.code, halt.text.rpartition(" up to ")[2]) == (REBUILT, f"sequence {last}")
    assert rebuilder.state.head == world.ledger.head
    assert rebuilder.state.verified == last
    found = records(rebuilder.store)
    assert found == {key: versions[-1] for key, versions in world.ledger.history.items()}
