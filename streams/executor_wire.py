"""What an executor and its child say to each other: JSON arrays, each in a frame with its length before it.

The parent says, first, what the child may use: `[limits, stack_bytes]`; answered by `["ready"]`. Then,
batch after batch:

    [ledger_id, sequence, ordered_at_ms, first_index, [call, ...], [record, ...]]

and the child answers with any number of questions, each of which the parent answers with records,

    ["record", namespace, key]
    ["scan", namespace, start, end, limit]
    ["versions", namespace, key, newest, count]

and in the end says `["done", [result, ...]]`, `["damaged", text]` or, if it is broken, `["broken", text]`.

1. Values are canonical JSON, so they travel as text inside the JSON; hashes travel as hexadecimal.
2. Both sides number the records of a batch alike: those sent along, then those asked for, then those
   written, each in their order. A result names what it read by number, so nothing that the parent knows
   comes back to it.
3. The child runs contracts of strangers. What it says is parsed within bounds, and what does not fit ends
   it.
"""

from collections.abc import Iterable
from typing import Any

from protocol.contracts.calls import Batch, Call, Execution, Read, Rejected, Row, Scan, Write
from protocol.json_text import write_json
from protocol.records import ABSENT, Record, RecordKey

LENGTH_BYTES = 4
FRAME_BYTES_MAX = 64 * 1024 * 1024


def frame(message: object) -> bytes:
    """A message with its length before it."""
    body = write_json(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def batch_message(batch: Batch) -> list[Any]:
    """A batch, as the parent sends it."""
    calls = [
        (
            call.request_id.hex(),
            call.entity,
            call.key_version,
            call.contract,
            call.contract_version,
            call.argument.decode(),
        )
        for call in batch.calls
    ]
    records = record_rows(batch.records.items())
    return [batch.ledger_id.hex(), batch.sequence, batch.ordered_at_ms, batch.first_index, calls, records]


def parse_batch(message: Any) -> Batch:  # JSON of our own parent
    """The batch of a message."""
    ledger_id, sequence, ordered_at_ms, first_index, calls, records = message
    return Batch(
        ledger_id=bytes.fromhex(ledger_id),
        sequence=sequence,
        ordered_at_ms=ordered_at_ms,
        first_index=first_index,
        calls=tuple(
            [
                Call(bytes.fromhex(request_id), entity, key_version, contract, contract_version, argument.encode())
                for request_id, entity, key_version, contract, contract_version, argument in calls
            ]
        ),
        records=dict(parse_rows(records)),
    )


def record_rows(records: Iterable[tuple[RecordKey, Record]]) -> list[tuple[Any, ...]]:
    """Records, as the parent sends them."""
    return [
        (
            key.namespace,
            key.key,
            record.version,
            record.value.decode(),
            record.request_id.hex(),
            record.previous_hash.hex(),
            record.record_hash.hex(),
            record.writer_sequence,
            record.writer_index,
        )
        if record.version
        else (key.namespace, key.key, 0, "", "", "", "", -1, -1)
        for key, record in records
    ]


def parse_rows(rows: Any) -> list[tuple[RecordKey, Record]]:  # JSON of our own parent
    """The records of rows."""
    unhex = bytes.fromhex
    return [
        (
            RecordKey(namespace, key),
            Record(
                version,
                not value,
                value.encode(),
                unhex(request_id),
                unhex(previous_hash),
                unhex(record_hash),
                writer_sequence,
                writer_index,
            )
            if version
            else ABSENT,
        )
        for (
            namespace,
            key,
            version,
            value,
            request_id,
            previous_hash,
            record_hash,
            writer_sequence,
            writer_index,
        ) in rows
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
