"""What a client sends: the signed request body in its envelope (PROTOCOL 2).

Both are made and read once per request by everybody, so they have an encoder and a reader by hand; those of
`Message` stay their reference.
"""

from dataclasses import dataclass
from typing import Self

from schemas.binary import encode_bytes, encode_long, encode_text
from schemas.codec import Message, Rows
from schemas.request_values import (
    HASH_SIZE,
    NONCE_SIZE,
    SIGNATURE_SIZE,
    RecordName,
    read_body,
    read_envelope,
)

__all__ = ["NONCE_SIZE", "Envelope", "RecordName", "RequestBody"]

_END = b"\0"


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

    def to_bytes(self) -> bytes:
        """The canonical Avro body: what is hashed."""
        assert (len(self.ledger_id), len(self.nonce)) == (HASH_SIZE, NONCE_SIZE)
        names = [encode_text(namespace) + encode_text(key) for namespace, key in self.keys]
        return b"".join(
            (
                encode_long(self.format),
                self.ledger_id,
                encode_text(self.entity),
                encode_long(self.key_version),
                self.nonce,
                encode_text(self.contract),
                encode_long(self.contract_version),
                encode_bytes(self.argument),
                encode_long(self.not_before_ms),
                encode_long(self.expiry_ms),
                encode_long(self.after),
                encode_long(len(names)) if names else b"",
                *names,
                _END,
            )
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Parse a canonical Avro body.

        Raises:
            MalformedMessageError: the bytes are anything else.
        """
        return cls.of_values(*read_body(body))


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

    def to_bytes(self) -> bytes:
        """The canonical Avro body."""
        path = self.path
        assert len(self.signature) == SIGNATURE_SIZE
        assert all(len(node) == HASH_SIZE for node in path)
        nodes = (encode_long(len(path)), *path, _END) if path else (_END,)
        numbers = encode_long(self.index), encode_long(self.count)
        return b"".join((encode_bytes(self.body), *numbers, *nodes, self.signature))

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Parse a canonical Avro body.

        Raises:
            MalformedMessageError: the bytes are anything else.
        """
        return cls.of_values(*read_envelope(body))
