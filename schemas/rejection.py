"""What is turned away: the Auditor's signed rejections and the Ledger's signed refusals (PROTOCOL 2)."""

from dataclasses import dataclass

from schemas.codec import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionEntry(Message, schema="rejection_entry"):
    """One rejected request; a leaf of a rejection batch.

    Attributes:
        request_id: zero when the envelope failed authentication: then only `envelope_hash` is bound.
        final: the request_id is in the replay guard until it expires; otherwise trying again may help.
    """

    envelope_hash: bytes
    request_id: bytes
    code: str
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionsHeader(Message, schema="rejections_header"):
    """What the Auditor signs of a rejection batch; numbers restart per epoch."""

    ledger_id: bytes
    epoch: int
    rejection_number: int
    previous_hash: bytes
    as_of_sequence: int
    entries_root: bytes
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejections(Message, schema="rejections"):
    """The Auditor's message: the bytes of a `RejectionsHeader` and of each `RejectionEntry`."""

    header: bytes
    entries: tuple[bytes, ...]
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(Message, schema="refusal"):
    """What the Ledger signs when it refuses an order.

    Attributes:
        header: the bytes of the refused `OrderHeader`.
        entry_index: the entry at fault, -1 for the header itself.
        attachments_hash: `H("attachments", *attachments)`; without attachments a refusal proves nothing.
    """

    header: bytes
    order_signature: bytes
    code: str
    entry_index: int
    attachments_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Message, schema="refused"):
    """The Ledger's message: the bytes of a `Refusal`, its signature, and the attachments that prove its
    code.
    """

    epoch: int
    refusal: bytes
    signature: bytes
    attachments: tuple[bytes, ...]
