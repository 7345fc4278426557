"""Performs the effects of one simulated machine, with real bytes and no waiting: what cannot be done yet is
asked for again later.

Signatures are real; each is made and verified once per run and remembered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.signatures import SignatureCheck
from protocol.signing import BadKeyError, BadSignatureError, SigningKey, verify_key
from storage.effects import (
    Append,
    Appended,
    Applied,
    Apply,
    Await,
    Awaited,
    Effect,
    Event,
    Execute,
    Executed,
    Fetch,
    FindDecisions,
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
    Refused,
    Report,
    Reported,
    Seek,
    Sign,
    Signed,
    Sought,
    Verified,
    Verify,
)
from storage.performer import StorePerformer
from storage.ports import Place, Refusal, StoreCall
from storage.views import Views
from streams.log import LogUnavailableError
from streams.memory_log import MemoryLog, MemoryLogReader, MemoryLogWriter
from streams.simulation.site import Guard, PartyName, Site
from streams.store_fetch import StoreFetch


class Signatures:
    """Makes and verifies signatures, and remembers them."""

    def __init__(self) -> None:
        self._verified: dict[SignatureCheck, bool] = {}
        self._made: dict[tuple[bytes, bytes], bytes] = {}

    def verify(self, check: SignatureCheck) -> bool:
        """Whether a signature is good."""
        known = self._verified.get(check)
        if known is None:
            try:
                verify_key(*check.key).verify(check.signed, check.signature)
                known = True
            except (BadSignatureError, BadKeyError):
                known = False
            self._verified[check] = known
        return known

    def sign(self, key: SigningKey, message: bytes) -> bytes:
        """The signature of a key over bytes."""
        place = key.public_key.key, message
        signature = self._made.get(place)
        if signature is None:
            signature = self._made[place] = key.sign(message)
            self._verified[SignatureCheck(key.public_key, message, signature)] = True
        return signature


class Watcher(Protocol):
    """Sees everything a party makes lasting or public, at the moment it does so."""

    def applied(self, party: PartyName, call: StoreCall) -> None:
        """A store call was done."""
        ...

    def noted(self, party: PartyName, places: Sequence[Place]) -> None:
        """The guard has these places."""
        ...

    def published(self, who: str, messages: Sequence[Outgoing]) -> None:
        """These messages were given to the broker."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world of one machine.

    Attributes:
        who: the process.
        now_ms: its clock.
        site, guard: of a party's process, else None.
        views: of a learner's process, else None.
    """

    who: str
    log: MemoryLog
    reader: MemoryLogReader
    writer: MemoryLogWriter
    now_ms: Callable[[], int]
    signatures: Signatures
    watcher: Watcher
    key: SigningKey | None = None
    site: Site | None = None
    guard: Guard | None = None
    views: Views | None = None


class Performer:
    """Performs effects for one machine."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._now = ports.now_ms
        self._is_sent = False
        self._found_nothing: tuple[Receive, int] | None = None
        self._performers: dict[type, Callable[[Any, int], Event | None]] = {
            Receive: self._receive,
            Seek: self._seek,
            Publish: self._publish,
            ReadTail: self._read_tail,
            ReadJournal: self._read_journal,
            FindDecisions: self._find_decisions,
            Verify: self._verify,
            Sign: self._sign,
            Report: self._report,
            LoadPosition: self._load_position,
            Append: self._append,
        }
        if ports.site is not None:
            self._performers |= self._of_party(ports.site)

    def perform(self, effect: Effect, since_ms: int) -> Event | None:
        """Do what the effect asks for.

        Args:
            effect: the machine's last one.
            since_ms: when it was asked for the first time, by the process's clock.

        Returns:
            The event that answers it, or None: not yet.

        Raises:
            StoreUnavailableError: of `Apply`; unknown whether it was done.
            LockLostError, CountersignError: the process must end.
        """
        return self._performers[type(effect)](effect, since_ms)

    # --- The log ---

    def _receive(self, effect: Receive, since_ms: int) -> Received | None:
        log, is_early = self._ports.log, self._now() < since_ms + effect.wait_ms
        if is_early and self._found_nothing == (effect, log.changes):
            return None
        messages, alarms = self._ports.reader.receive(effect.topics, effect.max_messages, 0)
        if not messages and not alarms and is_early:
            self._found_nothing = None if log.away else (effect, log.changes)
            return None
        return Received(now_ms=self._now(), messages=messages, alarms=alarms)

    def _seek(self, effect: Seek, _since_ms: int) -> Sought | None:
        try:
            self._ports.reader.seek(effect.positions)
        except LogUnavailableError:
            return None
        return Sought(now_ms=self._now())

    def _publish(self, effect: Publish, _since_ms: int) -> Published | None:
        """Send, and answer when everything has landed; in between the process may die."""
        if not self._is_sent:
            self._ports.watcher.published(self._ports.who, effect.messages)
            self._ports.writer.send(effect.messages)
            self._is_sent = True
        if not self._ports.writer.flush(0):
            return None
        self._is_sent = False
        return Published(now_ms=self._now())

    def _read_tail(self, effect: ReadTail, _since_ms: int) -> Received | None:
        try:
            messages = self._ports.reader.read_tail(effect.topic, effect.count)
        except LogUnavailableError:
            return None
        return Received(now_ms=self._now(), messages=messages)

    def _read_journal(self, _effect: ReadJournal, _since_ms: int) -> JournalRead:
        """There is no learner beside a simulated party: its decisions are never shortened."""
        return JournalRead(now_ms=self._now())

    def _find_decisions(self, _effect: FindDecisions, _since_ms: int) -> Received | None:
        try:
            return Received(now_ms=self._now(), messages=tuple(self._ports.reader.read_all("decisions")))
        except LogUnavailableError:
            return None

    # --- Signatures, measures, views ---

    def _verify(self, effect: Verify, _since_ms: int) -> Verified:
        valid = tuple([self._ports.signatures.verify(check) for check in effect.checks])
        return Verified(now_ms=self._now(), valid=valid)

    def _sign(self, effect: Sign, _since_ms: int) -> Signed:
        key = self._ports.key
        assert key is not None, "only who has a key signs"
        made = tuple([self._ports.signatures.sign(key, message) for message in effect.messages])
        return Signed(now_ms=self._now(), signatures=made)

    def _report(self, _effect: Report, _since_ms: int) -> Reported:
        return Reported(now_ms=self._now())

    def _load_position(self, _effect: LoadPosition, _since_ms: int) -> PositionLoaded:
        assert self._ports.views is not None, "only a learner has views"
        return PositionLoaded(now_ms=self._now(), position=self._ports.views.position())

    def _append(self, effect: Append, _since_ms: int) -> Appended:
        assert self._ports.views is not None, "only a learner has views"
        self._ports.views.append(effect.rows, effect.position)
        return Appended(now_ms=self._now())

    # --- Store and guard ---

    def _of_party(self, site: Site) -> dict[type, Callable[[Any, int], Event | None]]:
        assert self._ports.guard is not None, "a party has a guard"
        guard = self._ports.guard

        def read(effect: Any, _since_ms: int) -> Event | None:
            return None if site.away else StorePerformer(site.store, guard, self._now).perform(effect)

        def note(effect: Note, _since_ms: int) -> Event:
            event = StorePerformer(site.store, guard, self._now).perform(effect)
            self._ports.watcher.noted(site.party, effect.places)
            return event

        performers: dict[type, Callable[[Any, int], Event | None]] = {
            Apply: self._apply,
            Await: self._await,
            Execute: self._execute,
            Note: note,
        }
        return performers | dict.fromkeys((Load, Fetch, ReadOutbox, ReadGuard), read)

    @property
    def _site(self) -> Site:
        assert self._ports.site is not None, "only a party has a store"
        return self._ports.site

    def _apply(self, effect: Apply, _since_ms: int) -> Applied | Refused | None:
        if self._site.away:
            return None
        done = self._site.apply(effect.call, self._ports.watcher.applied)
        if isinstance(done, Refusal):
            return Refused(
                now_ms=self._now(),
                reason=done.reason,
                cells=done.cells,
                stale=done.stale,
                replayed=done.replayed,
            )
        return Applied(now_ms=self._now(), replay_entries=done.replay_entries)

    def _await(self, effect: Await, since_ms: int) -> Awaited | None:
        if self._site.away:
            return None
        cells = self._site.store.load().cells
        unchanged = cells.get(effect.cell, b"") == effect.value_to_differ_from
        if unchanged and self._now() < since_ms + effect.timeout_ms:
            return None
        return Awaited(now_ms=self._now(), cells=cells)

    def _execute(self, effect: Execute, _since_ms: int) -> Executed | None:
        if self._site.away:
            return None
        fetch = StoreFetch(self._site.store)
        results = self._site.executor.run(effect.batch, fetch)
        return Executed(now_ms=self._now(), results=results, scans=tuple(fetch.scans))
