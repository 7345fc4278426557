"""A statement with both endorsements: what must agree inside it, and the three signatures to check.

Used alike by replicas, learners, the Ledger (for decisions) and whoever holds a receipt (PROTOCOL 5, steps 3
to 5).
"""

from dataclasses import dataclass

from protocol.configuration import Epochs
from protocol.errors import CountersignError
from protocol.journal import FORMAT
from protocol.signatures import (
    SignatureCheck,
    auditor_endorsement_input,
    commitment,
    ledger_endorsement_input,
    order_hash,
    order_input,
    statement_hash,
)
from schemas.errors import MalformedMessageError
from schemas.order import OrderHeader
from schemas.statement import Countersigned, Statement


class CountersignedError(CountersignError):
    """A statement whose parts do not agree; `code` is one of the `statement.*` codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStatement:
    """A statement whose parts agree with each other and with its epoch; its signatures are still to be
    verified.

    Attributes:
        checks: order signature, Ledger's endorsement, Auditor's endorsement, in this order.
    """

    statement: Statement
    statement_hash: bytes
    header: OrderHeader
    checks: tuple[SignatureCheck, SignatureCheck, SignatureCheck]


def check_parts(signed: Countersigned, epochs: Epochs) -> CheckedStatement:
    """Check everything about a countersigned statement but its signatures.

    Raises:
        CountersignedError: `statement.malformed`, `statement.ledger`, `statement.order`,
            `statement.commitment`.
        ConfigurationError: `epoch.unknown`, `epoch.cut`.
    """
    try:
        statement = Statement.from_bytes(signed.statement)
        header = OrderHeader.from_bytes(signed.header)
    except MalformedMessageError as error:
        raise CountersignedError("statement.malformed", str(error)) from error
    if (statement.format, header.format) != (FORMAT, FORMAT):
        raise CountersignedError("statement.malformed", f"formats {statement.format} and {header.format}")
    if statement.ledger_id != epochs.ledger_id:
        raise CountersignedError("statement.ledger", statement.ledger_id.hex())
    epochs.check_place(statement.epoch, statement.sequence)
    if order_hash(signed.header) != statement.order_hash or not header_copied(statement, header):
        raise CountersignedError("statement.order", f"at sequence {statement.sequence}")
    if commitment(signed.salt, statement.outcomes_root) != header.commitment:
        raise CountersignedError("statement.commitment", f"at sequence {statement.sequence}")
    return CheckedStatement(
        statement=statement,
        statement_hash=statement_hash(signed.statement),
        header=header,
        checks=signature_checks(signed, statement, epochs),
    )


def header_copied(statement: Statement, header: OrderHeader) -> bool:
    """Whether a statement repeats its order's header faithfully."""
    return (
        statement.ledger_id == header.ledger_id
        and statement.epoch == header.epoch
        and statement.sequence == header.sequence
        and statement.count == header.count
        and statement.ordered_at_ms == header.ordered_at_ms
        and statement.kind == header.kind
    )


def signature_checks(
    signed: Countersigned, statement: Statement, epochs: Epochs
) -> tuple[SignatureCheck, SignatureCheck, SignatureCheck]:
    """The three signatures of a countersigned statement: order, Ledger's endorsement, Auditor's
    endorsement.
    """
    configuration = epochs.at(statement.epoch)
    place = (statement.ledger_id, statement.epoch)
    ledger_input = ledger_endorsement_input(*place, signed.statement, signed.order_signature)
    auditor_input = auditor_endorsement_input(*place, signed.statement, signed.salt)
    return (
        SignatureCheck(configuration.auditor_key, order_input(*place, signed.header), signed.order_signature),
        SignatureCheck(configuration.ledger_key, ledger_input, signed.ledger_signature),
        SignatureCheck(configuration.auditor_key, auditor_input, signed.auditor_signature),
    )
