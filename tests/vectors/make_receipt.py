"""Writes `receipt.json`, a small receipt with every hash and every signed byte on the way to it.

It is for whoever writes a verifier of his own by `docs/wire-formats.md`, and shows where his bytes leave ours. The
limits stand in its configuration, so it is made again when one of them changes; and when a format does.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from protocol import merkle
from protocol.configuration import configuration_hash, ledger_id
from protocol.hashing import ZERO_HASH, tagged
from protocol.records import RecordKey, record_hash
from protocol.signatures import (
    auditor_endorsement_input,
    commitment,
    configuration_input,
    ledger_endorsement_input,
    order_hash,
    order_input,
    request_id,
    statement_hash,
)
from protocol.signing import SigningKey
from schemas.epoch import Cut, Genesis, SignedConfiguration
from schemas.order import OrderHeader
from schemas.outcome import Outcome, ReadPin, WritePin
from schemas.receipt import Receipt
from schemas.request import RequestBody
from schemas.statement import AuditorEndorsement, Countersigned, LedgerEndorsement, Statement
from tests.parties import make_configuration

AUDITOR: Final = SigningKey.from_seed("p256", sha256(b"auditor").digest())
LEDGER: Final = SigningKey.from_seed("ed25519", sha256(b"ledger").digest())
REPLICA: Final = SigningKey.from_seed("p256", sha256(b"replica").digest())

SALT: Final = sha256(b"salt").digest()
VALUE: Final = b'"blue"'
COLOR: Final = RecordKey("object", "color")
AT_MS: Final = 1_800_000_000_000


def request_body(identity: bytes, entity: str) -> bytes:
    """The body of a request to put the color."""
    return RequestBody(
        format=1,
        ledger_id=identity,
        entity=entity,
        key_version=1,
        nonce=sha256(entity.encode()).digest()[:16],
        contract="object.put",
        contract_version=1,
        argument=b'{"key":"color","value":"blue"}',
        not_before_ms=AT_MS,
        expiry_ms=AT_MS + 600_000,
        after=-1,
        keys=(),
    ).to_bytes()


def outcome(identity: bytes, index: int, body: bytes) -> bytes:
    """Request 0 writes version 1 of the color, request 1 fails; real ones read keys and contracts, too."""
    asked, hashed = RequestBody.from_bytes(body), request_id(body)
    failed = index == 1
    pinned = record_hash(identity, COLOR, 1, False, VALUE, hashed, ZERO_HASH)
    return Outcome(
        index=index,
        request_id=hashed,
        entity=asked.entity,
        key_version=asked.key_version,
        contract=asked.contract,
        contract_version=asked.contract_version,
        status="failed" if failed else "ok",
        code="contract.failed" if failed else "",
        fail_text="no" if failed else "",
        output_hash=tagged("output", b"" if failed else b"null"),
        reads=() if failed else (ReadPin(*COLOR, 0, -1, -1, ZERO_HASH),),
        scans=(),
        writes=() if failed else (WritePin(*COLOR, 1, False, pinned),),
    ).to_bytes()


def vector() -> dict[str, Any]:
    """The receipt, its parts, and what a verifier makes of them; bytes in hex."""
    founded = _founded()
    identity = ledger_id(founded["parts"]["genesis"])
    bodies = [request_body(identity, entity) for entity in ("alice", "bob")]
    outcomes = [outcome(identity, index, body) for index, body in enumerate(bodies)]
    decided = _decided(identity, outcomes)
    receipt = Receipt(
        format=1,
        outcome=outcomes[0],
        output=b"null",
        index=0,
        path=merkle.path(outcomes, 0),
        signed=decided["countersigned"],
        genesis=founded["parts"]["genesis"],
        configurations=(founded["configuration"],),
    ).to_bytes()
    asked = request_id(bodies[0])
    of_outcome = {
        "leaf of the outcome": merkle.leaf_hash(outcomes[0]),
        "the path's one hash": merkle.leaf_hash(outcomes[1]),
        "outcomes_root": merkle.root(outcomes),
        'H("output", output)': tagged("output", b"null"),
        'H("request", body)': asked,
        'H("record", ...) of what it wrote': record_hash(identity, COLOR, 1, False, VALUE, asked, ZERO_HASH),
    }
    return {
        "about": "A receipt by docs/wire-formats.md, section 5. Bytes are in hex; the steps are those of section 4.",
        "ledger_id": identity.hex(),
        "body": bodies[0].hex(),
        "receipt": receipt.hex(),
        "parts": _in_hex(founded["parts"] | decided["parts"] | {"outcome": outcomes[0]}),
        "hashes": _in_hex(founded["hashes"] | decided["hashes"] | of_outcome),
        "signed": _in_hex(founded["signed"] | decided["signed"]),
    }


def _in_hex(named: dict[str, bytes]) -> dict[str, str]:
    return {name: data.hex() for name, data in named.items()}


def _founded() -> dict[str, Any]:
    """A genesis without records, and its one configuration."""
    genesis = Genesis(
        format=1,
        auditor_nonce=sha256(b"auditor nonce").digest(),
        auditor_key=AUDITOR.public_key,
        ledger_nonce=sha256(b"ledger nonce").digest(),
        ledger_key=LEDGER.public_key,
        administrators=(),
        records=(),
    ).to_bytes()
    identity = ledger_id(genesis)
    configuration = make_configuration(
        identity,
        0,
        ZERO_HASH,
        Cut(sequence=-1, statement_hash=ZERO_HASH, journal_size=0, journal_root=ZERO_HASH),
        auditor_store_id=ZERO_HASH,
        auditor_key=AUDITOR.public_key,
        ledger_key=LEDGER.public_key,
        replica_keys=(REPLICA.public_key,),
        n=1,
        b=0,
        k=1,
        engine_version="none",
        engine_answers=ZERO_HASH,
    ).to_bytes()
    by_auditor = configuration_input("auditor", identity, 0, configuration)
    by_ledger = configuration_input("ledger", identity, 0, configuration)
    signed = SignedConfiguration(
        configuration=configuration,
        auditor_signature=AUDITOR.sign(by_auditor),
        ledger_signature=LEDGER.sign(by_ledger),
        previous_auditor_signature=None,
        previous_ledger_signature=None,
    ).to_bytes()
    return {
        "configuration": signed,
        "parts": {"genesis": genesis, "configuration": configuration},
        "hashes": {
            'H("genesis", genesis), the ledger_id': identity,
            'H("configuration", configuration)': configuration_hash(configuration),
        },
        "signed": {"configuration, by the Auditor": by_auditor, "configuration, by the Ledger": by_ledger},
    }


def _decided(identity: bytes, outcomes: list[bytes]) -> dict[str, Any]:
    """What both parties sign about a first batch of these outcomes."""
    root = merkle.root(outcomes)
    header = OrderHeader(
        format=1,
        ledger_id=identity,
        epoch=0,
        sequence=0,
        previous_order_hash=ZERO_HASH,
        kind="normal",
        entries_root=sha256(b"entries").digest(),
        count=len(outcomes),
        ordered_at_ms=AT_MS,
        commitment=commitment(SALT, root),
    ).to_bytes()
    statement = Statement(
        format=1,
        ledger_id=identity,
        epoch=0,
        sequence=0,
        order_hash=order_hash(header),
        outcomes_root=root,
        count=len(outcomes),
        ordered_at_ms=AT_MS,
        kind="normal",
        previous_statement_hash=ZERO_HASH,
        journal_root=merkle.EMPTY_ROOT,
    ).to_bytes()
    return _endorsed(identity, root, header, statement)


def _endorsed(identity: bytes, root: bytes, header: bytes, statement: bytes) -> dict[str, Any]:
    """A statement about an order, with the three signatures."""
    order = order_input(identity, 0, header)
    order_signature = AUDITOR.sign(order)
    by_ledger = ledger_endorsement_input(identity, 0, statement, order_signature)
    by_auditor = auditor_endorsement_input(identity, 0, statement, SALT)
    of_ledger = LedgerEndorsement(statement_hash=statement_hash(statement), order_signature=order_signature).to_bytes()
    of_auditor = AuditorEndorsement(statement_hash=statement_hash(statement), salt=SALT).to_bytes()
    return {
        "countersigned": Countersigned(
            statement=statement,
            header=header,
            order_signature=order_signature,
            ledger_signature=LEDGER.sign(by_ledger),
            salt=SALT,
            auditor_signature=AUDITOR.sign(by_auditor),
        ),
        "parts": {
            "statement": statement,
            "header": header,
            "LedgerEndorsement": of_ledger,
            "AuditorEndorsement": of_auditor,
        },
        "hashes": {
            'H("statement", statement)': statement_hash(statement),
            'H("order", header)': order_hash(header),
            'H("commit", salt, outcomes_root)': commitment(SALT, root),
            'H("ledger-endorsement", LedgerEndorsement)': tagged("ledger-endorsement", of_ledger),
            'H("auditor-endorsement", AuditorEndorsement)': tagged("auditor-endorsement", of_auditor),
        },
        "signed": {"order": order, "statement, by the Ledger": by_ledger, "statement, by the Auditor": by_auditor},
    }


def main() -> None:
    Path(__file__).with_name("receipt.json").write_text(json.dumps(vector(), indent=1) + "\n")


if __name__ == "__main__":
    main()
