"""From executed requests to the leaves, roots and writes that both parties must compute alike, bit for bit.

Rules:

1. A party assembles entries and outcomes from its own execution only. The Auditor sends what it assembled;
   the Ledger assembles its own and compares bytes, which checks the Auditor's versions and the one form of
   its bytes at once.
2. What a batch read from itself (a version written by an earlier request of the same batch) is not a
   condition on the store; everything else it read is, by version and hash. Ranges are checked as they were
   fetched, not as a request saw them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol import merkle
from protocol.contracts.calls import Execution
from protocol.hashing import tagged
from protocol.records import Record, RecordKey
from protocol.requests import OpenedRequest
from schemas.leaves import caller_fields, entry_leaf, outcome_leaf, read_versions, write_versions
from schemas.order import Entry, ReadVersion, RowVersion, ScanVersions, WriteVersion
from schemas.outcome import Outcome, ReadPin, RowPin, ScanPins, WritePin


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembledBatch:
    """A batch as both parties see it.

    Attributes:
        entries: leaves of `entries_root`, the bytes of each `Entry`.
        outcomes: leaves of `outcomes_root`, the bytes of each `Outcome`.
        outputs: canonical JSON of each request's output, empty if it failed.
        values: one per version written, in the outcomes' order; empty for a deletion.
        reads: every version read that the batch did not write itself.
        writes: every version written, in order.
    """

    entries: tuple[bytes, ...]
    entries_root: bytes
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
    entries: list[bytes] = []
    outcomes: list[bytes] = []
    values: list[bytes] = []
    reads: dict[RecordKey, tuple[int, bytes]] = {}
    writes: list[tuple[RecordKey, Record]] = []
    for position, (request, execution) in enumerate(zip(requests, executions, strict=True)):
        assert execution.index == position
        entry, outcome = leaves_of(request, execution)
        entries.append(entry)
        outcomes.append(outcome)
        for read in execution.reads:
            if read.writer_sequence != sequence:
                reads[RecordKey(read.namespace, read.key)] = (read.version, read.record_hash)
        for namespace, key, record in execution.writes:
            writes.append((RecordKey(namespace, key), record))
            values.append(record.value)
    return AssembledBatch(
        entries=tuple(entries),
        entries_root=merkle.root(entries),
        outcomes=tuple(outcomes),
        outcomes_root=merkle.root(outcomes),
        outputs=tuple(execution.output for execution in executions),
        values=tuple(values),
        reads=tuple((key, version, hashed) for key, (version, hashed) in reads.items()),
        writes=tuple(writes),
    )


def leaves_of(request: OpenedRequest, execution: Execution) -> tuple[bytes, bytes]:
    """The bytes of `entry_of` and `outcome_of`, made together and by hand where there are no scans."""
    if execution.scans:
        return entry_of(request, execution).to_bytes(), outcome_of(request, execution).to_bytes()
    body = request.body
    index = execution.index
    reads = read_versions(execution.reads)
    writes = write_versions(
        [(namespace, key, record.version, record.deleted) for namespace, key, record in execution.writes]
    )
    outcome = outcome_leaf(
        index,
        request.request_id,
        caller_fields(body.entity, body.key_version, body.contract, body.contract_version),
        execution.status,
        execution.code,
        execution.fail_text,
        tagged("output", execution.output),
        [version + read[5] for version, read in zip(reads, execution.reads, strict=True)],
        [version + write[2].record_hash for version, write in zip(writes, execution.writes, strict=True)],
    )
    return entry_leaf(index, request.envelope_bytes, reads, writes), outcome


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
