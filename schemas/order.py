"""What the Auditor orders: header, entries, and the message that carries them (PROTOCOL 2)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from schemas.carriers import Carrier
from schemas.codec import Message, Rows

Kind = Literal["normal", "empty", "audit", "last"]


class ReadVersion(NamedTuple):
    """A record version a request read, and the request that wrote it."""

    namespace: str
    key: str
    version: int
    writer_sequence: int
    writer_index: int


class RowVersion(NamedTuple):
    """A record version that a scan saw."""

    key: str
    version: int
    writer_sequence: int
    writer_index: int


class ScanVersions(NamedTuple):
    """A range a request scanned, how far it got, and every version it saw there."""

    namespace: str
    start: str
    end: str
    limit: int
    covered_to: str
    exhausted: bool
    rows: tuple[RowVersion, ...]


class WriteVersion(NamedTuple):
    """A record version a request wrote."""

    namespace: str
    key: str
    version: int
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderHeader(Message, schema="order_header"):
    """What the Auditor signs. Its hash is the `order_hash`.

    Attributes:
        commitment: `H("commit", salt, outcomes_root)`: the Auditor's own result, fixed before it sees the
            Ledger's.
    """

    format: int
    ledger_id: bytes
    epoch: int
    sequence: int
    previous_order_hash: bytes
    kind: Kind
    entries_root: bytes
    count: int
    ordered_at_ms: int
    commitment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(
    Message,
    schema="entry",
    nested={
        "reads": Rows(ReadVersion),
        "scans": Rows(ScanVersions, rows=Rows(RowVersion)),
        "writes": Rows(WriteVersion),
    },
):
    """One ordered request with the record versions it reads and writes; a leaf of `entries_root`.

    Values are left out: the Ledger finds them by itself.
    """

    index: int
    envelope: bytes
    reads: tuple[ReadVersion, ...]
    scans: tuple[ScanVersions, ...]
    writes: tuple[WriteVersion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Carrier, schema="order"):
    """The Auditor's message: the bytes of an `OrderHeader`, of each `Entry`, and the signature over the
    header.
    """

    header: bytes
    entries: tuple[bytes, ...]
    signature: bytes
