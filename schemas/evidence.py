"""Proof that some party misbehaved (PROTOCOL 2 and 4)."""

from dataclasses import dataclass
from typing import NamedTuple

from schemas.codec import Message, Rows


class Part(NamedTuple):
    """One named part of a piece of evidence, as raw bytes."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence(Message, schema="evidence", nested={"parts": Rows(Part)}):
    """A self-contained proof. It is unsigned: an accuser's word adds no weight.

    Attributes:
        kind: a row of the table in `protocol.evidence`.
        genesis: the bytes of the `Genesis` the accuser claims; trusted only if its hash is the reader's own
            ledger_id.
        configurations: the bytes of each `SignedConfiguration` needed.
    """

    format: int
    ledger_id: bytes
    kind: str
    genesis: bytes
    configurations: tuple[bytes, ...]
    parts: tuple[Part, ...]
