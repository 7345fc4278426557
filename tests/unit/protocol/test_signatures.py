"""What is signed, written out a second time: role, kind, ledger, epoch, schema and message hash, each in its place."""

from collections.abc import Callable
from hashlib import sha256

import pytest

from protocol import signatures
from schemas.codec import Message
from schemas.epoch import Configuration
from schemas.order import OrderHeader
from schemas.piece import PieceHeader
from schemas.rejection import Refusal, RejectionsHeader
from schemas.request import RequestBody
from schemas.statement import AuditorEndorsement, LedgerEndorsement

LEDGER_ID = bytes(range(32))
EPOCH = 0x0102
BODY = b"the bytes of some message"
SIGNATURE = bytes(range(64))
SALT = bytes(range(32, 64))


def framed(*parts: bytes) -> bytes:
    """Each part behind its length."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def hashed(tag: bytes, *parts: bytes) -> bytes:
    """`H(tag, parts)` of PROTOCOL 1.1."""
    head = b"CSv1" + bytes((len(tag),)) + tag + len(parts).to_bytes(4, "big")
    return sha256(head + framed(*parts)).digest()


def signed(role: bytes, kind: bytes, epoch: int, message: type[Message], message_hash: bytes) -> bytes:
    """What is signed, by PROTOCOL 1.1."""
    schema_hash = message.avro.schema_hash
    return b"CSv1-sig" + framed(role, kind, LEDGER_ID, epoch.to_bytes(8, "big"), schema_hash, message_hash)


STATEMENT_HASH = hashed(b"statement", BODY)
BY_LEDGER = hashed(b"ledger-endorsement", STATEMENT_HASH + SIGNATURE)
BY_AUDITOR = hashed(b"auditor-endorsement", STATEMENT_HASH + SALT)

INPUTS: dict[str, tuple[bytes, bytes]] = {
    "order": (
        signatures.order_input(LEDGER_ID, EPOCH, BODY),
        signed(b"auditor", b"order", EPOCH, OrderHeader, hashed(b"order", BODY)),
    ),
    "order by its hash": (
        signatures.order_hash_input(LEDGER_ID, EPOCH, hashed(b"order", BODY)),
        signed(b"auditor", b"order", EPOCH, OrderHeader, hashed(b"order", BODY)),
    ),
    "Ledger's endorsement": (
        signatures.ledger_endorsement_input(LEDGER_ID, EPOCH, BODY, SIGNATURE),
        signed(b"ledger", b"statement", EPOCH, LedgerEndorsement, BY_LEDGER),
    ),
    "Auditor's endorsement": (
        signatures.auditor_endorsement_input(LEDGER_ID, EPOCH, BODY, SALT),
        signed(b"auditor", b"statement", EPOCH, AuditorEndorsement, BY_AUDITOR),
    ),
    "rejections": (
        signatures.rejections_input(LEDGER_ID, EPOCH, BODY),
        signed(b"auditor", b"rejections", EPOCH, RejectionsHeader, hashed(b"rejections", BODY)),
    ),
    "refusal": (
        signatures.refusal_input(LEDGER_ID, EPOCH, BODY),
        signed(b"ledger", b"refusal", EPOCH, Refusal, hashed(b"refusal", BODY)),
    ),
    "Auditor's configuration": (
        signatures.configuration_input("auditor", LEDGER_ID, EPOCH, BODY),
        signed(b"auditor", b"configuration", EPOCH, Configuration, hashed(b"configuration", BODY)),
    ),
    "Ledger's configuration": (
        signatures.configuration_input("ledger", LEDGER_ID, EPOCH, BODY),
        signed(b"ledger", b"configuration", EPOCH, Configuration, hashed(b"configuration", BODY)),
    ),
    "piece": (
        signatures.piece_input(LEDGER_ID, EPOCH, BODY),
        signed(b"replica", b"piece", EPOCH, PieceHeader, hashed(b"piece", BODY)),
    ),
    "requests": (
        signatures.request_batch_input(LEDGER_ID, SALT, 3),
        signed(b"client", b"request-batch", 0, RequestBody, hashed(b"request-batch", SALT, (3).to_bytes(8, "big"))),
    ),
}


@pytest.mark.parametrize(("made", "expected"), INPUTS.values(), ids=INPUTS)
def test_the_bytes_that_are_signed(made: bytes, expected: bytes) -> None:
    """As PROTOCOL 1.1 says, written out here by hand; a client signs with epoch 0."""
    assert made == expected


def test_no_two_inputs_are_the_same() -> None:
    """Over the same bytes, ledger and epoch, no signature of one kind or role is one of another."""
    different = {name: made for name, (made, _) in INPUTS.items() if name != "order by its hash"}
    assert len(set(different.values())) == len(different)


IDENTITIES: dict[str, tuple[Callable[[bytes], bytes], bytes]] = {
    "request": (signatures.request_id, b"request"),
    "order": (signatures.order_hash, b"order"),
    "statement": (signatures.statement_hash, b"statement"),
}


@pytest.mark.parametrize(("identity", "tag"), IDENTITIES.values(), ids=IDENTITIES)
def test_a_message_is_its_hash(identity: Callable[[bytes], bytes], tag: bytes) -> None:
    """Of its bytes as received, in the domain of its kind."""
    assert identity(BODY) == hashed(tag, BODY)


def test_a_commitment_is_over_salt_and_root() -> None:
    """In this order: with both it opens, with one of them alone it does not."""
    assert signatures.commitment(SALT, LEDGER_ID) == hashed(b"commit", SALT, LEDGER_ID)
