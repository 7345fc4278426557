"""The window of pieces: equal shares, one vote and one doubt of each replica for a block, nothing else."""

from dataclasses import replace

import pytest

from learners.pieces import OpenedPiece
from learners.window import PieceWindow
from protocol.signatures import statement_hash
from schemas.statement import Countersigned
from storage.effects import Position
from tests.unit.learners.raw_blocks import RawBlocks, epochs

BLOCKS = RawBlocks(epochs(4, 1, "tree"))
MADE, LAST = BLOCKS.make(0)
NEXT, NEXT_LAST = BLOCKS.make(1)
PIECE = BLOCKS.piece(MADE, LAST, 0)
OTHERS = [BLOCKS.wrong(MADE, LAST, 0), replace(PIECE, header_bytes=b"a third one")]


def window(bytes_each: int = 1_000_000) -> PieceWindow:
    return PieceWindow(4, 4 * bytes_each)


def at(offset: int, piece: OpenedPiece = PIECE) -> OpenedPiece:
    return replace(piece, position=Position("pieces.0", 0, offset))


def test_a_replica_has_its_share_and_no_more() -> None:
    """Whoever holds exactly its share is not read from; the shares of the others are their own."""
    held = window(bytes_each=PIECE.message_bytes)
    assert held.has_room(0)
    assert held.add(PIECE, consistent=True)
    assert not held.has_room(0)
    assert all(held.has_room(other) for other in (1, 2, 3))
    assert held.held_bytes() == PIECE.message_bytes


def test_a_replica_has_room_up_to_the_last_byte() -> None:
    """What is read is known only when it is there: the last piece may go beyond the share, and one more may not."""
    held = window(bytes_each=PIECE.message_bytes + 1)
    held.add(PIECE, consistent=True)
    assert held.has_room(0)
    held.add(BLOCKS.piece(NEXT, NEXT_LAST, 0), consistent=True)
    assert not held.has_room(0)


@pytest.mark.parametrize("consistent", [True, False])
def test_repetitions_and_third_pieces_take_no_memory(consistent: bool) -> None:
    """One that counts and one in doubt, whatever a replica signs about a block; taken, all of it is free again."""
    held = window()
    assert held.add(PIECE, consistent=True)
    assert not held.add(PIECE, consistent=True)
    assert held.add(OTHERS[0], consistent=consistent)
    assert not held.add(OTHERS[0], consistent=consistent)
    assert not held.add(OTHERS[1], consistent=consistent)
    assert held.held_bytes() == PIECE.message_bytes + OTHERS[0].message_bytes
    assert held.votes(0) == [PIECE]
    assert held.take(0) == [PIECE, OTHERS[0]]
    assert (held.held_bytes(), held.votes(0), held.take(0)) == (0, [], [])


def test_what_is_in_doubt_does_not_keep_a_vote_away() -> None:
    """A piece that the broker altered comes first: the true one counts, and only the altered one is in doubt."""
    held = window()
    assert held.add(OTHERS[0], consistent=False)
    assert held.votes(0) == []
    assert held.add(PIECE, consistent=True)
    assert held.votes(0) == [PIECE]


def test_the_earliest_place_is_that_of_any_held_piece_of_the_replica() -> None:
    """One in doubt too, because it is still to be judged; other replicas have other topics."""
    held = window()
    assert held.earliest(0) is None
    held.add(at(7), consistent=True)
    held.add(at(5, OTHERS[0]), consistent=False)
    held.add(replace(BLOCKS.piece(MADE, LAST, 1), position=Position("pieces.1", 0, 2)), consistent=True)
    assert held.earliest(0) == Position("pieces.0", 0, 5)
    held.take(0)
    assert held.earliest(0) is None


def test_only_another_whole_statement_beside_the_same_header_amends_a_vote() -> None:
    """The same one, one whose hash nobody signed, and one beside another header are no reason to look."""
    held = window()
    altered = Countersigned(LAST.statement, b"", b"altered", b"", b"", b"")
    assert statement_hash(altered.statement) == PIECE.header.last_statement_hash
    assert not held.lacks(PIECE)
    held.add(replace(PIECE, last=altered), consistent=True)
    assert held.lacks(PIECE)
    assert not held.lacks(replace(PIECE, last=altered))
    assert not held.lacks(replace(PIECE, last=NEXT_LAST))
    assert not held.lacks(OTHERS[0])
    held.amend(PIECE)
    assert held.votes(0) == [PIECE]
    assert held.held_bytes() == PIECE.message_bytes
