"""What executing one request gave (PROTOCOL 2)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from schemas.codec import Message, Rows

Status = Literal["ok", "failed"]


class ReadPin(NamedTuple):
    """A record version a request read, with its record_hash."""

    namespace: str
    key: str
    version: int
    writer_sequence: int
    writer_index: int
    record_hash: bytes


class RowPin(NamedTuple):
    """A record version that a scan saw, with its record_hash."""

    key: str
    version: int
    writer_sequence: int
    writer_index: int
    record_hash: bytes


class ScanPins(NamedTuple):
    """A range a request scanned, how far it got, and every version it saw there with its record_hash."""

    namespace: str
    start: str
    end: str
    limit: int
    covered_to: str
    exhausted: bool
    rows: tuple[RowPin, ...]


class WritePin(NamedTuple):
    """A record version a request wrote, with its record_hash."""

    namespace: str
    key: str
    version: int
    deleted: bool
    record_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(
    Message,
    schema="outcome",
    nested={"reads": Rows(ReadPin), "scans": Rows(ScanPins, rows=Rows(RowPin)), "writes": Rows(WritePin)},
):
    """What executing one request gave; a leaf of `outcomes_root`.

    It lists every record read with its hash, so that a third party can execute the request again. It holds no
    steps,
    times or texts of the engine: honest machines may differ in those.

    Attributes:
        code: stable code of a failure, empty when `status` is "ok".
        fail_text: what the contract said with `fail`.
        output_hash: `H("output", output)`.
    """

    index: int
    request_id: bytes
    entity: str
    key_version: int
    contract: str
    contract_version: int
    status: Status
    code: str
    fail_text: str
    output_hash: bytes
    reads: tuple[ReadPin, ...]
    scans: tuple[ScanPins, ...]
    writes: tuple[WritePin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeHead(Message, schema="outcome_head"):
    """The first fields of an `Outcome`: the reference of `leaves.outcome_begin` and `outcome_end_of_head`, by which
    readers that need no more find them.
    """

    index: int
    request_id: bytes
    entity: str
    key_version: int
    contract: str
    contract_version: int
    status: Status
    code: str
    fail_text: str
    output_hash: bytes


def request_id_of(outcome: bytes) -> bytes:
    """The request_id in an outcome's bytes, without parsing them: it stands behind the index, a varint."""
    at = 0
    while at < len(outcome) and outcome[at] & 0x80:
        at += 1
    return outcome[at + 1 : at + 33]
