"""From executed requests to the leaves, roots and writes that both parties must compute alike, bit for bit.

Rules:

1. A party assembles entries and outcomes from its own execution only. The Auditor sends what it assembled;
   the Ledger assembles its own and compares bytes, which checks the Auditor's versions and the one form of
   its bytes at once.
2. What a batch read from itself (a version written by an earlier request of the same batch) is not a
   condition on the store; everything else it read is, by version and hash. Ranges are checked as they were
   fetched, not as a request saw them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocol import merkle
from protocol.contracts.calls import Execution, Read
from protocol.hashing import tagged
from protocol.records import Record, RecordKey
from protocol.requests import OpenedRequest
from schemas.leaves import caller_fields, entry_leaf, outcome_leaf, read_version, record_name, write_version
from schemas.order import Entry, ReadVersion, RowVersion, ScanVersions, WriteVersion
from schemas.outcome import Outcome, ReadPin, RowPin, ScanPins, WritePin


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembledBatch:
    """A batch as both parties see it.

    Attributes:
        entries: the bytes of each `Entry`, leaves of its order's `entries_root`.
        outcomes: leaves of `outcomes_root`, the bytes of each `Outcome`.
        outputs: canonical JSON of each request's output, empty if it failed.
        values: one per version written, in the outcomes' order; empty for a deletion.
        reads: every version read that the batch did not write itself.
        writes: every version written, in order.
    """

    entries: tuple[bytes, ...]
    outcomes: tuple[bytes, ...]
    outcomes_root: bytes
    outputs: tuple[bytes, ...]
    values: tuple[bytes, ...]
    reads: tuple[tuple[RecordKey, int, bytes], ...]
    writes: tuple[tuple[RecordKey, Record], ...]


def assemble(
    requests: Sequence[OpenedRequest], executions: Sequence[Execution], sequence: int
) -> AssembledBatch:
    """Assemble a batch from the requests that were executed and what executing them gave, in the same order.

    Args:
        sequence: the batch's own; versions whose writer has it were written within the batch.
    """
    assert len(requests) == len(executions)
    leaves = _Leaves()
    entries: list[bytes] = []
    outcomes: list[bytes] = []
    values: list[bytes] = []
    writes: list[tuple[RecordKey, Record]] = []
    for position, (request, execution) in enumerate(zip(requests, executions, strict=True)):
        assert execution.index == position
        entry, outcome = leaves.of(request, execution)
        entries.append(entry)
        outcomes.append(outcome)
        for namespace, key, record in execution.writes:
            writes.append((RecordKey(namespace, key), record))
            values.append(record.value)
    conditions = {
        RecordKey(read.namespace, read.key): (read.version, read.record_hash)
        for read in leaves.reads()
        if read.writer_sequence != sequence
    }
    return AssembledBatch(
        entries=tuple(entries),
        outcomes=tuple(outcomes),
        outcomes_root=merkle.root(outcomes),
        outputs=tuple(execution.output for execution in executions),
        values=tuple(values),
        reads=tuple([(key, version, hashed) for key, (version, hashed) in conditions.items()]),
        writes=tuple(writes),
    )


class _Leaves:
    """Makes the leaves of one batch; the parts that its requests have in common are encoded once."""

    def __init__(self) -> None:
        self._reads: dict[Read, tuple[bytes, bytes]] = {}
        self._names: dict[tuple[str, str], bytes] = {}
        self._callers: dict[tuple[str, int, str, int], bytes] = {}

    def reads(self) -> Iterable[Read]:
        """Every version read, each once."""
        return self._reads

    def of(self, request: OpenedRequest, execution: Execution) -> tuple[bytes, bytes]:
        """The bytes of `entry_of` and `outcome_of`, made together and by hand where there are no scans."""
        reads = [self._reads.get(read) or self._encode_read(read) for read in execution.reads]
        if execution.scans:
            return entry_of(request, execution).to_bytes(), outcome_of(request, execution).to_bytes()
        names = self._names
        writes = []
        write_pins = []
        for namespace, key, record in execution.writes:
            name = names.get((namespace, key)) or self._encode_name(namespace, key)
            version = write_version(name, record.version, record.deleted)
            writes.append(version)
            write_pins.append(version + record.record_hash)
        outcome = outcome_leaf(
            execution.index,
            request.request_id,
            self._caller(request),
            execution.status,
            execution.code,
            execution.fail_text,
            tagged("output", execution.output),
            [pin for _, pin in reads],
            write_pins,
        )
        return entry_leaf(execution.index, request.envelope_bytes, [version for version, _ in reads], writes), outcome

    def _encode_read(self, read: Read) -> tuple[bytes, bytes]:
        """A read as an entry lists it, and as an outcome does."""
        namespace, key, version, sequence, index, record_hash = read
        name = self._names.get((namespace, key)) or self._encode_name(namespace, key)
        encoded = read_version(name, version, sequence, index)
        both = self._reads[read] = encoded, encoded + record_hash
        return both

    def _encode_name(self, namespace: str, key: str) -> bytes:
        name = self._names[namespace, key] = record_name(namespace, key)
        return name

    def _caller(self, request: OpenedRequest) -> bytes:
        body = request.body
        called = body.entity, body.key_version, body.contract, body.contract_version
        fields = self._callers.get(called)
        if fields is None:
            fields = self._callers[called] = caller_fields(*called)
        return fields


def leaves_of(request: OpenedRequest, execution: Execution) -> tuple[bytes, bytes]:
    """The leaves of one request, which equal the bytes of `entry_of` and `outcome_of`."""
    return _Leaves().of(request, execution)


def entry_of(request: OpenedRequest, execution: Execution) -> Entry:
    """What the order says of an executed request."""
    return Entry(
        index=execution.index,
        envelope=request.envelope_bytes,
        reads=tuple([ReadVersion(*read[:5]) for read in execution.reads]),
        scans=tuple(
            ScanVersions(*scan[:6], rows=tuple(RowVersion(*row[:4]) for row in scan.rows))
            for scan in execution.scans
        ),
        writes=tuple(
            [
                WriteVersion(namespace, key, record.version, record.deleted)
                for namespace, key, record in execution.writes
            ]
        ),
    )


def outcome_of(request: OpenedRequest, execution: Execution) -> Outcome:
    """What both parties sign of an executed request."""
    body = request.body
    return Outcome(
        index=execution.index,
        request_id=request.request_id,
        entity=body.entity,
        key_version=body.key_version,
        contract=body.contract,
        contract_version=body.contract_version,
        status=execution.status,
        code=execution.code,
        fail_text=execution.fail_text,
        output_hash=tagged("output", execution.output),
        reads=tuple([ReadPin(*read) for read in execution.reads]),
        scans=tuple(
            ScanPins(*scan[:6], rows=tuple(RowPin(*row) for row in scan.rows)) for scan in execution.scans
        ),
        writes=tuple(
            [
                WritePin(namespace, key, record.version, record.deleted, record.record_hash)
                for namespace, key, record in execution.writes
            ]
        ),
    )
