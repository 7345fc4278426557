"""What a client sends: the signed request body in its envelope (PROTOCOL 2)."""

from dataclasses import dataclass
from typing import NamedTuple

from schemas.codec import Message, Rows


class RecordName(NamedTuple):
    """A record's place: its namespace and its key."""

    namespace: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestBody(Message, schema="request_body", nested={"keys": Rows(RecordName)}):
    """What a client signs: a call of a contract with an argument. Its hash is the `request_id`.

    Attributes:
        argument: canonical JSON.
        after: sequence of the last receipt this client has seen, -1 for none.
        keys: advisory list of the records the call will touch; parties fetch them ahead.
    """

    format: int
    ledger_id: bytes
    entity: str
    key_version: int
    nonce: bytes
    contract: str
    contract_version: int
    argument: bytes
    not_before_ms: int
    expiry_ms: int
    after: int
    keys: tuple[RecordName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope(Message, schema="envelope"):
    """A request body with its place in the Merkle tree over the request_ids its client signed together.

    Attributes:
        body: the bytes of a `RequestBody`.
        index: this request's leaf in that tree.
        count: leaves of that tree; one request alone is a tree of one.
        path: RFC 6962 audit path from the leaf to the root.
        signature: over `H("request-batch", root, count)`.
    """

    body: bytes
    index: int
    count: int
    path: tuple[bytes, ...]
    signature: bytes
