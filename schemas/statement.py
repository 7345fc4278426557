"""What both parties sign, and the messages that carry it (PROTOCOL 2)."""

from dataclasses import dataclass
from typing import NamedTuple, Self

from schemas.carriers import Carrier
from schemas.codec import Message, One
from schemas.order import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(Message, schema="statement"):
    """The small structure both parties sign about one batch; signing it is signing all before it.

    Attributes:
        journal_root: RFC 6962 root over the hashes of all statements before this one.
    """

    format: int
    ledger_id: bytes
    epoch: int
    sequence: int
    order_hash: bytes
    outcomes_root: bytes
    count: int
    ordered_at_ms: int
    kind: Kind
    previous_statement_hash: bytes
    journal_root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEndorsement(Message, schema="ledger_endorsement"):
    """What the Ledger signs: the statement, and the order signature it acted upon."""

    statement_hash: bytes
    order_signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditorEndorsement(Message, schema="auditor_endorsement"):
    """What the Auditor signs: the statement, and the salt that opens its order's commitment."""

    statement_hash: bytes
    salt: bytes


class Countersigned(NamedTuple):
    """A statement with all that makes it checkable: its order's header, and both parties' endorsements.

    Attributes:
        statement: the bytes of a `Statement`.
        header: the bytes of the `OrderHeader` it names.
        order_signature: the Auditor's signature over the header.
        ledger_signature: over `LedgerEndorsement(statement, order_signature)`.
        salt: opens the commitment in the header.
        auditor_signature: over `AuditorEndorsement(statement, salt)`.
    """

    statement: bytes
    header: bytes
    order_signature: bytes
    ledger_signature: bytes
    salt: bytes
    auditor_signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Carrier, schema="result"):
    """The Ledger's message: its endorsed statement and the bytes of each outcome under it."""

    statement: bytes
    order_signature: bytes
    ledger_signature: bytes
    outcomes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Carrier, schema="decision", nested={"signed": One(Countersigned)}):
    """A batch with its order, its outcomes and both parties' signatures.

    Attributes:
        entries: the bytes of each `Entry`.
        outcomes: the bytes of each `Outcome`.
        outputs: one canonical JSON value per request.
        values: one per record version written, in the outcomes' order; empty for a deletion.
    """

    signed: Countersigned
    entries: tuple[bytes, ...]
    outcomes: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionHead(Message, schema="decision_head", nested={"signed": One(Countersigned)}):
    """The first field of a `Decision`, for readers that need no more: the rest of the bytes is not looked
    at.
    """

    signed: Countersigned

    @classmethod
    def of_decision(cls, data: bytes) -> Self:
        """The head of a framed `Decision`.

        Raises:
            MalformedMessageError: another schema's frame, or a head that does not parse.
        """
        return cls.from_compared(Decision.body_of(data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(Carrier, schema="update"):
    """A decision without the parties' signatures: the same bytes at every honest replica, whoever signed
    twice.
    """

    statement: bytes
    header: bytes
    salt: bytes
    entries: tuple[bytes, ...]
    outcomes: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    values: tuple[bytes, ...]
