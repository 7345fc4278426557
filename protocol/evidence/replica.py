"""Pieces: what a replica signed about its share of a block, against the block encoded again.

The block is bound to its last statement, which both parties signed, so every honest replica signs the same
bytes about it. The header alone is judged: a slice beside it is under nobody's signature but by its hash.
"""

from protocol.evidence.case import Case
from protocol.evidence.exhibits import open_countersigned
from protocol.evidence.verdicts import CannotJudgeError, Culprit, NothingProvenError, Proven
from protocol.signatures import piece_input
from schemas.piece import Piece, PieceHeader


def judge_replica(case: Case) -> Proven:
    """A piece other than the block's, with the block's last statement."""
    if case.dispersal is None:
        raise CannotJudgeError("this verifier cannot encode blocks")
    piece = Piece.from_bytes(case.part("piece"))
    claimed = PieceHeader.from_bytes(piece.header)
    case.require_ledger(claimed.ledger_id, claimed.format)
    configuration = case.configuration(claimed.epoch)
    replica = Culprit("replica", claimed.piece_index)
    case.authenticate(replica, claimed.epoch, piece_input(case.ledger_id, claimed.epoch, piece.header), piece.signature)
    last = open_countersigned(case, piece.last)
    if last.statement_hash != claimed.last_statement_hash or last.statement.epoch != claimed.epoch:
        raise NothingProvenError("the piece does not name this statement as its block's last")
    expected = case.dispersal.expected(claimed, case.part("block"), last.statement, configuration)
    if expected == claimed:
        raise NothingProvenError("the piece is the block's")
    return Proven(replica, f"its piece of block {claimed.block} is not the block's")
