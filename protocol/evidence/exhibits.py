"""Opening the parts of evidence: parsing, ledger, place, path and signature, before anything is believed.

What comes out of these functions was signed by the party that is named, for this ledger and a sequence that
is not void. Everything that is wrong raises, so a judge never meets it.
"""

from dataclasses import dataclass

from protocol import merkle
from protocol.countersigned import check_parts
from protocol.evidence.case import Case
from protocol.evidence.verdicts import AUDITOR, LEDGER, CannotJudgeError, Culprit, NothingProvenError, Role
from protocol.hashing import tagged
from protocol.signatures import (
    auditor_endorsement_input,
    ledger_endorsement_input,
    order_hash,
    order_input,
    rejections_input,
    statement_hash,
)
from schemas.exhibit import (
    AuditorStatement,
    Decided,
    DecidedLeaf,
    Leaf,
    LedgerStatement,
    SignedHeader,
    SignedLeaf,
)
from schemas.order import Entry, OrderHeader
from schemas.outcome import Outcome
from schemas.rejection import RejectionEntry, RejectionsHeader
from schemas.statement import Countersigned, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownOrder:
    """An order's header, signed by the Auditor."""

    header: OrderHeader
    order_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEntry:
    """An entry of an order, under its signed root. It need not parse: the Auditor signed it all the same."""

    order: ShownOrder
    index: int
    entry_bytes: bytes

    @property
    def entry(self) -> Entry:
        """The entry, parsed.

        Raises:
            MalformedMessageError: it does not parse.
        """
        return Entry.from_bytes(self.entry_bytes)

    @property
    def place(self) -> tuple[int, int]:
        """Sequence and index: the writer of all that this entry writes."""
        return self.order.header.sequence, self.index


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownStatement:
    """A statement that one party signed.

    Attributes:
        order_signature: what the Ledger says it acted upon; empty for the Auditor.
        salt: what the Auditor says opens its commitment; empty for the Ledger.
    """

    signer: Culprit
    statement: Statement
    statement_hash: bytes
    order_signature: bytes = b""
    salt: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownOutcome:
    """An outcome under a signed root; its writer's place is (sequence, index)."""

    sequence: int
    index: int
    outcome_bytes: bytes

    @property
    def outcome(self) -> Outcome:
        """The outcome, parsed.

        Raises:
            MalformedMessageError: it does not parse.
        """
        return Outcome.from_bytes(self.outcome_bytes)


def show_order(case: Case, data: bytes, *, may_be_void: bool = False) -> ShownOrder:
    """Open a `SignedHeader` of an order."""
    shown = SignedHeader.from_bytes(data)
    return _signed_order(case, shown.header, shown.signature, may_be_void=may_be_void)


def show_entry(case: Case, data: bytes) -> ShownEntry:
    """Open a `SignedLeaf` of an order."""
    shown = SignedLeaf.from_bytes(data)
    order = _signed_order(case, shown.header, shown.signature, may_be_void=False)
    header = order.header
    if header.kind in ("audit", "last"):
        raise CannotJudgeError(f"an entry of an order of kind {header.kind}")
    merkle.verify_path(shown.leaf, shown.index, header.count, shown.path, header.entries_root)
    return ShownEntry(order=order, index=shown.index, entry_bytes=shown.leaf)


def _signed_order(case: Case, header_bytes: bytes, signature: bytes, *, may_be_void: bool) -> ShownOrder:
    header = OrderHeader.from_bytes(header_bytes)
    case.require_ledger(header.ledger_id, header.format)
    if not may_be_void:
        case.require_place(header.epoch, header.sequence)
    case.configuration(header.epoch)
    case.authenticate(AUDITOR, header.epoch, order_input(case.ledger_id, header.epoch, header_bytes), signature)
    return ShownOrder(header=header, order_hash=order_hash(header_bytes))


def show_statement(case: Case, name: str, signer: Role, *, may_be_void: bool = False) -> ShownStatement:
    """Open the part of this name: a statement that one party signed."""
    return open_statement(case, case.part(name), signer, may_be_void=may_be_void)


def open_statement(case: Case, data: bytes, signer: Role, *, may_be_void: bool = False) -> ShownStatement:
    """Open a `LedgerStatement` or an `AuditorStatement`."""
    if signer == "ledger":
        by_ledger = LedgerStatement.from_bytes(data)
        statement = _placed_statement(case, by_ledger.statement, may_be_void=may_be_void)
        signed = ledger_endorsement_input(
            case.ledger_id, statement.epoch, by_ledger.statement, by_ledger.order_signature
        )
        case.authenticate(LEDGER, statement.epoch, signed, by_ledger.ledger_signature)
        return ShownStatement(
            signer=LEDGER,
            statement=statement,
            statement_hash=statement_hash(by_ledger.statement),
            order_signature=by_ledger.order_signature,
        )
    by_auditor = AuditorStatement.from_bytes(data)
    statement = _placed_statement(case, by_auditor.statement, may_be_void=may_be_void)
    signed = auditor_endorsement_input(case.ledger_id, statement.epoch, by_auditor.statement, by_auditor.salt)
    case.authenticate(AUDITOR, statement.epoch, signed, by_auditor.auditor_signature)
    return ShownStatement(
        signer=AUDITOR,
        statement=statement,
        statement_hash=statement_hash(by_auditor.statement),
        salt=by_auditor.salt,
    )


def _placed_statement(case: Case, data: bytes, *, may_be_void: bool) -> Statement:
    statement = Statement.from_bytes(data)
    case.require_ledger(statement.ledger_id, statement.format)
    case.configuration(statement.epoch)
    if not may_be_void:
        case.require_place(statement.epoch, statement.sequence)
    return statement


def show_decided(case: Case, data: bytes) -> ShownStatement:
    """Open a `Decided`: a statement that both parties signed."""
    return open_countersigned(case, Decided.from_bytes(data).signed)


def show_decided_outcome(case: Case, data: bytes) -> ShownOutcome:
    """Open a `DecidedLeaf`: an outcome under a statement that both parties signed."""
    shown = DecidedLeaf.from_bytes(data)
    statement = open_countersigned(case, shown.signed).statement
    merkle.verify_path(shown.leaf, shown.index, statement.count, shown.path, statement.outcomes_root)
    return ShownOutcome(sequence=statement.sequence, index=shown.index, outcome_bytes=shown.leaf)


def open_countersigned(case: Case, signed: Countersigned) -> ShownStatement:
    """Check a statement that both parties signed."""
    for part in (Statement.from_bytes(signed.statement), OrderHeader.from_bytes(signed.header)):
        case.require_ledger(part.ledger_id, part.format)  # first: what another format says cannot be judged
    checked = check_parts(signed, case.epochs)
    case.require_place(checked.statement.epoch, checked.statement.sequence)
    for signer, check in zip((AUDITOR, LEDGER, AUDITOR), checked.checks, strict=True):
        case.authenticate(signer, checked.statement.epoch, check.signed, check.signature)
    return ShownStatement(signer=AUDITOR, statement=checked.statement, statement_hash=checked.statement_hash)


def show_leaf(data: bytes, statement: Statement) -> ShownOutcome:
    """Open a `Leaf` under a statement that is signed."""
    shown = Leaf.from_bytes(data)
    merkle.verify_path(shown.leaf, shown.index, statement.count, shown.path, statement.outcomes_root)
    return ShownOutcome(sequence=statement.sequence, index=shown.index, outcome_bytes=shown.leaf)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRejections:
    """The header of a rejection batch, signed by the Auditor."""

    header: RejectionsHeader
    header_hash: bytes


def show_rejections(case: Case, data: bytes) -> ShownRejections:
    """Open a `SignedHeader` of a rejection batch."""
    shown = SignedHeader.from_bytes(data)
    return _signed_rejections(case, shown.header, shown.signature)


def show_rejection(case: Case, data: bytes) -> tuple[ShownRejections, RejectionEntry]:
    """Open a `SignedLeaf` of a rejection batch."""
    shown = SignedLeaf.from_bytes(data)
    rejections = _signed_rejections(case, shown.header, shown.signature)
    header = rejections.header
    merkle.verify_path(shown.leaf, shown.index, header.count, shown.path, header.entries_root)
    return rejections, RejectionEntry.from_bytes(shown.leaf)


def _signed_rejections(case: Case, header_bytes: bytes, signature: bytes) -> ShownRejections:
    header = RejectionsHeader.from_bytes(header_bytes)
    if header.ledger_id != case.ledger_id:
        raise NothingProvenError("a part is of another ledger", "evidence.ledger")
    case.configuration(header.epoch)
    case.authenticate(AUDITOR, header.epoch, rejections_input(case.ledger_id, header.epoch, header_bytes), signature)
    return ShownRejections(header=header, header_hash=tagged("rejections", header_bytes))
