"""Who disperses lies: what honest replicas sign about a block, and evidence against others.

What is a lie, `learners.known_blocks` says; the offline verifier (`protocol.evidence.replica`) comes to the same
from the piece and the block alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from learners.blocks import BlockRanges
from learners.checksums import NotACodewordError, PieceError, check_header, disperse, rebuild
from learners.codec import CodecError, erasure_code
from learners.dispersal import BlockDescription, BlockError, Slice, describe, open_block
from learners.known_blocks import Lie
from learners.pieces import OpenedPiece
from learners.reconstruction import MoreLiarsError
from learners.updates import UpdateError, check_content, unsigned_parts
from protocol.configuration import Epochs, check_newest_epochs
from protocol.errors import CountersignError
from protocol.evidence.ports import Made
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
FALSE_BLOCK = "false block"
TOO_MANY_LIARS = "too many liars"
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

    @classmethod
    def of_evidence(cls, data: bytes, trusted_ledger_id: bytes, known: Sequence[bytes] = ()) -> Self | None:
        """For whoever has a piece of evidence, the ledger_id that he trusts, and perhaps configurations of his own: the
        epochs of the file, or his where they are more, checked.

        None where `verify_evidence` will say that the file is none, or of another ledger.
        """
        try:
            evidence = Evidence.from_bytes(data)
            return cls(
                check_newest_epochs(trusted_ledger_id, evidence.genesis, evidence.configurations, known)
            )
        except (CountersignError, MalformedMessageError):
            return None

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

    def made_of(
        self, pieces: Sequence[tuple[PieceHeader, bytes]], last: Statement, configuration: Configuration
    ) -> Made:
        """What exactly `k` slices give; see the port.

        Raises:
            NothingProvenError: no block of this description ends in `last`, or a header contradicts itself.
        """
        claimed = pieces[0][0]
        about = BlockDescription.of(claimed)
        place = self._ranges.of_sequence(last.sequence)
        ends = last.sequence == place.last_sequence and last.epoch == place.epoch
        previous, last_hash = claimed.previous_block_root, statement_hash(last.to_bytes())
        if not ends or about != describe(configuration, place, claimed.block_length, previous, last_hash):
            raise NothingProvenError("no block of this description ends in that statement")
        try:
            for header, _ in pieces:
                check_header(header)
        except PieceError as error:
            raise NothingProvenError(str(error)) from error
        try:
            slices = {header.piece_index: Slice(data, header.slice_hash) for header, data in pieces}
            made = rebuild(about, claimed.root, slices)
        except NotACodewordError:
            return Made.NOTHING
        try:
            self._check_updates(open_block(made.block, place.updates), last)
        except (BlockError, UpdateError, MalformedMessageError):
            return Made.FALSE
        return Made.RIGHT

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
    parts = (_piece(replace(lie.piece, data=b"", last=lie.known.last)), Part("block", lie.known.block))
    return _evidence(epochs, REPLICA, parts)


def accuse_many(error: MoreLiarsError, epochs: Epochs, encoder: BlockEncoder) -> tuple[Evidence, ...]:
    """Evidence of more liars than allowed: against each of them where it shows who they are, else against all together.

    There is none where the pieces do give the block that both parties signed, as it is when these two lied, or
    where what it takes is no longer held.
    """
    pieces = error.pieces
    if error.claim in ("false block", "no block") and _give_the_block(pieces, epochs, encoder):
        return ()
    if error.claim == "false block":
        return tuple(_accuse_signer(piece, pieces, epochs) for piece in pieces)
    if error.claim == "chain" and not error.previous:
        return ()
    if error.claim != "no block":
        pieces = tuple(replace(piece, data=b"") for piece in pieces)
    shown = (*map(_piece, pieces), *(_piece(piece, "previous") for piece in error.previous))
    return (_evidence(epochs, TOO_MANY_LIARS, (Part("claim", error.claim.encode()), *shown)),)


def _accuse_signer(accused: OpenedPiece, pieces: Sequence[OpenedPiece], epochs: Epochs) -> Evidence:
    others = (_piece(piece, "other") for piece in pieces if piece.replica != accused.replica)
    return _evidence(epochs, FALSE_BLOCK, (_piece(accused), *others))


def _give_the_block(pieces: Sequence[OpenedPiece], epochs: Epochs, encoder: BlockEncoder) -> bool:
    """Whether the first `k` of these pieces, which are enough where one root fixes them, give the right block."""
    header = pieces[0].header
    shown = [(piece.header, piece.data) for piece in pieces[: header.k]]
    last = Statement.from_bytes(pieces[0].last.statement)
    return encoder.made_of(shown, last, epochs.at(header.epoch)) is Made.RIGHT


def _piece(piece: OpenedPiece, name: str = "piece") -> Part:
    shown = Piece(header=piece.header_bytes, signature=piece.signature, slice=piece.data, last=piece.last)
    return Part(name, shown.to_bytes())
