"""What one request reads and writes, whichever of its contracts does it.

1. A record is read once, in the version that was current before the request; every later look sees the same
   version, or the request's own write.
2. A write reads the version it replaces, so its version and its place in the hash chain need nothing else.
3. Writes are kept back and applied at the end, in the order in which the records were first written. Deleting
   what does not exist writes nothing.
4. Records read, rows of scans, versions of histories and the scans themselves count together against
   `records_per_request`.
"""

from protocol.canonical_json import ONE_FORM, NotCanonicalError, Value, check_written
from protocol.contracts.calls import Read, Row, Scan, Write
from protocol.contracts.overlay import Overlay, check_chain
from protocol.json_text import read_json, write_json
from protocol.limits import Limits
from protocol.records import Record, RecordKey, successor


class CallFailed(Exception):  # noqa: N818  # not an error of ours: an outcome
    """The call fails: an outcome with a code and perhaps a text, without writes."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class Transaction:
    """Reads, scans and pending writes of one request."""

    __slots__ = ("_count", "_limits", "_overlay", "_pending", "_seen", "scans")

    def __init__(self, overlay: Overlay, limits: Limits) -> None:
        self._overlay = overlay
        self._limits = limits
        self._seen: dict[RecordKey, Record] = {}
        self._pending: dict[RecordKey, bytes | None] = {}
        self._count = 0
        self.scans: list[Scan] = []

    def record(self, key: RecordKey) -> Record:
        """Read the version of a record that was current before this request.

        Raises:
            CallFailed: `contract.records`.
            DamagedRecordError: the record does not have its hash.
        """
        record = self._seen.get(key)
        if record is None:
            self._take(1)
            record = self._overlay.record(key)
            self._seen[key] = record
        return record

    def get(self, key: RecordKey) -> Value:
        """Read a value, this request's own write if there is one; None if there is none.

        Raises:
            CallFailed: `contract.records`.
            DamagedRecordError: the record does not have its hash.
        """
        value = self.get_bytes(key)
        return None if value is None else read_json(value)  # it was canonical when it was written

    def get_bytes(self, key: RecordKey) -> bytes | None:
        """Read a value as its canonical JSON, see `get`."""
        if key in self._pending:
            return self._pending[key]
        record = self.record(key)
        return None if record.deleted else record.value

    def put(self, key: RecordKey, value: object) -> None:
        """Write a value when the request ends.

        Raises:
            CallFailed: `contract.value`, `contract.output_too_large`, `contract.records`.
            DamagedRecordError: the record does not have its hash.
        """
        self.record(key)
        self._pending[key] = canonical(value, self._limits.value_bytes)

    def put_bytes(self, key: RecordKey, data: bytes) -> None:
        """Write a value that is there as canonical JSON, see `put`."""
        self.record(key)
        self._pending[key] = bounded(data, self._limits.value_bytes)

    def delete(self, key: RecordKey) -> None:
        """Delete a record when the request ends.

        Raises:
            CallFailed: `contract.records`.
            DamagedRecordError: the record does not have its hash.
        """
        if self.record(key).deleted:
            self._pending.pop(key, None)
        else:
            self._pending[key] = None

    def scan(
        self, namespace: str, start: str, end: str, limit: int
    ) -> tuple[list[tuple[str, bytes]], str | None]:
        """Find the values of a range, own writes among them.

        Returns:
            Keys and values (canonical JSON) in order, and the key where the next scan goes on; None if this one
            reached the end. Deleted records count towards the limit, so there may be fewer rows than `limit`
            and yet more to come.

        Raises:
            CallFailed: `contract.records`.
            DamagedRecordError: a record does not have its hash.
        """
        if end and start >= end:
            return [], None
        self._take(1)
        found = self._overlay.scan(namespace, start, end, limit)
        self._take(len(found))
        exhausted = len(found) < limit
        covered_to = end if exhausted else found[-1][0]
        rows = tuple(
            [
                Row(name, record.version, record.writer_sequence, record.writer_index, record.record_hash)
                for name, record in found
            ]
        )
        self.scans.append(Scan(namespace, start, end, limit, covered_to, exhausted, rows))
        values = {name: record.value for name, record in found if not record.deleted}
        for key, value in self._pending.items():
            if key.namespace == namespace and _covers(start, covered_to, exhausted, key.key):
                values.pop(key.key, None)
                if value is not None:
                    values[key.key] = value
        ordered = sorted(values.items())
        rest = None if exhausted else covered_to + "\0"
        if len(ordered) > limit:
            rest = ordered[limit][0]
        return ordered[:limit], rest

    def history(self, key: RecordKey, limit: int) -> list[Record]:
        """Find the newest versions of a record before this request, deletions too, from new to old.

        The first one is read; its hash proves the others.

        Raises:
            CallFailed: `contract.records`.
            DamagedRecordError: a version does not have its hash, or does not follow the one before it.
        """
        newest = self.record(key)
        if newest.version == 0:
            return []
        count = min(limit, newest.version)
        self._take(count - 1)
        versions = [newest]
        if count > 1:
            versions += self._overlay.versions(key, newest.version - 1, count - 1)
        check_chain(key, versions, count)
        return versions

    def output_bytes(self) -> int:
        """Length of all values to be written."""
        return sum([len(value) for value in self._pending.values() if value is not None])

    def reads(self) -> tuple[Read, ...]:
        """Every record read, in the order of the first look."""
        return self._overlay.reads(self._seen)

    def apply(
        self, ledger_id: bytes, request_id: bytes, writer_sequence: int, writer_index: int
    ) -> tuple[Write, ...]:
        """Turn what is pending into versions, on top of the overlay."""
        writes = []
        for key, value in self._pending.items():
            record = successor(
                ledger_id,
                key,
                self._seen[key],
                value,
                request_id=request_id,
                writer_sequence=writer_sequence,
                writer_index=writer_index,
            )
            self._overlay.write(key, record)
            writes.append(Write(key.namespace, key.key, record))
        return tuple(writes)

    def _take(self, count: int) -> None:
        self._count += count
        if self._count > self._limits.records_per_request:
            raise CallFailed("contract.records")


def canonical(value: object, bytes_max: int) -> bytes:
    """Write a value that a contract gave.

    Raises:
        CallFailed: `contract.value`, `contract.output_too_large`.
    """
    try:
        data = write_json(value, ONE_FORM)
        check_written(value, data)
    except (NotCanonicalError, TypeError):
        raise CallFailed("contract.value") from None
    return bounded(data, bytes_max)


def bounded(data: bytes, bytes_max: int) -> bytes:
    """What a contract gave, if it is not too long.

    Raises:
        CallFailed: `contract.output_too_large`.
    """
    if len(data) > bytes_max:
        raise CallFailed("contract.output_too_large")
    return data


def _covers(start: str, covered_to: str, exhausted: bool, key: str) -> bool:
    if exhausted:
        return start <= key and (not covered_to or key < covered_to)
    return start <= key <= covered_to
