"""The tagged hash and the bytes to be signed, spelled out from PROTOCOL 1.1."""

import hashlib
from collections.abc import Sequence


def tagged(tag: str, parts: Sequence[bytes]) -> bytes:
    """H(tag, parts)."""
    data = b"CSv1"
    data += bytes([len(tag)]) + tag.encode("ascii")
    data += len(parts).to_bytes(4, "big")
    for part in parts:
        data += len(part).to_bytes(8, "big") + part
    return hashlib.sha256(data).digest()


def signature_input(
    role: str, kind: str, ledger_id: bytes, epoch: int, schema_hash: bytes, message_hash: bytes
) -> bytes:
    """What is signed."""
    data = b"CSv1-sig"
    number = epoch.to_bytes(8, "big")
    for part in (role.encode(), kind.encode(), ledger_id, number, schema_hash, message_hash):
        data += len(part).to_bytes(8, "big") + part
    return data
