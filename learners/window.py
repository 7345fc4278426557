"""The pieces a learner holds ahead of the block it is at: bounded memory, and nothing dropped that is needed.

Rules:

1. Each replica has an equal share of the window. Whoever has used up its share is not read from until the
   blocks it is ahead of were learned: the log keeps what is not read. So one that is far ahead, or sends
   pieces of the far future, takes nothing from the others.
2. One piece of a replica counts for a block: the first consistent one. A second, different one, and one that
   contradicts itself, are kept beside it to be judged, one for each replica and block.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from learners.pieces import OpenedPiece
from storage.effects import Position

_Key = tuple[int, int]
"""Block and replica."""


class PieceWindow:
    """Authentic pieces by block and replica.

    Args:
        replicas: how many there are.
        window_bytes: memory for all of them together.
    """

    def __init__(self, replicas: int, window_bytes: int) -> None:
        self._share_bytes = max(1, window_bytes // replicas)
        self._votes: dict[_Key, OpenedPiece] = {}
        self._doubtful: dict[_Key, OpenedPiece] = {}
        self._held_bytes = [0] * replicas
        self._blocks: defaultdict[int, set[int]] = defaultdict(set)

    def add(self, piece: OpenedPiece, consistent: bool) -> bool:
        """Take a piece in; False if it is a repetition, or one too many.

        Args:
            piece: authentic, of the block the learner is at, or a later one.
            consistent: whether it may count for its block.
        """
        key = (piece.header.block, piece.replica)
        vote = self._votes.get(key)
        if vote is not None and vote.header_bytes == piece.header_bytes:
            return False
        if consistent and vote is None:
            self._votes[key] = piece
        elif key in self._doubtful:
            return False
        else:
            self._doubtful[key] = piece
        self._held_bytes[piece.replica] += piece.message_bytes
        self._blocks[piece.header.block].add(piece.replica)
        return True

    def lacks(self, piece: OpenedPiece) -> bool:
        """Whether a repetition of the piece that counts has another statement beside it, which may be the true one."""
        vote = self._votes.get((piece.header.block, piece.replica))
        return (
            vote is not None
            and vote.header_bytes == piece.header_bytes
            and vote.last != piece.last
            and piece.last_is_whole
        )

    def amend(self, piece: OpenedPiece) -> None:
        """Let the piece that counts have the statement of its repetition."""
        key = (piece.header.block, piece.replica)
        self._votes[key] = replace(self._votes[key], last=piece.last)

    def votes(self, block: int) -> list[OpenedPiece]:
        """The pieces that count for a block, at most one of each replica."""
        replicas = sorted(self._blocks.get(block, ()))
        return [self._votes[block, replica] for replica in replicas if (block, replica) in self._votes]

    def take(self, block: int) -> list[OpenedPiece]:
        """All pieces of a block, those in doubt too; the window no longer holds them."""
        taken: list[OpenedPiece] = []
        for replica in sorted(self._blocks.pop(block, ())):
            for pieces in (self._votes, self._doubtful):
                piece = pieces.pop((block, replica), None)
                if piece is not None:
                    taken.append(piece)
                    self._held_bytes[replica] -= piece.message_bytes
        return taken

    def has_room(self, replica: int) -> bool:
        """Whether more of a replica's pieces may be read."""
        return self._held_bytes[replica] < self._share_bytes

    def held_bytes(self) -> int:
        """Memory in use, about."""
        return sum(self._held_bytes)

    def earliest(self, replica: int) -> Position | None:
        """Where the first held piece of a replica stands in its topic."""
        return min(self._positions(replica), key=lambda position: position.offset, default=None)

    def _positions(self, replica: int) -> Iterator[Position]:
        for pieces in (self._votes, self._doubtful):
            for (_, holder), piece in pieces.items():
                if holder == replica:
                    yield piece.position
