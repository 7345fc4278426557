"""Receipts: what a client keeps of a request, and the offline check of it (PROTOCOL 5).

Rules:

1. The reader brings the ledger_id he trusts, and the body of his own request; nothing of the kind is taken
   from the file.
2. The steps are those of PROTOCOL 5, in its order, and every step raises its own code:

| step | what must hold | codes |
|---|---|---|
| 1 | bounds, one form of bytes | receipt.malformed |
| 2 | genesis of the trusted ledger, its epochs | genesis.*, epoch.malformed, .chain, .keys, .signature |
| 3 | the statement's ledger, epoch and place between the cuts | statement.ledger, epoch.unknown, epoch.cut |
| 4 | its order: hash, copied fields, signature | statement.order, statement.order_signature |
| 5 | both endorsements; the commitment opens | statement.ledger_signature, .auditor_signature, .commitment |
| 6 | the outcome's place under the outcomes root | receipt.path |
| 7 | the outcome is of my request, the output its own | receipt.request, receipt.output |
| 8 | sequence and time as the request allowed | receipt.time |
"""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol import merkle
from protocol.configuration import check_newest_epochs, limits_of
from protocol.countersigned import CheckedStatement, check_parts
from protocol.errors import CountersignError
from protocol.hashing import tagged
from protocol.limits import Limits
from protocol.requests import RequestError, check_times
from protocol.signatures import request_id
from protocol.signing import verify_key
from schemas.errors import MalformedMessageError
from schemas.outcome import Outcome
from schemas.receipt import Receipt, Receipts
from schemas.request import RequestBody
from schemas.statement import Statement

FORMAT = 1

_SIGNATURES = ("statement.order_signature", "statement.ledger_signature", "statement.auditor_signature")


class ReceiptError(CountersignError):
    """A receipt that does not hold; `code` says at which step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedReceipt:
    """What a receipt proves: both parties signed this outcome, at this place.

    Attributes:
        output: canonical JSON, empty if the request failed.
    """

    outcome: Outcome
    output: bytes
    statement: Statement
    statement_hash: bytes

    @property
    def failed(self) -> bool:
        """Whether the request was executed and failed: `outcome.code` says how."""
        return self.outcome.status != "ok"


def build_receipt(
    receipts: Receipts, identity: bytes, genesis: bytes, configurations: Sequence[bytes]
) -> Receipt:
    """Cut the receipt of one request out of a decision's receipts. What comes out is not verified.

    Args:
        receipts: as received.
        identity: the request_id.
        genesis: the bytes of the ledger's `Genesis`.
        configurations: the bytes of each `SignedConfiguration`, at least up to the statement's epoch.

    Raises:
        ReceiptError: `receipt.malformed`, or `receipt.request` if the request is not among them.
    """
    index = _index_of(receipts, identity)
    return Receipt(
        format=FORMAT,
        outcome=receipts.outcomes[index],
        output=receipts.outputs[index],
        index=index,
        path=merkle.path(receipts.outcomes, index),
        signed=receipts.signed,
        genesis=genesis,
        configurations=tuple(configurations),
    )


def _index_of(receipts: Receipts, identity: bytes) -> int:
    """Where the outcome of a request stands."""
    if len(receipts.outcomes) != len(receipts.outputs):
        raise ReceiptError("receipt.malformed", "outputs are not as many as outcomes")
    for index, outcome_bytes in enumerate(receipts.outcomes):
        if identity in outcome_bytes and _outcome(outcome_bytes).request_id == identity:
            return index
    raise ReceiptError("receipt.request", f"request {identity.hex()} is not in this decision")


def verify_receipt(
    data: bytes,
    trusted_ledger_id: bytes,
    body: bytes | None,
    limits: Limits,
    known: Sequence[bytes] = (),
) -> VerifiedReceipt:
    """Check a receipt without any server.

    Args:
        data: the bytes of a `Receipt`.
        trusted_ledger_id: of the ledger the reader means.
        body: the bytes of the reader's own `RequestBody`. Without it the outcome is proved, but not that it
            is the one asked for, nor that it came in its time.
        limits: of the reader: `message_bytes` bounds what is read.
        known: the bytes of the `SignedConfiguration`s the reader knows himself; they may be more than the
            receipt has, and then say where its epoch ended.

    Raises:
        ReceiptError, ConfigurationError, CountersignedError: with the code of the step that failed.
    """
    receipt = _parse(data, limits)
    epochs = check_newest_epochs(trusted_ledger_id, receipt.genesis, receipt.configurations, known)
    checked = check_parts(receipt.signed, epochs)
    _verify_signatures(checked)
    outcome = _check_place(receipt, checked.statement)
    if tagged("output", receipt.output) != outcome.output_hash:
        raise ReceiptError("receipt.output", "it does not have the hash in the outcome")
    if body is not None:
        _check_request(body, outcome, checked, limits_of(epochs.at(checked.statement.epoch)))
    return VerifiedReceipt(
        outcome=outcome,
        output=receipt.output,
        statement=checked.statement,
        statement_hash=checked.statement_hash,
    )


def _parse(data: bytes, limits: Limits) -> Receipt:
    """Step 1."""
    if len(data) > limits.message_bytes:
        raise ReceiptError("receipt.malformed", f"{len(data)} bytes")
    try:
        receipt = Receipt.from_bytes(data)
    except MalformedMessageError as error:
        raise ReceiptError("receipt.malformed", str(error)) from error
    if receipt.format != FORMAT:
        raise ReceiptError("receipt.malformed", f"format {receipt.format}")
    return receipt


def _verify_signatures(checked: CheckedStatement) -> None:
    """The signatures of steps 4 and 5."""
    for check, code in zip(checked.checks, _SIGNATURES, strict=True):
        try:
            verify_key(check.key.algorithm, check.key.key).verify(check.signed, check.signature)
        except CountersignError as error:
            raise ReceiptError(code, f"at sequence {checked.statement.sequence}") from error


def _check_place(receipt: Receipt, statement: Statement) -> Outcome:
    """Step 6."""
    try:
        merkle.verify_path(
            receipt.outcome, receipt.index, statement.count, receipt.path, statement.outcomes_root
        )
    except merkle.MerkleError as error:
        raise ReceiptError("receipt.path", error.detail) from error
    outcome = _outcome(receipt.outcome)
    if outcome.index != receipt.index:
        raise ReceiptError("receipt.path", f"outcome {outcome.index} stands at {receipt.index}")
    return outcome


def _outcome(outcome_bytes: bytes) -> Outcome:
    try:
        return Outcome.from_bytes(outcome_bytes)
    except MalformedMessageError as error:
        raise ReceiptError("receipt.malformed", str(error)) from error


def _check_request(body: bytes, outcome: Outcome, checked: CheckedStatement, limits: Limits) -> None:
    """Steps 7 and 8."""
    if outcome.request_id != request_id(body):
        raise ReceiptError("receipt.request", f"it is of request {outcome.request_id.hex()}")
    asked = RequestBody.from_bytes(body)
    of_call = (asked.entity, asked.key_version, asked.contract, asked.contract_version)
    if of_call != (outcome.entity, outcome.key_version, outcome.contract, outcome.contract_version):
        raise ReceiptError("receipt.request", "entity, key or contract are not those that were asked")
    statement = checked.statement
    if statement.sequence <= asked.after:
        raise ReceiptError("receipt.time", f"sequence {statement.sequence} is not after {asked.after}")
    try:
        check_times(asked, statement.ordered_at_ms, limits)
    except RequestError as error:
        raise ReceiptError("receipt.time", error.detail) from error
