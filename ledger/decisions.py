"""Reading a decision: the Ledger needs only its countersigned statement, to know how far the Auditor
agrees.
"""

from dataclasses import dataclass

from protocol.configuration import Epochs
from protocol.journal import FORMAT
from protocol.signatures import SignatureCheck, auditor_endorsement_input
from schemas.errors import MalformedMessageError
from schemas.statement import Countersigned, DecisionHead, Statement
from storage.effects import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldDecision:
    """A decision whose head parses, with the message it came in."""

    message: Message
    signed: Countersigned
    statement: Statement

    def signature_check(self, epochs: Epochs) -> SignatureCheck:
        """The check of the Auditor's endorsement."""
        key = epochs.at(self.statement.epoch).auditor_key
        place = (epochs.ledger_id, self.statement.epoch)
        endorsed = auditor_endorsement_input(*place, self.signed.statement, self.signed.salt)
        return SignatureCheck(key, endorsed, self.signed.auditor_signature)


def hold_decision(message: Message, epochs: Epochs) -> HeldDecision | None:
    """Parse the head of a message on `decisions`; None if it is none of this ledger. Nothing of it is
    authentic yet.
    """
    try:
        signed = DecisionHead.of_decision(message.value or b"").signed
        statement = Statement.from_bytes(signed.statement)
    except MalformedMessageError:
        return None
    if (statement.format, statement.ledger_id) != (FORMAT, epochs.ledger_id):
        return None
    if not 0 <= statement.epoch < len(epochs.configurations):
        return None
    return HeldDecision(message=message, signed=signed, statement=statement)
