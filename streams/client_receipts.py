"""How a client checks what comes back: receipts and rejections (PROTOCOL 5).

Rules:

1. The shared part of a receipts message (statement, header, three signatures, the root over all outcomes) is
   checked once; each request then needs only a look at its own leaf.
2. A client trusts the ledger_id of its own configuration and nothing that came over the log.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from protocol import merkle
from protocol.configuration import Epochs
from protocol.countersigned import check_parts
from protocol.errors import CountersignError
from protocol.hashing import tagged
from protocol.signatures import rejections_input
from protocol.signing import verify_key
from schemas.errors import MalformedMessageError
from schemas.leaves import outcome_begin, outcome_end_of_head
from schemas.outcome import Outcome, request_id_of
from schemas.receipt import Receipt, Receipts
from schemas.rejection import RejectionEntry, Rejections, RejectionsHeader
from schemas.request import RequestBody
from schemas.statement import Statement

FORMAT = 1


class ContractFailedError(CountersignError):
    """The contract ran and failed; both parties signed that it did.

    Attributes:
        receipt: which proves it.
    """

    def __init__(self, receipt: "ClientReceipt") -> None:
        super().__init__(receipt.code, receipt.fail_text)
        self.receipt = receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedReceipts:
    """The receipts of one decision, their shared part checked."""

    epochs: Epochs
    statement: Statement
    receipts: Receipts

    def request_ids(self) -> Iterator[bytes]:
        """Whose receipts they are, in the order of the outcomes."""
        return map(request_id_of, self.receipts.outcomes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientReceipt:
    """A verified receipt: both parties signed this outcome of this request.

    Attributes:
        request_id: of the request.
        sequence: of its batch; the serialization order.
        index: within the batch.
        status: "ok", or "failed" with a `code` and what the contract said.
    """

    request_id: bytes
    sequence: int
    index: int
    status: str
    code: str
    fail_text: str
    shared: CheckedReceipts

    @property
    def ok(self) -> bool:
        """Whether the contract succeeded."""
        return self.status == "ok"

    @property
    def output(self) -> Any:
        """What the contract returned.

        Raises:
            ContractFailedError: it failed.
        """
        if not self.ok:
            raise ContractFailedError(self)
        return orjson.loads(self.shared.receipts.outputs[self.index])

    @property
    def ordered_at_ms(self) -> int:
        """When the Auditor ordered it, as both parties signed it."""
        return self.shared.statement.ordered_at_ms

    @property
    def outcome(self) -> Outcome:
        """What was read and written, version by version."""
        return Outcome.from_bytes(self.shared.receipts.outcomes[self.index])

    def to_bytes(self) -> bytes:
        """A self-contained receipt, to be kept and checked anywhere (`countersign receipt verify`)."""
        receipts, epochs = self.shared.receipts, self.shared.epochs
        return Receipt(
            format=FORMAT,
            outcome=receipts.outcomes[self.index],
            output=receipts.outputs[self.index],
            index=self.index,
            path=merkle.path(receipts.outcomes, self.index),
            signed=receipts.signed,
            genesis=epochs.genesis_bytes,
            configurations=epochs.signed[: self.shared.statement.epoch + 1],
        ).to_bytes()


def check_receipts(data: bytes, epochs: Epochs) -> CheckedReceipts:
    """Check the shared part of a message on `receipts`.

    Raises:
        CountersignError, MalformedMessageError: which step failed.
    """
    receipts = Receipts.from_message(data)
    checked = check_parts(receipts.signed, epochs)
    statement = checked.statement
    if not len(receipts.outcomes) == len(receipts.outputs) == statement.count:
        raise CountersignError("receipt.path", "the number of outcomes")
    if merkle.root(receipts.outcomes) != statement.outcomes_root:
        raise CountersignError("receipt.path", f"sequence {statement.sequence}")
    for check in checked.checks:
        verify_key(*check.key).verify(check.signed, check.signature)
    return CheckedReceipts(epochs=epochs, statement=statement, receipts=receipts)


def check_outcome(shared: CheckedReceipts, index: int, request_id: bytes, body: RequestBody) -> ClientReceipt:
    """The receipt of one's own request.

    Raises:
        CountersignError: `receipt.request` or `receipt.time`: what both parties signed is not what was asked for.
        MalformedMessageError: the output was altered on the way; no signature is over it but through its hash.
    """
    outcome = shared.receipts.outcomes[index]
    asked = outcome_begin(index, request_id, body.entity, body.key_version, body.contract, body.contract_version)
    if not outcome.startswith(asked):
        raise CountersignError("receipt.request", request_id.hex())
    status, code, fail_text, output_hash = outcome_end_of_head(outcome, len(asked))
    if tagged("output", shared.receipts.outputs[index]) != output_hash:
        raise MalformedMessageError("an output that is not the one both parties signed")
    if shared.statement.sequence <= body.after:
        raise CountersignError(
            "receipt.time", f"sequence {shared.statement.sequence} is not after {body.after}"
        )
    return ClientReceipt(
        request_id=request_id,
        sequence=shared.statement.sequence,
        index=index,
        status=status,
        code=code,
        fail_text=fail_text,
        shared=shared,
    )


def check_rejections(data: bytes, epochs: Epochs) -> tuple[RejectionEntry, ...]:
    """The entries of a message on `rejections` that the Auditor signed.

    Raises:
        CountersignError, MalformedMessageError: it is none.
    """
    rejections = Rejections.from_message(data)
    header = RejectionsHeader.from_bytes(rejections.header)
    if header.ledger_id != epochs.ledger_id or merkle.root(rejections.entries) != header.entries_root:
        raise MalformedMessageError("rejections of another ledger, or entries that are not signed")
    key = epochs.at(header.epoch).auditor_key
    verify_key(*key).verify(
        rejections_input(epochs.ledger_id, header.epoch, rejections.header), rejections.signature
    )
    return tuple(RejectionEntry.from_bytes(entry) for entry in rejections.entries)
