"""What a client sends: the signed request body in its envelope (PROTOCOL 2).

Both are made and read once per request by everybody, so they have an encoder and a reader by hand; those of
`Message` stay their reference.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

from schemas.binary import (
    encode_bytes,
    encode_long,
    encode_text,
    end_array,
    read_bytes,
    read_count,
    read_long,
    read_text,
)
from schemas.codec import Message, Rows
from schemas.errors import MalformedMessageError

NONCE_SIZE = 16
"""Bytes of a request's nonce."""

_HASH, _SIGNATURE = 32, 64
_END = b"\0"


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

    def to_bytes(self) -> bytes:
        """The canonical Avro body: what is hashed."""
        assert (len(self.ledger_id), len(self.nonce)) == (_HASH, NONCE_SIZE)
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
        try:
            made, end = cls._read(body)
        except (IndexError, UnicodeDecodeError) as error:
            raise MalformedMessageError(f"request_body: {error}") from error
        if end != len(body):
            raise MalformedMessageError("request_body: bytes behind the end")
        return made

    @classmethod
    def _read(cls, body: bytes) -> tuple[Self, int]:
        form, at = read_long(body, 0)
        ledger_id, at = body[at : at + _HASH], at + _HASH
        entity, at = read_text(body, at)
        key_version, at = read_long(body, at)
        nonce, at = body[at : at + NONCE_SIZE], at + NONCE_SIZE
        contract, at = read_text(body, at)
        contract_version, at = read_long(body, at)
        argument, at = read_bytes(body, at)
        not_before_ms, at = read_long(body, at)
        expiry_ms, at = read_long(body, at)
        after, at = read_long(body, at)
        count, at = read_count(body, at)
        names: list[RecordName] = []
        for _ in range(count):
            namespace, at = read_text(body, at)
            key, at = read_text(body, at)
            names.append(RecordName(namespace, key))
        made = cls.of_values(
            form,
            ledger_id,
            entity,
            key_version,
            nonce,
            contract,
            contract_version,
            argument,
            not_before_ms,
            expiry_ms,
            after,
            tuple(names),
        )
        return made, end_array(body, at, count)


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
        assert len(self.signature) == _SIGNATURE
        assert all(len(node) == _HASH for node in path)
        nodes = (encode_long(len(path)), *path, _END) if path else (_END,)
        numbers = encode_long(self.index), encode_long(self.count)
        return b"".join((encode_bytes(self.body), *numbers, *nodes, self.signature))

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Parse a canonical Avro body.

        Raises:
            MalformedMessageError: the bytes are anything else.
        """
        try:
            request, at = read_bytes(body, 0)
            index, at = read_long(body, at)
            count, at = read_long(body, at)
            nodes, at = read_count(body, at)
            behind = at + nodes * _HASH
            path = tuple([body[place : place + _HASH] for place in range(at, behind, _HASH)])
            at = end_array(body, behind, nodes)
        except IndexError as error:
            raise MalformedMessageError(f"envelope: {error}") from error
        if at + _SIGNATURE != len(body):
            raise MalformedMessageError("envelope: another length than its parts have")
        return cls.of_values(request, index, count, path, body[at:])
