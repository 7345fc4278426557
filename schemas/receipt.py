"""What a client gets and keeps (PROTOCOL 2)."""

from dataclasses import dataclass

from schemas.carriers import Carrier
from schemas.codec import Message, One
from schemas.statement import Countersigned


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts(Carrier, schema="receipts", nested={"signed": One(Countersigned)}):
    """The receipts of one decision: the shared part once, then every outcome and output.

    A client picks its own by request_id and derives its Merkle paths from the outcomes.
    """

    signed: Countersigned
    outcomes: tuple[bytes, ...]
    outputs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(Message, schema="receipt", nested={"signed": One(Countersigned)}):
    """A self-contained receipt of one request, checkable without any server.

    Attributes:
        index: the outcome's leaf under the statement's `outcomes_root`.
        path: RFC 6962 audit path from that leaf.
        genesis: the bytes of the ledger's `Genesis`.
        configurations: the bytes of each `SignedConfiguration` up to the statement's epoch.
    """

    format: int
    outcome: bytes
    output: bytes
    index: int
    path: tuple[bytes, ...]
    signed: Countersigned
    genesis: bytes
    configurations: tuple[bytes, ...]
