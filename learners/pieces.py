"""Reading pieces: what a message on `pieces.i` must be before anything in it counts.

Rules:

1. Who sent a piece is the topic it came on *and* the signature; a number in its body never says it.
2. A piece that is not authentic is skipped: anyone may have written it. One that is authentic speaks for its
   replica, even where it is wrong.
3. The signature covers the header. The slice is covered by the hash in it, and the countersigned statement by
   its own signatures: where one of these two is wrong, the broker may have done it.
"""

from dataclasses import dataclass
from typing import Literal

from learners.dispersal import FORMAT, Slice, slice_hash
from protocol.configuration import ConfigurationError, Epochs
from protocol.signatures import SignatureCheck, piece_input, statement_hash
from schemas.epoch import Configuration
from schemas.errors import MalformedMessageError
from schemas.piece import Piece, PieceHeader
from schemas.statement import Countersigned
from storage.effects import Message, Position

Fault = Literal["malformed", "foreign", "misplaced", "unknown_epoch"]


class PieceFaultError(ValueError):
    """A message that is no piece of this replica for this reader; its `fault` says why.

    Attributes:
        fault: "malformed" (cannot be read), "foreign" (of another ledger), "misplaced" (of another replica
            than its topic's), "unknown_epoch" (of an epoch whose configuration is not known).
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault: Fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPiece:
    """A piece whose bytes parse; its signature is still to be verified.

    Attributes:
        replica: the one whose topic it came on.
        message_bytes: length of its message.
        position: of its message.
    """

    replica: int
    message_bytes: int
    position: Position
    header_bytes: bytes
    header: PieceHeader
    signature: bytes
    data: bytes
    last: Countersigned

    def signature_check(self, configuration: Configuration) -> SignatureCheck:
        """The check of the replica's signature, in the epoch of this configuration."""
        signed = piece_input(configuration.ledger_id, configuration.epoch, self.header_bytes)
        return SignatureCheck(configuration.replica_keys[self.replica], signed, self.signature)

    def fits(self, configuration: Configuration) -> bool:
        """Whether its replica disperses as the epoch says; if not, it is misconfigured, and no liar."""
        header = self.header
        return (
            header.format == FORMAT
            and (header.n, header.k) == (configuration.n, configuration.k)
            and (header.codec, header.checksum) == (configuration.codec, configuration.checksum)
        )

    @property
    def slice_is_whole(self) -> bool:
        """Whether the slice is the one whose hash was signed."""
        return slice_hash(self.data) == self.header.slice_hash

    @property
    def last_is_whole(self) -> bool:
        """Whether the statement beside the slice is the one whose hash was signed."""
        return statement_hash(self.last.statement) == self.header.last_statement_hash

    @property
    def slice(self) -> Slice:
        """The slice, once its hash was compared."""
        return Slice(self.data, self.header.slice_hash)


def open_piece(message: Message, replica: int, epochs: Epochs) -> OpenedPiece:
    """Parse a message of the topic of a replica.

    Raises:
        PieceFaultError: it is no piece of this replica for this reader.
    """
    value = message.value or b""
    try:
        piece = Piece.from_message(value)
        header = PieceHeader.from_bytes(piece.header)
    except MalformedMessageError as error:
        raise PieceFaultError("malformed") from error
    if header.ledger_id != epochs.ledger_id:
        raise PieceFaultError("foreign")
    try:
        configuration = epochs.at(header.epoch)
    except ConfigurationError as error:
        raise PieceFaultError("unknown_epoch") from error
    if header.piece_index != replica or replica >= len(configuration.replica_keys):
        raise PieceFaultError("misplaced")
    return OpenedPiece(
        replica=replica,
        message_bytes=len(value),
        position=Position(message.topic, message.partition, message.offset, message.leader_epoch),
        header_bytes=piece.header,
        header=header,
        signature=piece.signature,
        data=piece.slice,
        last=piece.last,
    )
