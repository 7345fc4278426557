"""The one function that makes every hash (PROTOCOL 1.1).

Rules:

1. `H(tag, parts) = SHA-256("CSv1" || u8 len(tag) || tag || u32 count || (u64 len || part)*)`, big-endian.
   Count and lengths make the framing injective: two different lists of parts never give the same bytes.
2. Every tag stands once in `Tag`, so no two uses share a domain; a tag that is not listed raises
   `KeyError`.
3. The first bytes differ from RFC 6962's 0x00 and 0x01, so no tagged hash is that of a Merkle leaf or node.
4. A message's hash is `tagged(kind, body)`, with `body` the bytes as received.
"""

import struct
from enum import StrEnum, unique
from hashlib import sha256
from typing import Final

from protocol.native import NATIVE

HASH_SIZE: Final = 32
"""Bytes of a hash."""

ZERO_HASH: Final = bytes(HASH_SIZE)
"""What stands where there is no hash yet: before the first order, statement, record version or epoch."""


@unique
class Tag(StrEnum):
    """Every domain in which something is hashed; a message's tag is also its kind in a signature."""

    # Bodies of messages and signed structures.
    GENESIS = "genesis"  # its hash is the ledger_id
    REQUEST = "request"  # the request_id, over a request body
    ENVELOPE = "envelope"  # names an envelope that failed authentication
    ORDER = "order"  # the order_hash, over an order header
    STATEMENT = "statement"
    LEDGER_ENDORSEMENT = "ledger-endorsement"
    AUDITOR_ENDORSEMENT = "auditor-endorsement"
    REJECTIONS = "rejections"  # over a rejections header
    REFUSAL = "refusal"
    CONFIGURATION = "configuration"
    ASK = "ask"
    PROPOSAL = "proposal"
    WHERE = "where"
    ANSWER = "answer"
    PIECE = "piece"  # over a piece header
    UPDATE = "update"
    EVIDENCE = "evidence"

    # Values inside them.
    REQUEST_BATCH = "request-batch"  # root and count of what a client signs together
    COMMIT = "commit"  # salt and outcomes_root
    SALT = "salt"  # place and entries, under the HMAC that makes the salt
    RECORD = "record"
    OUTPUT = "output"
    SOURCE = "source"  # of a contract
    ATTACHMENTS = "attachments"
    BLOCK = "block"
    CONTENT = "content"  # of a whole block, where that is its checksum
    SLICE = "slice"
    ENGINE = "engine"  # answers to the known-answer suite
    KEY = "key"  # what a new key signs to prove possession


_count: Final = struct.Struct(">I").pack
_length: Final = struct.Struct(">Q").pack
_HEADS: Final = {str(tag): b"CSv1" + bytes((len(tag),)) + tag.encode() for tag in Tag}
_HEADS_OF_ONE: Final = {tag: head + _count(1) for tag, head in _HEADS.items()}
_native: Final = None if NATIVE is None else NATIVE.tagged


def tagged(tag: str, *parts: bytes) -> bytes:
    """`H(tag, parts)`: the 32-byte hash of parts in one domain.

    Raises:
        KeyError: the tag is not in `Tag` (a mistake of the caller's).
        MemoryError: there is none left.
    """
    if _native is not None:
        return _native(_HEADS[tag], parts)
    if len(parts) == 1:  # nearly always, and several times for each request
        return digest(b"".join((_HEADS_OF_ONE[tag], _length(len(parts[0])), parts[0])))
    framed = [_HEADS[tag], _count(len(parts))]
    for part in parts:
        framed += (_length(len(part)), part)
    return digest(b"".join(framed))


def digest(framed: bytes) -> bytes:
    """SHA-256 of what is framed already.

    Raises:
        MemoryError: there is none left.
    """
    try:
        return sha256(framed).digest()
    except ValueError:  # what OpenSSL calls it: an error of initialization, a context that cannot be copied
        raise MemoryError from None
