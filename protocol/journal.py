"""The one sequence of statements: how a party, a replica and a learner each go from one to the next.

Rules:

1. Sequences have no gaps; a statement names the hash of the one before it and the RFC 6962 root over all
   before it.
2. Everyone computes the next statement alone, from the head, the order's header and the outcomes; nobody
   copies one.
"""

from dataclasses import dataclass
from typing import Self

from protocol.errors import CountersignError
from protocol.hashing import ZERO_HASH
from protocol.merkle import Frontier
from protocol.signatures import order_hash, statement_hash
from schemas.order import OrderHeader
from schemas.statement import Statement

FORMAT = 1
"""Of statements and of order headers: nobody acts upon another one, because no verifier judges it."""


class JournalError(CountersignError):
    """A statement that does not follow the head; `code` says in what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a journal stands.

    Attributes:
        sequence: of the last statement, -1 before the first.
        statement_hash: of the last statement, zero before the first.
        frontier: the compact Merkle tree over all statement hashes so far.
    """

    sequence: int
    statement_hash: bytes
    frontier: Frontier

    @classmethod
    def start(cls) -> Self:
        """The head of an empty journal."""
        return cls(sequence=-1, statement_hash=ZERO_HASH, frontier=Frontier())

    def to_bytes(self) -> bytes:
        """What a store keeps of it: sequence, hash and frontier."""
        return self.sequence.to_bytes(8, "big", signed=True) + self.statement_hash + self.frontier.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The reverse of `to_bytes`, for a party's own store.

        Raises:
            ValueError: the bytes are no head.
        """
        sequence = int.from_bytes(data[:8], "big", signed=True)
        head = cls(sequence=sequence, statement_hash=data[8:40], frontier=Frontier.from_bytes(data[40:]))
        if head.frontier.size != sequence + 1:
            raise ValueError(f"a head at sequence {sequence} over a journal of {head.frontier.size}")
        return head

    def next_statement(self, header_bytes: bytes, header: OrderHeader, outcomes_root: bytes) -> Statement:
        """The statement about the next batch. Requires: `header` was parsed from `header_bytes` and
        follows this head.
        """
        assert header.sequence == self.sequence + 1
        return Statement(
            format=FORMAT,
            ledger_id=header.ledger_id,
            epoch=header.epoch,
            sequence=header.sequence,
            order_hash=order_hash(header_bytes),
            outcomes_root=outcomes_root,
            count=header.count,
            ordered_at_ms=header.ordered_at_ms,
            kind=header.kind,
            previous_statement_hash=self.statement_hash,
            journal_root=self.frontier.root(),
        )

    def advance(self, statement_bytes: bytes) -> "Head":
        """The head after a statement that was made by `next_statement` or passed `check_follows`."""
        identity = statement_hash(statement_bytes)
        return Head(
            sequence=self.sequence + 1, statement_hash=identity, frontier=self.frontier.append(identity)
        )

    def check_follows(self, statement: Statement) -> None:
        """Require that somebody else's statement is the next one after this head.

        Raises:
            JournalError: `journal.sequence`, `journal.predecessor` or `journal.root`.
        """
        if statement.sequence != self.sequence + 1:
            raise JournalError("journal.sequence", f"{statement.sequence} after {self.sequence}")
        if statement.previous_statement_hash != self.statement_hash:
            raise JournalError("journal.predecessor", f"at sequence {statement.sequence}")
        if statement.journal_root != self.frontier.root():
            raise JournalError("journal.root", f"at sequence {statement.sequence}")
