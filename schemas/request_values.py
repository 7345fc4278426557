"""The fields of a request body and of its envelope, read by hand out of their bytes.

Apart from the messages themselves, because nothing is read as often: these are plain functions on bytes, which set-up
may compile. A property test holds them and fastavro together.
"""

from typing import Final, NamedTuple

from schemas.binary import end_array, read_bytes, read_count, read_long, read_text
from schemas.errors import MalformedMessageError

NONCE_SIZE: Final = 16
"""Bytes of a request's nonce."""

HASH_SIZE, SIGNATURE_SIZE = 32, 64


class RecordName(NamedTuple):
    """A record's place: its namespace and its key."""

    namespace: str
    key: str


BodyValues = tuple[int, bytes, str, int, bytes, str, int, bytes, int, int, int, tuple[RecordName, ...]]
EnvelopeValues = tuple[bytes, int, int, tuple[bytes, ...], bytes]


def read_body(body: bytes) -> BodyValues:
    """The fields of a `RequestBody`, in the schema's order.

    Raises:
        MalformedMessageError: the bytes are not its one form.
    """
    try:
        form, at = read_long(body, 0)
        ledger_id, at = body[at : at + HASH_SIZE], at + HASH_SIZE
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
        end = end_array(body, at, count)
    except (IndexError, UnicodeDecodeError) as error:
        raise MalformedMessageError(f"request_body: {error}") from error
    if end != len(body):
        raise MalformedMessageError("request_body: bytes behind the end")
    return (
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


def read_envelope(body: bytes) -> EnvelopeValues:
    """The fields of an `Envelope`, in the schema's order.

    Raises:
        MalformedMessageError: the bytes are not its one form.
    """
    try:
        request, at = read_bytes(body, 0)
        index, at = read_long(body, at)
        count, at = read_long(body, at)
        nodes, at = read_count(body, at)
        behind = at + nodes * HASH_SIZE
        path = tuple([body[place : place + HASH_SIZE] for place in range(at, behind, HASH_SIZE)])
        at = end_array(body, behind, nodes)
    except IndexError as error:
        raise MalformedMessageError(f"envelope: {error}") from error
    if at + SIGNATURE_SIZE != len(body):
        raise MalformedMessageError("envelope: another length than its parts have")
    return request, index, count, path, body[at:]
