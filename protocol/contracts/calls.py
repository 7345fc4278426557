"""What goes into the execution of a batch, and what comes out of it.

1. A `Batch` holds its calls in order; the results are one `Execution` or `Rejected` for each call, in the
   same order. They are fewer where the batch was closed because its results had become too large: the
   rest was not executed.
2. A rejected call has no effect and takes no index: `Execution.index` counts the calls that were not
   rejected, and (batch sequence, index) is the writer of every version that the call wrote.
3. A record is listed once among the reads of a call, with the version that was current before the call.
   Whatever a call relies on is read: the key of its entity, its contracts, the namespaces it writes, and
   the version before each one that it writes.
4. A scan covers the keys `start <= key < end` (an empty `end` means the end of the namespace). Its rows
   are the records as they were before the call, deleted ones among them, by code point of their keys, at
   most `limit`. When it found fewer, it is `exhausted` and `covered_to` is `end`; otherwise `covered_to`
   is the last key it saw.
5. Values are the bytes of canonical JSON; a deleted record has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from protocol.records import Record, RecordKey


class Call(NamedTuple):
    """One request as the execution sees it: its signature and its times have been checked before.

    A tuple and no dataclass, as `Execution` is, because thousands are made a second.
    """

    request_id: bytes
    entity: str
    key_version: int
    contract: str
    contract_version: int
    argument: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Calls to be executed one after the other, at one sequence.

    Attributes:
        records: current records that the calls are expected to touch, `ABSENT` ones too; what is missing is
            fetched.
        first_index: of the first call that is not rejected; not 0 where a batch is executed in portions.
    """

    ledger_id: bytes
    sequence: int
    ordered_at_ms: int
    calls: tuple[Call, ...]
    records: Mapping[RecordKey, Record]
    first_index: int = 0


class Fetch(Protocol):
    """The records of a party as they were before the batch."""

    def record(self, key: RecordKey) -> Record:
        """Return the current record, `ABSENT` if there never was one."""
        ...

    def scan(self, namespace: str, start: str, end: str, limit: int) -> Sequence[tuple[str, Record]]:
        """Return the first `limit` keys of a range and their current records, deleted ones too, in order."""
        ...

    def versions(self, key: RecordKey, newest: int, count: int) -> Sequence[Record]:
        """Return up to `count` versions of a record from `newest` downwards."""
        ...


class Read(NamedTuple):
    """A record version a call relied on; version 0 and a hash of zeros if the record did not exist."""

    namespace: str
    key: str
    version: int
    writer_sequence: int
    writer_index: int
    record_hash: bytes


class Row(NamedTuple):
    """A record version found by a scan."""

    key: str
    version: int
    writer_sequence: int
    writer_index: int
    record_hash: bytes


class Scan(NamedTuple):
    """A range a call relied on, and every record version in it."""

    namespace: str
    start: str
    end: str
    limit: int
    covered_to: str
    exhausted: bool
    rows: tuple[Row, ...]


class Write(NamedTuple):
    """A record version that a call created."""

    namespace: str
    key: str
    record: Record


class Execution(NamedTuple):
    """What executing one call gave.

    A failed call has a code and perhaps a text of its contract, an empty output and no writes, but keeps its
    reads.
    """

    index: int  # type: ignore[assignment]  # hides the method of tuples, which nobody calls
    status: Literal["ok", "failed"]
    code: str
    fail_text: str
    output: bytes
    reads: tuple[Read, ...]
    scans: tuple[Scan, ...]
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A call that must not be ordered, and the records this judgement relied on."""

    code: str
    final: bool
    reads: tuple[Read, ...] = ()
