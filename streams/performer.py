"""Performs the effects of one machine against the real world.

Rules:

1. What cannot be done because the log or the store is away is tried again, with back-off, until it can or the
   stage is told to stop. An alarm is raised after a while and again every half minute.
2. Only `Apply` is not tried again: `StoreUnavailableError` leaves open whether it was done. The stage then
   drops the machine and starts a new one.
3. What must not go on (a lost log, a wiped or damaged store, a signing guard that contradicts) ends the
   stage: `CountersignError` with its code.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from protocol.signing import SigningKey
from schemas.errors import MalformedMessageError
from schemas.statement import DecisionHead, Statement
from schemas.topics import DECISIONS
from storage.effects import (
    Apply,
    Await,
    Awaited,
    Effect,
    Event,
    Execute,
    Executed,
    Fetch,
    FindDecisions,
    Load,
    Message,
    Note,
    Publish,
    Published,
    ReadGuard,
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
    Verified,
    Verify,
)
from storage.errors import StoreUnavailableError
from storage.performer import StorePerformer
from storage.ports import RecordStore, SigningGuard
from streams.cell_watch import CellWatch
from streams.executor import BatchExecutor
from streams.log import LogReader, LogUnavailableError, LogWriter, publish
from streams.metrics import StageMeter
from streams.signature_pool import SignaturePool
from streams.stop_signal import StopSignal
from streams.store_fetch import StoreFetch

_SLICE_MS = 250
_BACKOFF_FIRST_S = 0.05
_BACKOFF_S_MAX = 2.0
_ALARM_AFTER_MS = 2_000
_ALARM_AGAIN_S = 30.0

_log = logging.getLogger("countersign.stage")

Answer = TypeVar("Answer")


class StoppedError(Exception):
    """The stage was told to stop, and what it was doing cannot be finished now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """What a party's stages have and those of replicas and learners have not.

    Attributes:
        store: its records, cells and outbox.
        guard: its signing guard, whose lock is held.
        executor: runs its contracts.
        watch: shared by the stages of a process that use this store.
    """

    store: RecordStore
    guard: SigningGuard
    executor: BatchExecutor
    watch: CellWatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world of one stage.

    Attributes:
        reader, writer: of the log; this stage's own.
        pool: threads for signatures.
        now_ms: the clock, milliseconds since 1970.
        stop: when to end.
        signing_key: of the party or replica.
        party: None for a replica and a learner.
        more: performers of effects that only this role has, by the effect's class.
    """

    reader: LogReader
    writer: LogWriter
    pool: SignaturePool
    now_ms: Callable[[], int]
    stop: StopSignal
    signing_key: SigningKey | None = None
    party: Party | None = None
    more: Mapping[type, Callable[[Any], Event]] = field(default_factory=dict)


class EffectPerformer:
    """Performs effects; one thread."""

    def __init__(self, ports: Ports, meter: StageMeter) -> None:
        self._ports = ports
        self._meter = meter
        self._now_ms = ports.now_ms
        self._alarmed: dict[str, float] = {}
        self._told: set[str] = set()
        self._performers: dict[type, Callable[[Any], Event]] = {
            Receive: self._receive,
            Seek: self._seek,
            Publish: self._publish,
            ReadTail: self._read_tail,
            FindDecisions: self._find_decisions,
            Verify: self._verify,
            Sign: self._sign,
            Report: self._report,
            **(self._of_party(ports.party) if ports.party else {}),
            **ports.more,
        }

    def _of_party(self, party: Party) -> dict[type, Callable[[Any], Event]]:
        store = StorePerformer(party.store, party.guard, self._now_ms)

        def again(effect: Any) -> Event:
            return self._patiently(lambda: store.perform(effect))

        def apply(effect: Apply) -> Event:
            done = store.perform(effect)
            party.watch.changed()
            return done

        def wait(effect: Await) -> Event:
            return self._patiently(lambda: self._await(party, effect))

        def execute(effect: Execute) -> Event:
            return self._patiently(lambda: self._execute(party, effect))

        reads = (Load, Fetch, ReadOutbox, Note, ReadGuard)
        return {Apply: apply, Await: wait, Execute: execute, **dict.fromkeys(reads, again)}

    def perform(self, effect: Effect) -> Event:
        """Do what the effect asks for, and give the event that answers it.

        Raises:
            StoppedError: the stage was told to stop.
            StoreUnavailableError: of `Apply`; it is unknown whether it was done.
            CountersignError: the machine must not go on.
        """
        return self._performers[type(effect)](effect)

    # --- The log ---

    def _receive(self, effect: Receive) -> Received:
        reader, stop = self._ports.reader, self._ports.stop
        deadline = time.monotonic() + effect.wait_ms / 1000
        while True:
            left_ms = max(0, int((deadline - time.monotonic()) * 1000))
            messages, alarms = reader.receive(effect.topics, effect.max_messages, min(left_ms, _SLICE_MS))
            if messages or alarms:
                break
            if reader.unreachable_ms() > _ALARM_AFTER_MS:
                self._alarm("broker.unreachable", "nothing can be read")
            else:
                self._over("broker.unreachable")
            if left_ms <= _SLICE_MS or stop.requested:
                break
        for alarm in alarms:
            tail = alarm.end_offset <= alarm.position
            code, verb = ("log.tail_lost", "ends") if tail else ("log.start_lost", "begins")
            where = f"{alarm.topic}/{alarm.partition}"
            self._alarm(code, f"{where} {verb} at {alarm.end_offset}, not at {alarm.position}")
        self._count("in", messages)
        return Received(now_ms=self._now_ms(), messages=messages, alarms=alarms)

    def _seek(self, effect: Seek) -> Sought:
        self._patiently(lambda: self._ports.reader.seek(effect.positions))
        return Sought(now_ms=self._now_ms())

    def _publish(self, effect: Publish) -> Published:
        writer = self._ports.writer

        def give_up() -> bool:
            if writer.unreachable_ms() > _ALARM_AFTER_MS:
                self._alarm("broker.unreachable", f"{len(effect.messages)} messages wait to be sent")
            return self._ports.stop.overdue

        if not publish(writer, effect.messages, give_up):
            raise StoppedError
        self._over("broker.unreachable")
        self._count("out", effect.messages)
        return Published(now_ms=self._now_ms())

    def _read_tail(self, effect: ReadTail) -> Received:
        messages = self._patiently(lambda: self._ports.reader.read_tail(effect.topic, effect.count))
        return Received(now_ms=self._now_ms(), messages=messages)

    def _find_decisions(self, effect: FindDecisions) -> Received:
        wanted = frozenset(effect.sequences)
        found = self._patiently(lambda: tuple(_claiming(wanted, self._ports.reader.read_all(DECISIONS))))
        return Received(now_ms=self._now_ms(), messages=found)

    def _count(self, direction: str, messages: Iterable[Any]) -> None:
        count = size = 0
        for message in messages:
            count += 1
            size += len(message.value or b"")
        self._meter.add(f"messages_{direction}", count)
        self._meter.add(f"bytes_{direction}", size)

    # --- Signatures, contracts, cells, metrics ---

    def _verify(self, effect: Verify) -> Verified:
        valid, cpu_s = self._ports.pool.verify(effect.checks)
        self._meter.add("Verify.cpu_us", cpu_s * 1e6)
        return Verified(now_ms=self._now_ms(), valid=valid)

    def _sign(self, effect: Sign) -> Signed:
        key = self._ports.signing_key
        assert key is not None, "a stage whose machine signs is given a key"
        return Signed(now_ms=self._now_ms(), signatures=self._ports.pool.sign(key, effect.messages))

    def _execute(self, party: Party, effect: Execute) -> Executed:
        fetch = StoreFetch(party.store)
        results = party.executor.run(effect.batch, fetch)
        return Executed(now_ms=self._now_ms(), results=results, scans=tuple(fetch.scans))

    def _await(self, party: Party, effect: Await) -> Awaited:
        stop = self._ports.stop
        cells = party.watch.wait(
            party.store, effect.cell, effect.value_to_differ_from, effect.timeout_ms, lambda: stop.requested
        )
        return Awaited(now_ms=self._now_ms(), cells=cells)

    def _report(self, effect: Report) -> Reported:
        self._meter.report(effect.metrics)
        return Reported(now_ms=self._now_ms())

    # --- Patience ---

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        """Call until the log and the store are there."""
        pause_s = _BACKOFF_FIRST_S
        since = time.monotonic()
        code = ""
        while True:
            try:
                answer = call()
                self._over(code)
                return answer
            except (LogUnavailableError, StoreUnavailableError) as error:
                code = error.code
                if (time.monotonic() - since) * 1000 > _ALARM_AFTER_MS:
                    self._alarm(error.code, error.detail)
            if self._ports.stop.wait(pause_s):
                raise StoppedError
            pause_s = min(2 * pause_s, _BACKOFF_S_MAX)

    def await_store(self) -> None:
        """Wait until the party's store answers again."""
        party = self._ports.party
        if party is not None:
            self._patiently(party.store.load)

    def _alarm(self, code: str, text: str) -> None:
        """Count a trouble, and say so, but not over and over."""
        self._meter.add(f"alarm.{code}", 1)
        now = time.monotonic()
        if now - self._alarmed.get(code, -_ALARM_AGAIN_S) >= _ALARM_AGAIN_S:
            self._alarmed[code] = now
            self._told.add(code)
            _log.warning("%s: %s: %s", self._meter.stage, code, text)

    def _over(self, code: str) -> None:
        """Say that a trouble is over, if it was told."""
        if code in self._told:
            self._told.discard(code)
            _log.info("%s: %s: it is over", self._meter.stage, code)


def _claiming(sequences: frozenset[int], messages: Iterable[Message]) -> Iterator[Message]:
    """The messages that claim to be decisions of these sequences."""
    for message in messages:
        try:
            head = DecisionHead.of_decision(message.value or b"")
            sequence = Statement.from_bytes(head.signed.statement).sequence
        except MalformedMessageError:
            continue
        if sequence in sequences:
            yield message
