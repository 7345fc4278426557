"""What an executor and its child say to each other, each message in a frame with its length before it.

The parent says, first, what the child may use: `(limits, stack_bytes)`; answered by `["ready"]`. Then,
batch after batch:

    (ledger_id, sequence, ordered_at_ms, first_index, [call, ...], [record, ...])

and the child answers with any number of questions, each of which the parent answers with a list of records,

    ["record", namespace, key]
    ["scan", namespace, start, end, limit]
    ["versions", namespace, key, newest, count]

and in the end says `["done", [result, ...]]`, `["damaged", text]` or, if it is broken, `["broken", text]`.

1. The parent writes marshal's format: the child trusts it, both are the same Python, and bytes cross as they are.
2. The child runs contracts of strangers, so it writes JSON, which is parsed within bounds, and what does not fit ends
   it. Values are canonical JSON, so they travel as text inside it; hashes travel as hexadecimal.
3. Both sides number the records of a batch alike: those sent along, then those asked for, then those
   written, each in their order. A result names what it read by number, so nothing that the parent knows
   comes back to it.
"""

import marshal
from collections.abc import Iterable
from typing import Any

from protocol.contracts.calls import Batch, Call, Execution, Read, Rejected, Row, Scan, Write
from protocol.json_text import read_json, write_json
from protocol.records import ABSENT, Record, RecordKey

LENGTH_BYTES = 4
FRAME_BYTES_MAX = 64 * 1024 * 1024

_MARSHAL_VERSION = 2
"""Without the later ones' references to what came before: to look for them takes longer than to write."""


def told_frame(message: Any) -> bytes:
    """What the parent says."""
    return _frame(marshal.dumps(message, _MARSHAL_VERSION))


def read_told(body: bytes) -> Any:  # our own parent's
    """What the parent said, in the child."""
    return marshal.loads(body)


def answer_frame(message: object) -> bytes:
    """What the child says."""
    return _frame(write_json(message))


def read_answer(body: bytes | bytearray) -> Any:  # JSON of the child
    """What the child said, in the parent.

    Raises:
        ValueError: it is no JSON.
    """
    return read_json(body)


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def batch_message(batch: Batch) -> tuple[object, ...]:
    """A batch, as the parent sends it."""
    calls = [tuple(call) for call in batch.calls]
    records = record_rows(batch.records.items())
    return (batch.ledger_id, batch.sequence, batch.ordered_at_ms, batch.first_index, calls, records)


def parse_batch(message: Any) -> Batch:  # our own parent's
    """The batch of a message."""
    ledger_id, sequence, ordered_at_ms, first_index, calls, records = message
    return Batch(
        ledger_id=ledger_id,
        sequence=sequence,
        ordered_at_ms=ordered_at_ms,
        calls=tuple([Call(*call) for call in calls]),
        records=dict(parse_rows(records)),
        first_index=first_index,
    )


def record_rows(records: Iterable[tuple[RecordKey, Record]]) -> list[tuple[object, ...]]:
    """Records, as the parent sends them."""
    return [(*key, *record) for key, record in records]


def parse_rows(rows: Any) -> list[tuple[RecordKey, Record]]:  # our own parent's
    """The records of rows."""
    return [
        (RecordKey(namespace, key), Record(version, *rest) if version else ABSENT)
        for namespace, key, version, *rest in rows
    ]


class Numbers:
    """The child's side of a batch under way: the numbers of its records, by namespace, key and version."""

    def __init__(self, records: Iterable[tuple[RecordKey, Record]]) -> None:
        self._numbers: dict[tuple[str, str, int], int] = {}
        self._count = 0
        self.add(records)

    def add(self, records: Iterable[tuple[RecordKey, Record]]) -> None:
        """Number the records that were sent along, or those of an answer."""
        for (namespace, key), record in records:
            place = (namespace, key, record.version)
            if place not in self._numbers:
                self._numbers[place] = self._count
                self._count += 1

    def result_rows(self, results: Iterable[Execution | Rejected]) -> list[Any]:
        """Results, as the child sends them."""
        return [self._row(result) for result in results]

    def _row(self, result: Execution | Rejected) -> tuple[Any, ...]:
        numbers = self._numbers
        reads = [numbers[read[:3]] for read in result.reads]
        if isinstance(result, Rejected):
            return (result.code, result.final, reads)
        scans = [
            (*scan[:6], [numbers[scan.namespace, row.key, row.version] for row in scan.rows])
            for scan in result.scans
        ]
        writes = []
        for namespace, key, record in result.writes:
            before = numbers[namespace, key, record.version - 1]
            value = None if record.deleted else record.value.decode()
            writes.append((before, value, record.record_hash.hex()))
            numbers[namespace, key, record.version] = self._count
            self._count += 1
        return (result.index, result.code, result.fail_text, result.output.decode(), reads, scans, writes)


class Results:
    """The parent's side of a batch under way: its numbered records, and its results once they are there."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._known: list[tuple[RecordKey, Record]] = []
        self._reads: list[Read | None] = []
        self._places: set[tuple[str, str, int]] = set()
        self.add(batch.records.items())

    def add(self, records: Iterable[tuple[RecordKey, Record]]) -> None:
        """Number the records of an answer."""
        for key, record in records:
            place = (key.namespace, key.key, record.version)
            if place not in self._places:
                self._places.add(place)
                self._known.append((key, record))
                self._reads.append(None)

    def parse(self, rows: Any) -> tuple[Execution | Rejected, ...]:  # JSON of the child
        """The results of a message.

        Raises:
            ValueError, TypeError, LookupError, AttributeError, OverflowError: the child talks nonsense.
        """
        calls = self._batch.calls
        if not 0 < len(rows) <= len(calls):
            raise ValueError("more results than calls, or none")
        return tuple([self._result(call, row) for call, row in zip(calls, rows, strict=False)])

    def _result(self, call: Call, row: Any) -> Execution | Rejected:  # JSON of the child
        if len(row) == 3:
            code, final, reads = row
            return Rejected(code=code, final=final, reads=tuple([self._read(number) for number in reads]))
        index, code, fail_text, output, reads, scans, writes = row
        return Execution(
            index,
            "failed" if code else "ok",
            code,
            fail_text,
            output.encode(),
            tuple([self._reads[number] or self._read(number) for number in reads]),
            tuple([self._scan(scan) for scan in scans]) if scans else (),
            tuple([self._write(call, index, *write) for write in writes]),
        )

    def _read(self, number: int) -> Read:
        read = self._reads[number]
        if read is None:
            (namespace, key), record = self._known[number]
            read = self._reads[number] = Read(
                namespace,
                key,
                record.version,
                record.writer_sequence,
                record.writer_index,
                record.record_hash,
            )
        return read

    def _scan(self, row: Any) -> Scan:
        namespace, start, end, limit, covered_to, exhausted, numbers = row
        rows = tuple([Row(*self._read(number)[1:]) for number in numbers])
        return Scan(namespace, start, end, limit, covered_to, exhausted, rows)

    def _write(self, call: Call, index: int, before: int, value: str | None, record_hash: str) -> Write:
        key, previous = self._known[before]
        record = Record(
            previous.version + 1,
            value is None,
            b"" if value is None else value.encode(),
            call.request_id,
            previous.record_hash,
            bytes.fromhex(record_hash),
            self._batch.sequence,
            index,
        )
        self._known.append((key, record))
        self._reads.append(None)
        return Write(key.namespace, key.key, record)
