"""Who signs what, as the exact bytes that are signed, and the check that goes with each.

Rules:

1. A signature always binds role, kind, ledger, epoch, schema and message hash (PROTOCOL 1.1); a client signs
   with epoch 0, because a request outlives a change of epoch.
2. A message is identified by its hash, never by its signature (PROTOCOL 1.3).
3. Nothing here signs or verifies: machines stay pure, and a stage has the checks done in threads.
"""

from functools import lru_cache
from typing import NamedTuple

from protocol.hashing import tagged
from protocol.signing import Role, signature_input
from schemas.epoch import Configuration, PublicKey
from schemas.order import OrderHeader
from schemas.piece import PieceHeader
from schemas.rejection import Refusal, RejectionsHeader
from schemas.request import RequestBody
from schemas.statement import AuditorEndorsement, LedgerEndorsement


class SignatureCheck(NamedTuple):
    """A signature to be verified: by which key, over which bytes."""

    key: PublicKey
    signed: bytes
    signature: bytes


def request_id(body: bytes) -> bytes:
    """Identity of a request: the hash of its body's bytes."""
    return tagged("request", body)


def order_hash(header: bytes) -> bytes:
    """Identity of an order: the hash of its header's bytes."""
    return tagged("order", header)


def statement_hash(statement: bytes) -> bytes:
    """Identity of a statement, and its leaf in the journal."""
    return tagged("statement", statement)


@lru_cache(maxsize=1024)
def request_batch_input(ledger_id: bytes, root: bytes, count: int) -> bytes:
    """What a client signs for `count` requests sent together, `root` being over their request_ids.

    Remembered, because hundreds of requests share one root.
    """
    batch_hash = tagged("request-batch", root, count.to_bytes(8, "big"))
    return signature_input("client", "request-batch", ledger_id, 0, RequestBody.avro.schema_hash, batch_hash)


def order_input(ledger_id: bytes, epoch: int, header: bytes) -> bytes:
    """What the Auditor signs of an order."""
    return order_hash_input(ledger_id, epoch, order_hash(header))


def order_hash_input(ledger_id: bytes, epoch: int, identity: bytes) -> bytes:
    """The same, for who knows only the order's hash: it stands in every statement."""
    return signature_input("auditor", "order", ledger_id, epoch, OrderHeader.avro.schema_hash, identity)


def ledger_endorsement_input(ledger_id: bytes, epoch: int, statement: bytes, order_signature: bytes) -> bytes:
    """What the Ledger signs of a statement: it names the order signature it acted upon."""
    body = LedgerEndorsement(
        statement_hash=statement_hash(statement), order_signature=order_signature
    ).to_bytes()
    return signature_input(
        "ledger",
        "statement",
        ledger_id,
        epoch,
        LedgerEndorsement.avro.schema_hash,
        tagged("ledger-endorsement", body),
    )


def auditor_endorsement_input(ledger_id: bytes, epoch: int, statement: bytes, salt: bytes) -> bytes:
    """What the Auditor signs of a statement: it opens the commitment of its order."""
    body = AuditorEndorsement(statement_hash=statement_hash(statement), salt=salt).to_bytes()
    return signature_input(
        "auditor",
        "statement",
        ledger_id,
        epoch,
        AuditorEndorsement.avro.schema_hash,
        tagged("auditor-endorsement", body),
    )


def rejections_input(ledger_id: bytes, epoch: int, header: bytes) -> bytes:
    """What the Auditor signs of a rejection batch."""
    schema_hash = RejectionsHeader.avro.schema_hash
    return signature_input(
        "auditor", "rejections", ledger_id, epoch, schema_hash, tagged("rejections", header)
    )


def refusal_input(ledger_id: bytes, epoch: int, refusal: bytes) -> bytes:
    """What the Ledger signs when it refuses an order."""
    return signature_input(
        "ledger", "refusal", ledger_id, epoch, Refusal.avro.schema_hash, tagged("refusal", refusal)
    )


def configuration_input(role: Role, ledger_id: bytes, epoch: int, configuration: bytes) -> bytes:
    """What a party ("auditor" or "ledger") signs of an epoch's configuration."""
    schema_hash = Configuration.avro.schema_hash
    return signature_input(
        role, "configuration", ledger_id, epoch, schema_hash, tagged("configuration", configuration)
    )


def piece_input(ledger_id: bytes, epoch: int, header: bytes) -> bytes:
    """What a replica signs of its piece."""
    return signature_input(
        "replica", "piece", ledger_id, epoch, PieceHeader.avro.schema_hash, tagged("piece", header)
    )


def commitment(salt: bytes, outcomes_root: bytes) -> bytes:
    """What an order's header says of the Auditor's own result before the Ledger's is seen."""
    return tagged("commit", salt, outcomes_root)
