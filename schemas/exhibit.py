"""What the parts of evidence are made of: signed structures, and the paths that lead to them (PROTOCOL 4)."""

from dataclasses import dataclass

from schemas.codec import Message, One
from schemas.statement import Countersigned


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHeader(Message, schema="signed_header"):
    """The bytes of an `OrderHeader` or a `RejectionsHeader`, with the Auditor's signature."""

    header: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedLeaf(Message, schema="signed_leaf"):
    """The bytes of an `Entry` or a `RejectionEntry`, and its path to the root in a signed header."""

    header: bytes
    signature: bytes
    index: int
    leaf: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatement(Message, schema="ledger_statement"):
    """The bytes of a `Statement` with the Ledger's endorsement alone."""

    statement: bytes
    order_signature: bytes
    ledger_signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditorStatement(Message, schema="auditor_statement"):
    """The bytes of a `Statement` with the Auditor's endorsement alone."""

    statement: bytes
    salt: bytes
    auditor_signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf(Message, schema="leaf"):
    """The bytes of a leaf, and its path to a root in another part of the same file."""

    index: int
    leaf: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Message, schema="decided", nested={"signed": One(Countersigned)}):
    """A statement that both parties signed."""

    signed: Countersigned


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedLeaf(Message, schema="decided_leaf", nested={"signed": One(Countersigned)}):
    """The bytes of an `Outcome`, and its path to the root in a statement that both parties signed."""

    signed: Countersigned
    index: int
    leaf: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRecord(Message, schema="shown_record"):
    """A record version with its content; all that its hash is made of but the ledger_id."""

    namespace: str
    key: str
    version: int
    deleted: bool
    value: bytes
    request_id: bytes
    previous_hash: bytes
