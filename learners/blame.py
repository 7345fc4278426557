"""Who disperses lies: what honest replicas sign about a block, and evidence against others.

What is a lie, `learners.known_blocks` says; the offline verifier (`protocol.evidence.replica`) comes to the same
from the piece and the block alone.
"""

from collections.abc import Sequence

from learners.blocks import BlockRanges
from learners.checksums import disperse
from learners.codec import CodecError, erasure_code
from learners.dispersal import BlockError, describe, open_block
from learners.known_blocks import Lie
from learners.updates import UpdateError, check_content, unsigned_parts
from protocol.configuration import Epochs
from protocol.evidence.verdicts import NothingProvenError
from protocol.signatures import statement_hash
from schemas.codec import Message
from schemas.epoch import Configuration
from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence, Part
from schemas.exhibit import AuditorStatement, LedgerStatement
from schemas.piece import Piece, PieceHeader
from schemas.statement import Countersigned, Statement, Update

REPLICA = "replica"
TWO_STATEMENTS = "two statements"
"""Kinds as in `protocol.evidence.kinds`, whose judges a learner need not load."""

_FORMAT = 1


class BlockEncoder:
    """Encodes blocks again: the port `protocol.evidence.ports.Dispersal`.

    Args:
        epochs: as the verifier knows them; they say where blocks begin.
    """

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs
        self._ranges = BlockRanges(epochs)

    def expected(
        self, claimed: PieceHeader, block: bytes, last: Statement, configuration: Configuration
    ) -> PieceHeader:
        """What an honest replica signs as piece `claimed.piece_index` of a block.

        Raises:
            NothingProvenError: the bytes are not the whole block that ends in `last`.
        """
        place = self._ranges.of_sequence(last.sequence)
        if last.sequence != place.last_sequence or last.epoch != place.epoch:
            raise NothingProvenError(f"no block ends at sequence {last.sequence}")
        if not 0 <= claimed.piece_index < configuration.n:
            raise NothingProvenError(f"there is no piece {claimed.piece_index}")
        try:
            self._check_updates(open_block(block, place.updates), last)
            code = erasure_code(configuration.k, configuration.n)
        except (BlockError, UpdateError, MalformedMessageError, CodecError) as error:
            raise NothingProvenError(f"these bytes are not that block: {error}") from error
        last_hash = statement_hash(last.to_bytes())
        about = describe(configuration, place, len(block), claimed.previous_block_root, last_hash)
        return disperse(about, block, code).header(claimed.piece_index)

    def _check_updates(self, updates: Sequence[bytes], last: Statement) -> None:
        """Require that updates are whole, chain to each other, and end in `last`."""
        following: bytes | None = None
        for body in reversed(updates):
            update = Update.from_bytes(body)
            checked = unsigned_parts(update, self._epochs)
            expected = statement_hash(last.to_bytes()) if following is None else following
            if checked.statement_hash != expected:
                raise UpdateError(f"sequence {checked.statement.sequence} does not lead to the last one")
            check_content(update, checked.statement, checked.header)
            following = checked.statement.previous_statement_hash


def accuse_parties(first: Countersigned, second: Countersigned, epochs: Epochs) -> tuple[Evidence, ...]:
    """Evidence about both parties, from two verified statements of one sequence; no replica is at fault."""
    both = (first, second)
    auditor = tuple(
        AuditorStatement(statement=s.statement, salt=s.salt, auditor_signature=s.auditor_signature)
        for s in both
    )
    ledger = tuple(
        LedgerStatement(
            statement=s.statement, order_signature=s.order_signature, ledger_signature=s.ledger_signature
        )
        for s in both
    )
    return (
        _evidence(epochs, TWO_STATEMENTS, _shown("auditor", auditor)),
        _evidence(epochs, TWO_STATEMENTS, _shown("ledger", ledger)),
    )


def _shown(signer: str, statements: Sequence[Message]) -> tuple[Part, ...]:
    shown = (Part(f"{signer} statement", statement.to_bytes()) for statement in statements)
    return (Part("claim", signer.encode()), *shown)


def _evidence(epochs: Epochs, kind: str, parts: tuple[Part, ...]) -> Evidence:
    return Evidence(
        format=_FORMAT,
        ledger_id=epochs.ledger_id,
        kind=kind,
        genesis=epochs.genesis_bytes,
        configurations=epochs.signed,
        parts=parts,
    )


def accuse(lie: Lie, epochs: Epochs) -> Evidence:
    """Evidence against the replica that lied."""
    piece = lie.piece
    shown = Piece(header=piece.header_bytes, signature=piece.signature, slice=b"", last=lie.known.last)
    return _evidence(epochs, REPLICA, (Part("piece", shown.to_bytes()), Part("block", lie.known.block)))
