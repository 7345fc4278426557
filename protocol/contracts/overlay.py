"""The records of a party with what was written since on top: what each call of a batch finds.

1. A record is verified against its hash when it is first used, so nothing damaged at rest is ever signed
   again.
2. It is a `Fetch` itself, so a batch can be executed in portions, each over what the portions before it
   wrote.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from protocol.contracts.calls import Fetch, Read
from protocol.json_text import read_json
from protocol.records import ABSENT, DamagedRecordError, Record, RecordKey, verify_record


class Overlay:
    """Records before a batch, and every version written since."""

    def __init__(self, ledger_id: bytes, fetch: Fetch, records: Mapping[RecordKey, Record]) -> None:
        """Make an overlay in which nothing was written yet.

        Args:
            ledger_id: part of every record's hash.
            fetch: for what is not among the records.
            records: current records that are at hand.
        """
        self._ledger_id = ledger_id
        self._fetch = fetch
        self._given = records
        self._current: dict[RecordKey, Record] = {}
        self._reads: dict[RecordKey, Read] = {}
        self._parsed: dict[bytes, Any] = {}
        self._written: dict[str, dict[str, list[Record]]] = {}

    def record(self, key: RecordKey) -> Record:
        """Return the current record.

        Raises:
            DamagedRecordError: it does not have its hash.
        """
        record = self._current.get(key)
        if record is None:
            record = self._given.get(key)
            if record is None:
                record = self._fetch.record(key)
            self._admit(key, record)
        return record

    def parsed(self, record: Record) -> Any:
        """The value of a record of the registry, parsed once."""
        value = self._parsed.get(record.record_hash)
        if value is None:
            value = self._parsed[record.record_hash] = read_json(record.value)
        return value

    def reads(self, keys: Iterable[RecordKey]) -> tuple[Read, ...]:
        """Say which version of each of these records, all seen before, is current."""
        found = []
        for key in keys:
            read = self._reads.get(key)
            if read is None:
                namespace, name = key
                record = self._current[key]
                read = self._reads[key] = Read(
                    namespace,
                    name,
                    record.version,
                    record.writer_sequence,
                    record.writer_index,
                    record.record_hash,
                )
            found.append(read)
        return tuple(found)

    def write(self, key: RecordKey, record: Record) -> None:
        """Put the next version of a record on top."""
        self._current[key] = record
        self._reads.pop(key, None)
        self._written.setdefault(key.namespace, {}).setdefault(key.key, []).append(record)

    def scan(self, namespace: str, start: str, end: str, limit: int) -> list[tuple[str, Record]]:
        """Return the first `limit` keys of the range and their current records, deleted ones too, in order.

        Raises:
            DamagedRecordError: one of them does not have its hash.
        """
        found = {}
        for name, record in self._fetch.scan(namespace, start, end, limit):
            key = RecordKey(namespace, name)
            found[name] = self._current.get(key) or self._admit(key, record)
        # A written record that the store has as well is among the rows already, or behind the last of them.
        for name in self._written.get(namespace, ()):
            if start <= name and (not end or name < end):
                found[name] = self._current[RecordKey(namespace, name)]
        return sorted(found.items())[:limit]

    def versions(self, key: RecordKey, newest: int, count: int) -> Sequence[Record]:
        """Return up to `count` versions of a record from `newest` downwards.

        Raises:
            DamagedRecordError: one of them does not have its hash.
        """
        written = self._written.get(key.namespace, {}).get(key.key, ())
        found = [record for record in reversed(written) if record.version <= newest][:count]
        below = found[-1].version - 1 if found else newest
        if below > 0 and len(found) < count:
            older = self._fetch.versions(key, below, min(below, count - len(found)))
            for record in older:
                verify_record(self._ledger_id, key, record)
            found += older
        return found

    def _admit(self, key: RecordKey, record: Record) -> Record:
        if record is not ABSENT:
            verify_record(self._ledger_id, key, record)
        self._current[key] = record
        return record


def check_chain(key: RecordKey, versions: Sequence[Record], count: int) -> None:
    """Require that these are `count` versions of a record that follow each other, from new to old.

    Raises:
        DamagedRecordError: one is missing, or does not chain to the next.
    """
    if len(versions) != count:
        raise DamagedRecordError(f"{key}: {len(versions)} versions instead of {count}")
    for newer, older in pairwise(versions):
        if newer.version != older.version + 1 or newer.previous_hash != older.record_hash:
            raise DamagedRecordError(f"{key}: version {newer.version} does not follow {older.version}")
