"""Kinds that rest on what one party signed and nothing else: two things for one place, a past rewritten.

| kind | whom it convicts |
|---|---|
| two orders | the Auditor |
| two statements | their signer; the Ledger is excused where the Auditor signed two orders |
| unsigned order | the Ledger, that endorsed an order signature that fails |
| commitment | the Auditor, whose salt does not open its order's commitment |
| rewritten past | whose later journal_root holds another statement than it signed |
| above the cut | who endorsed a statement above the cut of the next epoch, which both parties signed |
| two of a place | the Auditor, that signed two rejection batches of one number |
| rejection, then order | the Auditor, that ordered a request after rejecting it for good |
"""

from protocol import merkle
from protocol.evidence.case import Case
from protocol.evidence.exhibits import (
    ShownStatement,
    open_statement,
    show_entry,
    show_order,
    show_rejection,
    show_rejections,
    show_statement,
)
from protocol.evidence.verdicts import AUDITOR, LEDGER, NothingProvenError, Proven, Role
from protocol.hashing import ZERO_HASH
from protocol.signatures import SignatureCheck, commitment, order_hash_input, request_id
from schemas.exhibit import Leaf
from schemas.order import OrderHeader
from schemas.request import Envelope


def judge_two_orders(case: Case) -> Proven:
    """Two orders of one epoch and sequence."""
    first, second = (show_order(case, data, may_be_void=True) for data in case.parts("order"))
    _require_one_place(first.header, second.header)
    if first.order_hash == second.order_hash:
        raise NothingProvenError("both parts are the same order")
    return Proven(AUDITOR, f"it signed two orders for sequence {first.header.sequence}")


def _require_one_place(first: OrderHeader, second: OrderHeader) -> None:
    if (first.epoch, first.sequence) != (second.epoch, second.sequence):
        raise NothingProvenError("the two are of different places")


def judge_two_auditor_statements(case: Case) -> Proven:
    """Two statements of the Auditor for one epoch and sequence."""
    first, _ = _two_statements(case, "auditor")
    return Proven(AUDITOR, f"it signed two statements for sequence {first.statement.sequence}")


def judge_two_ledger_statements(case: Case) -> Proven:
    """Two statements of the Ledger for one epoch and sequence; excused where it was given two orders."""
    first, second = _two_statements(case, "ledger")
    sequence = first.statement.sequence
    if first.statement.order_hash == second.statement.order_hash:
        return Proven(LEDGER, f"it signed two statements about one order, sequence {sequence}")
    for shown in (first, second):
        if not _order_signature_verifies(case, shown):
            return Proven(LEDGER, f"it endorsed an order that the Auditor did not sign, sequence {sequence}")
    for shown in (first, second):
        case.authenticate(AUDITOR, shown.statement.epoch, _order_input(case, shown), shown.order_signature)
    return Proven(AUDITOR, f"it signed two orders for sequence {sequence}; the Ledger was given both")


def _two_statements(case: Case, signer: Role) -> tuple[ShownStatement, ShownStatement]:
    first, second = (open_statement(case, data, signer, may_be_void=True) for data in case.parts(f"{signer} statement"))
    if (first.statement.epoch, first.statement.sequence) != (
        second.statement.epoch,
        second.statement.sequence,
    ):
        raise NothingProvenError("the two are of different places")
    if first.statement_hash == second.statement_hash:
        raise NothingProvenError("both parts are the same statement")
    return first, second


def _order_input(case: Case, shown: ShownStatement) -> bytes:
    return order_hash_input(case.ledger_id, shown.statement.epoch, shown.statement.order_hash)


def _order_signature_verifies(case: Case, shown: ShownStatement) -> bool:
    key = case.key("auditor", shown.statement.epoch)
    return case.verifies(SignatureCheck(key, _order_input(case, shown), shown.order_signature))


def judge_unsigned_order(case: Case) -> Proven:
    """The one failing signature that proves something: the Ledger vouches for it with its own."""
    shown = show_statement(case, "ledger statement", "ledger")
    if _order_signature_verifies(case, shown):
        raise NothingProvenError("the order signature verifies")
    return Proven(LEDGER, f"it endorsed an order that the Auditor did not sign, sequence {shown.statement.sequence}")


def judge_commitment(case: Case) -> Proven:
    """The Auditor's endorsement of a statement about its own order, with a salt that does not open it."""
    order = show_order(case, case.part("order"))
    shown = show_statement(case, "auditor statement", "auditor")
    if shown.statement.order_hash != order.order_hash:
        raise NothingProvenError("the statement is about another order")
    if commitment(shown.salt, shown.statement.outcomes_root) == order.header.commitment:
        raise NothingProvenError("the commitment opens")
    return Proven(AUDITOR, f"its result at sequence {order.header.sequence} is not the one its order committed to")


def judge_rewritten_past(case: Case, signer: Role) -> Proven:
    """A statement, and a later one of the same signer whose journal holds another at that sequence."""
    earlier = show_statement(case, "earlier", signer)
    later = show_statement(case, "later", signer)
    shown = Leaf.from_bytes(case.part("leaf"))
    size = later.statement.sequence
    if shown.index != earlier.statement.sequence:
        raise NothingProvenError("the leaf is of another sequence")
    merkle.verify_path(shown.leaf, shown.index, size, shown.path, later.statement.journal_root)
    if shown.leaf == earlier.statement_hash:
        raise NothingProvenError("the journal holds this very statement")
    return Proven(later.signer, f"its journal at sequence {size} holds another statement {shown.index} than it signed")


def judge_above_cut(case: Case, signer: Role) -> Proven:
    """An endorsement above the cut of its epoch, which its signer signed with the next configuration."""
    shown = show_statement(case, "statement", signer, may_be_void=True)
    epoch, sequence = shown.statement.epoch, shown.statement.sequence
    cut = case.configuration(epoch + 1).cut.sequence
    if sequence <= cut:
        raise NothingProvenError("the statement does not lie above the cut")
    return Proven(shown.signer, f"it endorsed sequence {sequence} in epoch {epoch}, which ends at {cut}")


def judge_two_rejections(case: Case) -> Proven:
    """Two rejection batches of one epoch and number."""
    first, second = (show_rejections(case, data) for data in case.parts("rejections"))
    number = first.header.rejection_number
    if (first.header.epoch, number) != (second.header.epoch, second.header.rejection_number):
        raise NothingProvenError("the two are of different places")
    if first.header_hash == second.header_hash:
        raise NothingProvenError("both parts are the same batch")
    return Proven(AUDITOR, f"it signed two rejection batches with number {number}")


def judge_rejected_then_ordered(case: Case) -> Proven:
    """A final rejection, and in the same epoch a later order of the same request."""
    rejections, rejection = show_rejection(case, case.part("rejection"))
    ordered = show_entry(case, case.part("entry"))
    header = ordered.order.header
    if not rejection.final or rejection.request_id == ZERO_HASH:
        raise NothingProvenError("the rejection is not final")
    if header.epoch != rejections.header.epoch or header.sequence <= rejections.header.as_of_sequence:
        raise NothingProvenError("the order is not a later one of the same epoch")
    if request_id(Envelope.from_bytes(ordered.entry.envelope).body) != rejection.request_id:
        raise NothingProvenError("the order holds another request")
    return Proven(AUDITOR, f"it ordered a request at sequence {header.sequence} after rejecting it for good")
