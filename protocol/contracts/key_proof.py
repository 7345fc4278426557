"""Proof of possession: what a new key signs before it is registered.

It binds ledger, entity, key version and key, so it proves nothing for anybody else, nor for a later key.
"""

from protocol.hashing import ZERO_HASH, Tag, tagged
from protocol.signing import BadKeyError, BadSignatureError, signature_input, verify_key


def key_proof_input(ledger_id: bytes, entity: str, key_version: int, algorithm: str, key: bytes) -> bytes:
    """The bytes that the new key signs."""
    version = key_version.to_bytes(8, "big")
    message_hash = tagged(Tag.KEY, ledger_id, entity.encode(), version, algorithm.encode(), key)
    return signature_input("client", Tag.KEY, ledger_id, 0, ZERO_HASH, message_hash)  # no schema: no message


def check_key_proof(
    ledger_id: bytes, entity: str, key_version: int, algorithm: str, key: bytes, proof: bytes
) -> str:
    """Judge a new key and its proof.

    Returns:
        Empty, or the code of what is wrong: `key.refused` or `key.unproven`.
    """
    try:
        public_key = verify_key(algorithm, key)
        public_key.verify(key_proof_input(ledger_id, entity, key_version, algorithm, key), proof)
    except BadKeyError:
        return "key.refused"
    except BadSignatureError:
        return "key.unproven"
    return ""
