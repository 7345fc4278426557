"""Pieces: what a replica signed about a block, against what follows from the block.

| kind | what it shows |
|---|---|
| replica | a piece other than the block's, beside the block |
| false block | slices of one root that give no block, or another one than its last statement ends |

Rules:

1. The block is bound to its last statement, which both parties signed, so every honest replica signs the same
   bytes about it, and a root only over the block that it has checked.
2. The header alone is judged: a slice beside it is under nobody's signature but by its hash.
3. A replica that disperses otherwise than its epoch says (n, k, codec, checksum) is configured wrongly. That is
   no lie, and proves nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from protocol.configuration import SIMPLE, TREE
from protocol.evidence.case import Case
from protocol.evidence.exhibits import open_countersigned
from protocol.evidence.ports import Dispersal, Made
from protocol.evidence.verdicts import CannotJudgeError, Culprit, NothingProvenError, Proven
from protocol.hashing import Tag, tagged
from protocol.signatures import piece_input
from schemas.piece import Piece, PieceHeader
from schemas.statement import Statement


class ShownPiece(NamedTuple):
    """A piece that its replica signed, as its epoch says, of a block that ends in a doubly signed statement."""

    header: PieceHeader
    data: bytes
    last: Statement

    @property
    def replica(self) -> Culprit:
        """Who signed it."""
        return Culprit("replica", self.header.piece_index)


def show_piece(case: Case, data: bytes) -> ShownPiece:
    """Open a `Piece`.

    Raises:
        NothingProvenError: it is not authentic, not as its epoch says, or not of the block it names.
    """
    piece = Piece.from_bytes(data)
    header = PieceHeader.from_bytes(piece.header)
    case.require_ledger(header.ledger_id, header.format)
    configuration = case.configuration(header.epoch)
    signed = piece_input(case.ledger_id, header.epoch, piece.header)
    case.authenticate(Culprit("replica", header.piece_index), header.epoch, signed, piece.signature)
    said = header.n, header.k, header.codec, header.checksum
    if said != (configuration.n, configuration.k, configuration.codec, configuration.checksum):
        raise NothingProvenError("its replica disperses otherwise than its epoch says: configured wrongly, not lying")
    last = open_countersigned(case, piece.last)
    if last.statement_hash != header.last_statement_hash or last.statement.epoch != header.epoch:
        raise NothingProvenError("the piece does not name this statement as its block's last")
    return ShownPiece(header, piece.slice, last.statement)


def judge_replica(case: Case) -> Proven:
    """A piece other than the block's, with the block's last statement."""
    dispersal = require_dispersal(case)
    shown = show_piece(case, case.part("piece"))
    configuration = case.configuration(shown.header.epoch)
    expected = dispersal.expected(shown.header, case.part("block"), shown.last, configuration)
    if expected == shown.header:
        raise NothingProvenError("the piece is the block's")
    return Proven(shown.replica, f"its piece of block {shown.header.block} is not the block's")


def judge_false_block(case: Case) -> Proven:
    """A piece, and `k - 1` others under its root, that do not give the block. Whoever signed that root lied.

    Under a tree the root fixes every slice, under the simple checksum it fixes the block; where the block does
    not come out of the root, it is under the simple checksum perhaps a slice that is wrong, and not the root.
    """
    dispersal = require_dispersal(case)
    accused = show_piece(case, case.part("piece"))
    shown = [accused, *(show_piece(case, data) for data in case.parts("other"))]
    require_one_root(shown)
    configuration = case.configuration(accused.header.epoch)
    if len(shown) != configuration.k:
        raise NothingProvenError(f"{len(shown)} pieces instead of {configuration.k}")
    made = dispersal.made_of([piece[:2] for piece in shown], accused.last, configuration)
    proves = {TREE: (Made.NOTHING, Made.FALSE), SIMPLE: (Made.FALSE,)}.get(configuration.checksum, ())
    if made not in proves:
        raise NothingProvenError("the pieces do not show that their root is false")
    return Proven(accused.replica, f"it signed a root of block {accused.header.block} that is over no such block")


def require_dispersal(case: Case) -> Dispersal:
    """The port.

    Raises:
        CannotJudgeError: this verifier has none.
    """
    if case.dispersal is None:
        raise CannotJudgeError("this verifier cannot encode blocks")
    return case.dispersal


def require_one_root(shown: Sequence[ShownPiece]) -> None:
    """Require pieces of distinct replicas that say the same of one block, each with the slice that was signed.

    Raises:
        NothingProvenError: they are others.
    """
    if len({of_the_block(piece.header) for piece in shown}) > 1:
        raise NothingProvenError("the pieces do not say the same of one block")
    if len({piece.header.piece_index for piece in shown}) < len(shown):
        raise NothingProvenError("two pieces are of one replica")
    if any(tagged(Tag.SLICE, piece.data) != piece.header.slice_hash for piece in shown):
        raise NothingProvenError("a slice is not the one that its replica signed")


def of_the_block(header: PieceHeader) -> tuple[object, ...]:
    """What a piece says of its block and not of itself; ledger and configuration were checked."""
    return (
        header.epoch,
        header.block,
        header.first_sequence,
        header.count,
        header.block_length,
        header.previous_block_root,
        header.root,
        header.last_statement_hash,
    )
