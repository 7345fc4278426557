"""From messages on `pieces.*` to rebuilt blocks: what a learner and a recovering replica do alike.

A machine owns one intake, and lets it do its reading with `yield from`:

1. `admit` opens messages, verifies in one go whose they are, and gives them to the reconstruction.
2. `next_block` verifies the statements that are said to end the next block, and rebuilds it. Whoever has
   checked what is in the block goes on with `advance`.
3. Every lie that comes to light is kept in `lies` until it is taken; two histories that both parties have
   signed are kept in `two_histories`.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any

from learners.accounting import Observer
from learners.blocks import BlockRanges
from learners.known_blocks import Lie
from learners.pieces import OpenedPiece, PieceFaultError, open_piece
from learners.reconstruction import Rebuilt, Reconstruction
from protocol.configuration import Epochs
from protocol.countersigned import check_parts
from protocol.errors import CountersignError
from protocol.signatures import statement_hash
from schemas.statement import Countersigned
from storage.effects import Alarm, Effect, Message, Position, Verified, Verify
from storage.machine import Steps

Count = Callable[[str, float], None]
"""Adds an amount to the measure of a name."""


class PieceIntake:
    """Reads the pieces of all replicas.

    Args:
        epochs: genesis and configurations.
        reconstruction: what the pieces are for.
        read_on: by replica, where in its topic to begin.
        count: for what is measured.
        observer: told of everything, if anybody wants to know.

    Attributes:
        lies: that came to light and were not taken yet.
        two_histories: statements that end one block, both doubly signed; empty as long as there are none.
    """

    def __init__(
        self,
        *,
        epochs: Epochs,
        reconstruction: Reconstruction,
        read_on: Sequence[Position],
        count: Count,
        observer: Observer | None = None,
    ) -> None:
        self._epochs = epochs
        self._ranges = BlockRanges(epochs)
        self._reconstruction = reconstruction
        self._topics = tuple(place.topic for place in read_on)
        self._read_on = list(read_on)
        self._too_new: dict[int, Position] = {}
        self._count = count
        self._observer = observer
        self._decodes = reconstruction.decodes
        self.lies: list[Lie] = []
        self.two_histories: tuple[Countersigned, ...] = ()

    # --- Where it reads ---

    def topics_with_room(self) -> tuple[str, ...]:
        """The topics to read from; one that has used up its share of the window is left alone."""
        has_room = self._reconstruction.window.has_room
        return tuple(topic for replica, topic in enumerate(self._topics) if has_room(replica))

    def take_alarms(self, alarms: Sequence[Alarm]) -> None:
        """Read on at the end of topics whose tail the log has lost."""
        for alarm in alarms:
            self._count("alarm_tail_lost", 1)
            replica = self._topics.index(alarm.topic)
            self._read_on[replica] = Position(alarm.topic, 0, alarm.end_offset)
            if replica in self._too_new and self._too_new[replica].offset >= alarm.end_offset:
                del self._too_new[replica]

    def read_on(self) -> tuple[Position, ...]:
        """By replica, where to begin after a restart: nothing before it is needed any more.

        What is of an epoch that is not known yet will be, by who is started again with its configuration.
        """
        earliest = self._reconstruction.window.earliest
        return tuple(
            min(
                (found for found in (earliest(replica), self._too_new.get(replica)) if found is not None),
                key=lambda found: found.offset,
                default=place,
            )
            for replica, place in enumerate(self._read_on)
        )

    # --- Pieces ---

    def admit(self, messages: Sequence[Message]) -> Steps:
        """Open messages, verify whose they are, and take them in."""
        opened = [piece for piece in map(self._open, messages) if piece is not None]
        if not opened:
            return
        checks = tuple(piece.signature_check(self._epochs.at(piece.header.epoch)) for piece in opened)
        verified: Verified = yield Verify(checks=checks)
        for piece, valid in zip(opened, verified.valid, strict=True):
            if valid:
                yield from self._take_in(piece)
            else:
                self._skip(piece.replica, piece.message_bytes)

    def _open(self, message: Message) -> OpenedPiece | None:
        replica = self._topics.index(message.topic)
        place = Position(message.topic, message.partition, message.offset + 1, message.leader_epoch)
        self._read_on[replica] = place
        message_bytes = len(message.value or b"")
        self._count("messages", 1)
        self._count("received_bytes", message_bytes)
        try:
            return open_piece(message, replica, self._epochs)
        except PieceFaultError as error:
            if error.fault == "unknown_epoch":
                here = Position(message.topic, message.partition, message.offset, message.leader_epoch)
                self._too_new.setdefault(replica, here)
            self._skip(replica, message_bytes)
            return None

    def _take_in(self, piece: OpenedPiece) -> Steps:
        """Hold an authentic piece, or judge it.

        The broker may have altered the statement beside one that is held: a repetition's is taken if it is good.
        """
        window = self._reconstruction.window
        admission = self._reconstruction.admit(piece)
        if self._observer is not None and admission != "altered":
            self._observer.admitted(piece)
        match admission:
            case "misconfigured":
                self._count(f"misconfigured_{piece.replica}", 1)
            case "altered":
                self._skip(piece.replica, piece.message_bytes)
            case "late":
                self._count("late", 1)
                yield from self._judge_late(piece)
            case "repeated":
                self._count("repeated", 1)
                if window.lacks(piece) and (yield from self._ends(piece.last, piece.header.block)):
                    window.amend(piece)
            case "held":
                pass

    def _skip(self, replica: int, message_bytes: int) -> None:
        self._count("skipped", 1)
        if self._observer is not None:
            self._observer.skipped(replica, message_bytes)

    # --- Blocks ---

    def next_block(self) -> Generator[Effect, Any, Rebuilt | None]:
        """The next block, once enough pieces of it are there.

        Raises:
            MoreLiarsError: more replicas lied than the configuration allows.
        """
        reconstruction = self._reconstruction
        for last in reconstruction.unseen():
            if (yield from self._ends(last, reconstruction.block)):
                reconstruction.vouch(last, statement_hash(last.statement))
        if len(reconstruction.signed) > 1:
            self.two_histories = tuple(reconstruction.signed[:2])  # two prove it, however many there are
        return reconstruction.rebuild()

    def advance(self, rebuilt: Rebuilt) -> None:
        """Go on to the block after one that was found right; its pieces are judged."""
        reconstruction = self._reconstruction
        before = list(reconstruction.wrong)
        self.lies += reconstruction.advance(rebuilt)
        decodes = reconstruction.decodes - self._decodes
        self._decodes = reconstruction.decodes
        self._count("decodes", decodes)
        self._count("blocks", 1)
        self._count("block_bytes", len(rebuilt.block))
        for replica, was in enumerate(before):
            self._note_wrong(replica, rebuilt.place.block, reconstruction.wrong[replica] - was)
        if self._observer is not None:
            self._observer.learned(rebuilt.place, len(rebuilt.block), decodes)

    def _ends(self, last: Countersigned, block: int) -> Generator[Effect, Any, bool]:
        """Whether both parties signed this as the statement that ends a block."""
        try:
            checked = check_parts(last, self._epochs)
        except CountersignError:
            return False
        if checked.statement.sequence != self._ranges.of_block(block).last_sequence:
            return False
        verified: Verified = yield Verify(checks=checked.checks)
        return all(verified.valid)

    # --- Blame ---

    def _judge_late(self, piece: OpenedPiece) -> Steps:
        """Compare a piece of a block that was learned already with what it should be."""
        reconstruction, block = self._reconstruction, piece.header.block
        known = reconstruction.remembered(block)
        if known is None:
            return
        expected = known.dispersal.description.last_statement_hash
        differs = piece.header.last_statement_hash != expected and piece.last_is_whole
        if differs and (yield from self._ends(piece.last, block)):
            self.two_histories = (known.last, piece.last)
        before = reconstruction.wrong[piece.replica]
        lie = reconstruction.judge_late(piece)
        if lie is not None:
            self.lies.append(lie)
        self._note_wrong(piece.replica, block, reconstruction.wrong[piece.replica] - before)

    def _note_wrong(self, replica: int, block: int, pieces: int) -> None:
        if pieces:
            self._count(f"wrong_{replica}", pieces)
        if self._observer is not None:
            for _ in range(pieces):
                self._observer.wrong(replica, block)

    def take_lies(self) -> list[Lie]:
        """The lies that came to light since the last time."""
        lies, self.lies = self.lies, []
        return lies
