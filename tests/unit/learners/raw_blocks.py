"""Blocks of bytes without a journal in them: the reconstruction alone, many blocks a second.

Nobody signs anything here, because who checks signatures is the intake; and every last statement is vouched for.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from learners.blocks import BlockRanges
from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import Dispersal, describe, frame_block, slice_hash
from learners.known_blocks import Lie
from learners.pieces import OpenedPiece
from learners.reconstruction import Reconstruction
from protocol.configuration import Epochs
from protocol.hashing import ZERO_HASH
from protocol.signatures import statement_hash
from schemas.piece import PieceHeader
from schemas.statement import Countersigned
from schemas.topics import pieces_topic
from storage.effects import Position
from tests.unit.learners.cluster import epochs_of
from tests.worlds import World

WINDOW_BYTES = 1 << 20
UPDATE_BYTES = 64


def epochs(n: int, b: int, checksum: str, **changes: Any) -> Epochs:
    """A ledger's configuration."""
    return epochs_of(World(), n, b, checksum=checksum, **changes)


class RawBlocks:
    """One block after another, dispersed as honest replicas do, and read by one reader."""

    def __init__(self, found: Epochs, window_bytes: int = WINDOW_BYTES) -> None:
        self.epochs = found
        self.configuration = found.latest
        self.ranges = BlockRanges(found)
        self.reader = Reconstruction(epochs=found, window_bytes=window_bytes)
        self.previous_root = ZERO_HASH
        self.lies: list[Lie] = []

    def make(self, number: int) -> tuple[Dispersal, Countersigned]:
        """A block of updates of its own, and what stands for its last statement."""
        place = self.ranges.of_block(number)
        seed = sha256(number.to_bytes(8, "big")).digest()
        block = frame_block([seed * (UPDATE_BYTES // 32)] * place.updates)
        last = Countersigned(b"statement" + seed, b"", b"", b"", b"", b"")
        about = describe(self.configuration, place, len(block), self.previous_root, statement_hash(last.statement))
        made = disperse(about, block, erasure_code(self.configuration.k, self.configuration.n))
        self.previous_root = made.root
        return made, last

    def piece(
        self, made: Dispersal, last: Countersigned, index: int, data: bytes | None = None, **changes: Any
    ) -> OpenedPiece:
        """An authentic piece; with `data`, one with this slice under the true root."""
        header = made.header(index)
        if data is not None:
            header = replace(header, slice_hash=slice_hash(data))
        return opened(replace(header, **changes), made.slice(index) if data is None else data, last)

    def wrong(self, made: Dispersal, last: Countersigned, index: int) -> OpenedPiece:
        """A piece whose slice has a flipped bit."""
        data = made.slice(index)
        return self.piece(made, last, index, bytes((data[0] ^ 1,)) + data[1:])

    def give(self, *pieces: OpenedPiece) -> bool:
        """Hand pieces over, one by one, and learn what can be learned; whether a block was."""
        learned = False
        for piece in pieces:
            if self.reader.admit(piece) == "late":
                lie = self.reader.judge_late(piece)
                self.lies += [lie] if lie else []
            learned = self.learn() or learned
        return learned

    def learn(self) -> bool:
        """Learn the next block, if its pieces are there."""
        for last in self.reader.unseen():
            self.reader.vouch(last, statement_hash(last.statement))
        rebuilt = self.reader.rebuild()
        if rebuilt is None:
            return False
        self.lies += self.reader.advance(rebuilt)
        return True

    def blamed(self) -> Sequence[int]:
        """Who was found to lie, in that order."""
        return [lie.piece.replica for lie in self.lies]


def opened(header: PieceHeader, data: bytes, last: Countersigned) -> OpenedPiece:
    """A piece as the intake gives it on."""
    body = header.to_bytes()
    return OpenedPiece(
        replica=header.piece_index,
        message_bytes=len(body) + len(data) + 400,
        position=Position(pieces_topic(header.piece_index), 0, header.block),
        header_bytes=body,
        header=header,
        signature=b"",
        data=data,
        last=last,
    )
