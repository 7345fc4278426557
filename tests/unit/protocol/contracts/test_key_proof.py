"""A proof of possession is for one ledger, entity, key version, algorithm and key, and for nothing else."""

from hashlib import sha256
from typing import Any

import pytest

from protocol.contracts.key_proof import check_key_proof, key_proof_input
from protocol.signatures import request_batch_input
from protocol.signing import SigningKey

LEDGER_ID = bytes(range(32))
KEY = SigningKey.from_seed("p256", b"\7" * 32)
OTHER = SigningKey.from_seed("ed25519", b"\7" * 32)
PROVEN: dict[str, Any] = {
    "ledger_id": LEDGER_ID,
    "entity": "alice",
    "key_version": 3,
    "algorithm": "p256",
    "key": KEY.public_key.key,
}


def test_what_is_signed() -> None:
    """Written out a second time: as a client, in a domain of its own, with no schema, because it is no message."""

    def framed(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(8, "big") + part for part in parts)

    parts = (LEDGER_ID, b"alice", (3).to_bytes(8, "big"), b"p256", KEY.public_key.key)
    hashed = sha256(b"CSv1\x03key" + (5).to_bytes(4, "big") + framed(*parts)).digest()
    signed = b"CSv1-sig" + framed(b"client", b"key", LEDGER_ID, bytes(8), bytes(32), hashed)
    assert key_proof_input(**PROVEN) == signed


def test_a_proof() -> None:
    """Of either algorithm."""
    for key in (KEY, OTHER):
        proven = PROVEN | {"algorithm": key.public_key.algorithm, "key": key.public_key.key}
        assert check_key_proof(**proven, proof=key.sign(key_proof_input(**proven))) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"ledger_id": bytes(32)},
        {"entity": "alic"},
        {"entity": "alice3"},
        {"key_version": 4},
        {"key": SigningKey.from_seed("p256", b"\x08" * 32).public_key.key},
        {"algorithm": "ed25519", "key": OTHER.public_key.key},
    ],
    ids=str,
)
def test_a_proof_of_something_else(changes: dict[str, Any]) -> None:
    """Shown for another ledger, entity, version or key it proves nothing."""
    proof = KEY.sign(key_proof_input(**PROVEN))
    assert check_key_proof(**PROVEN, proof=proof) == ""
    assert check_key_proof(**(PROVEN | changes), proof=proof) == "key.unproven"


def test_no_other_signature_is_a_proof() -> None:
    """Not one over requests, nor one that is not in its form."""
    requests = KEY.sign(request_batch_input(LEDGER_ID, bytes(32), 1))
    for proof in (requests, b"", bytes(64), KEY.sign(key_proof_input(**PROVEN))[:-1]):
        assert check_key_proof(**PROVEN, proof=proof) == "key.unproven"


@pytest.mark.parametrize(
    "changes", [{"key": b""}, {"key": bytes(33)}, {"algorithm": "rsa"}, {"algorithm": "ed25519"}], ids=str
)
def test_what_is_no_key(changes: dict[str, Any]) -> None:
    """Whatever the proof is worth."""
    proof = KEY.sign(key_proof_input(**PROVEN))
    assert check_key_proof(**(PROVEN | changes), proof=proof) == "key.refused"
