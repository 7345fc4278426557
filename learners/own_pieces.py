"""A replica's own pieces: how one is made, and where a replica stands, which is behind the last one on its topic."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Self

from learners.dispersal import Dispersal
from learners.pieces import OpenedPiece, PieceFaultError, open_piece
from protocol.configuration import Epochs
from protocol.countersigned import CheckedStatement, check_parts
from protocol.errors import CountersignError
from protocol.hashing import ZERO_HASH
from protocol.signatures import piece_input
from schemas.piece import Piece
from schemas.statement import Countersigned
from schemas.topics import pieces_topic
from storage.effects import Effect, Message, ReadTail, Received, Sign, Signed, Verified, Verify

_TAILS = (8, 64)
"""How many of its own newest messages are looked through for a good piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPlace:
    """Behind a block that a replica has dispersed, or before the first.

    Attributes:
        block: number of the next block.
        previous_root: root of the block before it.
        sequence, statement_hash: of the last update before it.
        header: bytes of the piece's signed header.
        key: of its message, which nobody signs.
    """

    block: int = 0
    previous_root: bytes = ZERO_HASH
    sequence: int = -1
    statement_hash: bytes = ZERO_HASH
    header: bytes = b""
    key: bytes | None = None

    @classmethod
    def behind(cls, message: Message, piece: OpenedPiece, checked: CheckedStatement) -> Self:
        """Behind an own piece whose signatures were verified."""
        return cls(
            block=piece.header.block + 1,
            previous_root=piece.header.root,
            sequence=checked.statement.sequence,
            statement_hash=checked.statement_hash,
            header=piece.header_bytes,
            key=message.key,
        )


def has_share(replica: int, epoch: int, epochs: Epochs) -> bool:
    """Whether a replica has, and can sign, a piece of an epoch's blocks: it is there under the key that it has now."""
    now = epochs.latest.replica_keys[replica : replica + 1]
    return bool(now) and epochs.at(epoch).replica_keys[replica : replica + 1] == now


def find_place(replica: int, epochs: Epochs) -> Generator[Effect, Any, OwnPlace]:
    """Look for the last good piece among the newest on a replica's own topic."""
    for count in _TAILS:
        tail: Received = yield ReadTail(topic=pieces_topic(replica), count=count)
        for message, piece, checked in _own_pieces(tail.messages, replica, epochs):
            signature = piece.signature_check(epochs.at(piece.header.epoch))
            verified: Verified = yield Verify(checks=(signature, *checked.checks))
            if all(verified.valid):
                return OwnPlace.behind(message, piece, checked)
        if len(tail.messages) < count:
            break
    return OwnPlace()


def _own_pieces(
    messages: tuple[Message, ...], replica: int, epochs: Epochs
) -> Iterator[tuple[Message, OpenedPiece, CheckedStatement]]:
    """What may be own pieces, the last block first; no signature is verified yet.

    A piece under a key that the number had before is another replica's, and may be a lie.
    """
    found = []
    for message in messages:
        try:
            piece = open_piece(message, replica, epochs)
            checked = check_parts(piece.last, epochs)
        except (PieceFaultError, CountersignError):
            continue
        if piece.last_is_whole and has_share(replica, piece.header.epoch, epochs):
            found.append((message, piece, checked))
    return iter(sorted(found, key=lambda row: row[1].header.block, reverse=True))


def sign_piece(made: Dispersal, replica: int, last: Countersigned) -> Generator[Effect, Any, bytes]:
    """The message with a replica's piece of a block; the same bytes whenever it is made."""
    about, header = made.description, made.header(replica).to_bytes()
    signed: Signed = yield Sign(messages=(piece_input(about.ledger_id, about.epoch, header),))
    piece = Piece(header=header, signature=signed.signatures[0], slice=made.slice(replica), last=last)
    return piece.to_message()
