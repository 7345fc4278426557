"""A world for stages in tests: log and store in memory, a clock that ticks, machines that follow a script."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protocol.contracts.calls import Batch, Execution, Fetch
from protocol.records import ABSENT, RecordKey
from protocol.signing import SigningKey
from storage.effects import Effect, Event, Halt, Started
from storage.errors import StoreUnavailableError
from storage.machine import Stepped, Steps
from storage.memory_guard import MemoryGuard, MemoryGuardDisk
from storage.memory_store import MemoryStore
from storage.ports import Contents, Refusal, StoreCall, Stored
from streams.cell_watch import CellWatch
from streams.memory_log import MemoryLog, MemoryLogReader
from streams.metrics import StageMeter
from streams.performer import Party, Ports
from streams.signature_pool import SignaturePool
from streams.stage import Stage
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


class Script:
    """A machine that asks for these effects, remembers the answers, and halts."""

    def __init__(self, *asked: Effect | Callable[[], Effect]) -> None:
        self.asked = asked
        self.answers: list[Any] = []
        self._steps = self._run()

    def step(self, event: Event) -> Effect:
        return next(self._steps) if isinstance(event, Started) else self._steps.send(event)

    def _run(self) -> Steps:
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
        self,
        make_machine: Callable[[], Stepped],
        name: str = "test",
        reader: MemoryLogReader | None = None,
        ends: frozenset[str] = frozenset(),
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
        return Stage(make_machine, ports, self.meter, ends)

    def answers(self, *asked: Effect | Callable[[], Effect]) -> list[Any]:
        """What a machine is answered that asks for this."""
        machine = Script(*asked)
        assert self.stage(lambda: machine).run() == Halt(code="done", text="")
        return machine.answers


def call(**cells: bytes) -> StoreCall:
    return StoreCall(expected_cells={}, cells=cells)
