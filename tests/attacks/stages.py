"""One machine of a ledger in memory, and the disks of a party: real bytes, real signatures, no waiting.

A stage may be *bent*: what it sends passes a function first. So a broker that alters messages is made, and a
party whose key is used by somebody who does not follow the protocol. Everything else is the real machine.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from protocol.errors import CountersignError
from protocol.limits import Limits
from protocol.signatures import SignatureCheck
from protocol.signing import BadKeyError, BadSignatureError, SigningKey, verify_key
from storage.effects import (
    Append,
    Appended,
    Apply,
    Await,
    Awaited,
    Effect,
    Event,
    Execute,
    Executed,
    Fetch,
    FindDecisions,
    Halt,
    JournalRead,
    Load,
    LoadPosition,
    Note,
    Outgoing,
    PositionLoaded,
    Publish,
    Published,
    ReadGuard,
    ReadJournal,
    ReadOutbox,
    ReadTail,
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
from storage.guard_entries import GuardEntries
from storage.machine import Stepped
from storage.memory_store import MemoryStore
from storage.performer import StorePerformer
from storage.ports import GuardKind, Place
from streams.executor import InProcessExecutor
from streams.memory_log import MemoryLog
from streams.store_fetch import StoreFetch
from tests.unit.learners.cluster import MemoryViews

Bend = Callable[[Outgoing], Iterable[Outgoing]]


class MemoryGuard:
    """A signing guard without a disk; see `storage.ports.SigningGuard`."""

    def __init__(self) -> None:
        self.entries = GuardEntries(256)

    def acquire(self, wait: bool) -> bool:
        return True

    def stop(self) -> None: ...

    def note(self, places: Sequence[Place]) -> None:
        self.entries.add(self.entries.new(places))

    def highest(self, kind: GuardKind) -> Place | None:
        return self.entries.highest(kind)

    def entry(self, kind: GuardKind, epoch: int, sequence: int) -> Place | None:
        return self.entries.entry(kind, epoch, sequence)

    def close(self) -> None: ...


@cache
def executor_of(limits: Limits) -> InProcessExecutor:
    """One for all who have these limits: its engine's memory is given back by nobody."""
    return InProcessExecutor(limits)


@dataclass
class Disks:
    """What outlives a party's processes."""

    store: MemoryStore
    guard: MemoryGuard
    key: SigningKey
    executor: InProcessExecutor = field(default_factory=lambda: executor_of(Limits()))


class Stage:
    """A machine in its world.

    Attributes:
        bend: what becomes of a message that it sends.
        halt: what it ended with, if it did.
        stopped: it is not moved while this is set.
        measures: what it reported.
    """

    def __init__(
        self,
        make: Callable[[], Stepped],
        log: MemoryLog,
        *,
        key: SigningKey | None = None,
        disks: Disks | None = None,
        views: MemoryViews | None = None,
    ) -> None:
        self._make, self._log, self._disks, self._views = make, log, disks, views
        self._key = disks.key if disks else key
        self.bend: Bend = lambda message: (message,)
        self.stopped = False
        self.measures: dict[str, float] = {}
        self.crash()

    def crash(self) -> None:
        """Drop the machine, and start another."""
        self._machine = self._make()
        self.reader, self._writer = self._log.reader(), self._log.writer()
        self.halt: Halt | None = None
        self._since_ms = self._log.now_ms
        self.effect: Effect = self._machine.step(Started(now_ms=self._log.now_ms))

    @property
    def due_ms(self) -> int | None:
        """When a wait will be over."""
        if self.halt or self.stopped or not isinstance(self.effect, Receive | Await):
            return None
        wait_ms = self.effect.wait_ms if isinstance(self.effect, Receive) else self.effect.timeout_ms
        return self._since_ms + wait_ms

    def move(self, until: type | None = None) -> bool:
        """Step until there is nothing to do, or until just before an effect of a type; whether it moved."""
        moved = False
        while not (self.halt or self.stopped):
            if until is not None and isinstance(self.effect, until):
                return moved
            try:
                event = self._perform(self.effect)
                if event is None:
                    return moved
                self.effect = self._machine.step(event)
            except CountersignError as error:
                self.effect = Halt(code=error.code, text=error.detail)
            self._since_ms, moved = self._log.now_ms, True
            if isinstance(self.effect, Halt):
                self.halt = self.effect
        return moved

    def _perform(self, effect: Effect) -> Event | None:
        now_ms = self._log.now_ms
        waited = self.due_ms is not None and now_ms >= self.due_ms
        match effect:
            case Receive():
                messages, alarms = self.reader.receive(effect.topics, effect.max_messages, 0)
                if not (messages or alarms or waited):
                    return None
                return Received(now_ms=now_ms, messages=messages, alarms=alarms)
            case Await():
                cells = self._party.store.load().cells
                if cells.get(effect.cell, b"") == effect.value_to_differ_from and not waited:
                    return None
                return Awaited(now_ms=now_ms, cells=cells)
            case Load() | Fetch() | Apply() | ReadOutbox() | Note() | ReadGuard():
                return StorePerformer(self._party.store, self._party.guard, lambda: now_ms).perform(effect)
            case Execute():
                fetch = StoreFetch(self._party.store)
                results = self._party.executor.run(effect.batch, fetch)
                return Executed(now_ms=now_ms, results=results, scans=tuple(fetch.scans))
            case _:
                return self._perform_outside(effect, now_ms)

    def _perform_outside(self, effect: Any, now_ms: int) -> Event:
        match effect:
            case Seek():
                self.reader.seek(effect.positions)
                return Sought(now_ms=now_ms)
            case ReadTail():
                return Received(now_ms=now_ms, messages=self.reader.read_tail(effect.topic, effect.count))
            case ReadJournal():
                return JournalRead(now_ms=now_ms)
            case FindDecisions():
                return Received(now_ms=now_ms, messages=tuple(self.reader.read_all("decisions")))
            case Publish():
                self._writer.send([bent for message in effect.messages for bent in self.bend(message)])
                return Published(now_ms=now_ms)
            case Verify():
                return Verified(now_ms=now_ms, valid=tuple(map(_verifies, effect.checks)))
            case Sign():
                assert self._key is not None, "only who has a key signs"
                return Signed(now_ms=now_ms, signatures=tuple(map(self._key.sign, effect.messages)))
            case Report():
                for name, value in effect.metrics.items():
                    gauge = name.startswith("gauge_")
                    self.measures[name] = value if gauge else self.measures.get(name, 0) + value
                return Reported(now_ms=now_ms)
            case LoadPosition():
                assert self._views is not None, "only a learner has views"
                return PositionLoaded(now_ms=now_ms, position=self._views.position)
            case Append():
                assert self._views is not None, "only a learner has views"
                self._views.append(effect.rows, effect.position)
                return Appended(now_ms=now_ms)
            case _:
                raise AssertionError(effect)

    @property
    def _party(self) -> Disks:
        assert self._disks is not None, "only a party has disks"
        return self._disks


def _verifies(check: SignatureCheck) -> bool:
    try:
        verify_key(*check.key).verify(check.signed, check.signature)
    except (BadSignatureError, BadKeyError):
        return False
    return True
