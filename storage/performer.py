"""Performs the effects that need nothing but a party's store and its signing guard."""

from collections.abc import Callable, Mapping, Sequence

from protocol.records import Record, RecordKey
from storage.effects import (
    Applied,
    Apply,
    Event,
    Fetch,
    Fetched,
    GuardRead,
    Load,
    Loaded,
    Note,
    Noted,
    Outbox,
    ReadGuard,
    ReadOutbox,
    Refused,
    StoreEffect,
)
from storage.ports import RecordStore, Refusal, SigningGuard

_AHEAD_AT_ONCE = 1_024
_AHEAD_BYTES = 16 * 1024 * 1024
"""Of the records read ahead so many are read at once, and no more of them once their values are so long together: the
keys come from clients, who may name every great record there is."""


class StorePerformer:
    """Answers store and guard effects, for a stage and for the simulation alike.

    Args:
        store: the party's store.
        guard: its signing guard, whose lock is held.
        now_ms: the clock of whoever performs, read when an effect is done.
    """

    def __init__(self, store: RecordStore, guard: SigningGuard, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._guard = guard
        self._now_ms = now_ms

    def perform(self, effect: StoreEffect) -> Event:
        """Do what the effect asks for and return the event that answers it.

        Raises:
            CountersignError: one of `storage.errors`, or `DamagedRecordError`.
        """
        match effect:
            case Fetch():
                return self._fetch(effect)
            case Apply():
                return self._apply(effect)
            case Load():
                contents = self._store.load()
                return Loaded(now_ms=self._now_ms(), cells=contents.cells, replay_entries=contents.replay_entries)
            case ReadOutbox():
                entries = self._store.read_outbox(effect.kind, effect.first, effect.last)
                return Outbox(now_ms=self._now_ms(), entries=entries)
            case Note():
                self._guard.note(effect.places)
                return Noted(now_ms=self._now_ms())
            case ReadGuard():
                return GuardRead(now_ms=self._now_ms(), place=self._guard.highest(effect.kind))

    def _fetch(self, effect: Fetch) -> Fetched:
        ahead = effect.ahead
        found = self._store.fetch(
            (*effect.keys, *ahead[:_AHEAD_AT_ONCE]),
            versions=effect.versions,
            scans=effect.scans,
            replay=effect.replay,
            cells=effect.cells,
        )
        return Fetched(
            now_ms=self._now_ms(),
            records=self._read_on(found.records, ahead[_AHEAD_AT_ONCE:]),
            versions=found.versions,
            scans=found.scans,
            replayed=found.replayed,
            cells=found.cells,
        )

    def _read_on(self, records: Mapping[RecordKey, Record], ahead: Sequence[RecordKey]) -> Mapping[RecordKey, Record]:
        """These records, with more that are read ahead while there is room for them."""
        if not ahead:
            return records  # nearly always
        held, size = dict(records), _value_bytes(records)
        for first in range(0, len(ahead), _AHEAD_AT_ONCE):
            if size > _AHEAD_BYTES:
                break
            more = self._store.fetch(ahead[first : first + _AHEAD_AT_ONCE]).records
            held.update(more)
            size += _value_bytes(more)
        return held

    def _apply(self, effect: Apply) -> Applied | Refused:
        done = self._store.apply(effect.call)
        if isinstance(done, Refusal):
            return Refused(
                now_ms=self._now_ms(),
                reason=done.reason,
                cells=done.cells,
                stale=done.stale,
                replayed=done.replayed,
            )
        return Applied(now_ms=self._now_ms(), replay_entries=done.replay_entries)


def _value_bytes(records: Mapping[RecordKey, Record]) -> int:
    return sum(len(record.value) for record in records.values())
