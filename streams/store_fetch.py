"""Reads a party's store for the execution of one batch, and remembers the ranges that were read."""

from collections.abc import Sequence

from protocol.records import Record, RecordKey
from storage.ports import RecordStore, ScanRange, ScanRows, Version


class StoreFetch:
    """A `protocol.contracts.calls.Fetch` over the store, for one batch.

    Attributes:
        scans: every range that was read, as the store held it.
    """

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self.scans: list[ScanRows] = []

    def record(self, key: RecordKey) -> Record:
        """See `Fetch.record`."""
        return self._store.fetch([key]).records[key]

    def scan(self, namespace: str, start: str, end: str, limit: int) -> Sequence[tuple[str, Record]]:
        """See `Fetch.scan`."""
        found = self._store.fetch(scans=[ScanRange(namespace, start, end, limit)]).scans[0]
        self.scans.append(found)
        return found.rows

    def versions(self, key: RecordKey, newest: int, count: int) -> Sequence[Record]:
        """See `Fetch.versions`."""
        wanted = [Version(key, number) for number in range(newest, max(0, newest - count), -1)]
        found = self._store.fetch(versions=wanted).versions
        return [found[version] for version in wanted if version in found]
