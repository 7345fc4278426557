"""A replica that `decisions` left in the dark learns from the others (seed paper, 4.1 and 4.2).

It may have lost its disk, so its own topic is empty or has lost its tail; or the log of decisions begins behind
what it needs next. Then:

1. It begins behind its own last piece, or at block 0, and reads the other replicas' topics. Blocks are rebuilt,
   and liars found, as a learner does it.
2. It checks what is inside: every update whole, chained to the one before it from its own last statement on, up
   to one that both parties signed. That covers the journal's roots, which it does not keep.
3. It signs and publishes its own piece of each block. Pieces are functions of what is decided and signatures are
   deterministic, so they are what it had published, or would have, byte for byte.
4. It ends as soon as `decisions` goes on from where it stands, or when nothing more comes of the others for as long
   as the longest pause of sending again. Its pieces bear no hint, so the replica looks for its place from the
   beginning of the log.

With `c = 0` the others are just enough where nobody lies; to recover beside `b` liars takes `c > 0`.
"""

from collections.abc import Generator
from typing import Any

from learners.accounting import replicas_max
from learners.dispersal import BlockError, open_block
from learners.intake import PieceIntake
from learners.own_pieces import OwnPlace, find_place, has_share, sign_piece
from learners.reconstruction import MoreLiarsError, Rebuilt, Reconstruction
from learners.updates import UpdateError, check_content, unsigned_parts
from protocol.configuration import Epochs
from protocol.countersigned import check_parts
from protocol.errors import CountersignError
from schemas.errors import MalformedMessageError
from schemas.statement import DecisionHead, Update
from schemas.topics import DECISIONS, pieces_topic
from storage.effects import (
    FIRST_OFFSET,
    Effect,
    Halt,
    Message,
    Outgoing,
    Position,
    Publish,
    Receive,
    Received,
    Report,
    Seek,
    Verified,
    Verify,
)
from storage.machine import Machine, Steps

RECOVERED = "replica.recovered"
"""Code of the halt with which this machine ends: whatever the others could give is published."""

_RECEIVED_AT_ONCE = 16
_WAIT_MS = 250
_LOOKS = 4
"""So many answers without a decision in them, and `decisions` has none."""


class RecoveryMachine(Machine):
    """Publishes the pieces that a replica has not and the others can give.

    Args:
        epochs: genesis and configurations.
        index: which replica this is, from 0.
        cut_off: whether it is known that `decisions` does not show what follows; then the others are listened to
            for as long as they have something, whatever `decisions` begins with.
    """

    def __init__(self, *, epochs: Epochs, index: int, cut_off: bool = False) -> None:
        super().__init__()
        self._epochs = epochs
        self._limits = epochs.limits
        self._index = index
        self._cut_off = cut_off
        self._place = OwnPlace()
        self._recovered = 0
        self._measures: dict[str, float] = {}

    def run(self) -> Steps:
        """Learn from the others as far as that is needed, and end."""
        self._place = yield from find_place(self._index, self._epochs)
        first = yield from self._first_decision()
        if not self._can_follow(first):
            yield from self._learn(first)
        done = f"{self._recovered} pieces were made anew" if self._recovered else "no piece had to be made anew"
        yield Halt(code=RECOVERED, text=f"{done}; it has {self._place.block} blocks")

    @property
    def _following(self) -> int:
        """The sequence that is needed next."""
        return self._place.sequence + 1

    def _can_follow(self, first: int | None) -> bool:
        """Whether `decisions` goes on from here, by the first sequence that it has."""
        return not self._cut_off and first is not None and first <= self._following

    # --- Decisions ---

    def _first_decision(self) -> Generator[Effect, Any, int | None]:
        """The sequence of the first decision that the log still has, None if it has none."""
        yield Seek(positions=(Position(DECISIONS, 0, FIRST_OFFSET),))
        for _ in range(_LOOKS):
            received: Received = yield Receive(
                topics=(DECISIONS,), max_messages=_RECEIVED_AT_ONCE, wait_ms=_WAIT_MS
            )
            if not received.messages:
                return None
            for message in received.messages:
                sequence = yield from self._decided(message)
                if sequence is not None:
                    return sequence
        return None

    def _decided(self, message: Message) -> Generator[Effect, Any, int | None]:
        """The sequence of a decision, if both parties signed it."""
        try:
            checked = check_parts(DecisionHead.of_decision(message.value or b"").signed, self._epochs)
        except (MalformedMessageError, CountersignError):
            return None
        verified: Verified = yield Verify(checks=checked.checks)
        return checked.statement.sequence if all(verified.valid) else None

    # --- The others' pieces ---

    def _learn(self, first: int | None) -> Steps:
        """Learn until `decisions` can be followed again, or nothing more comes."""
        reconstruction = Reconstruction(
            epochs=self._epochs,
            window_bytes=self._limits.learner_window_bytes,
            block=self._place.block,
            previous_root=self._place.previous_root,
        )
        replicas = range(replicas_max(self._epochs))
        read_on = tuple(Position(pieces_topic(replica), 0, self._offset(replica)) for replica in replicas)
        intake = PieceIntake(
            epochs=self._epochs, reconstruction=reconstruction, read_on=read_on, count=self._count
        )
        own = pieces_topic(self._index)
        yield Seek(positions=tuple(position for position in read_on if position.topic != own))
        moved_at_ms = self.now_ms
        while self.now_ms - moved_at_ms < self._limits.resend_longest_ms:
            topics = tuple(topic for topic in intake.topics_with_room() if topic != own)
            if first is None:
                topics += (DECISIONS,)  # a new ledger's first one ends the waiting
            received: Received = yield Receive(topics=topics, max_messages=_RECEIVED_AT_ONCE, wait_ms=_WAIT_MS)
            intake.take_alarms([alarm for alarm in received.alarms if alarm.topic != DECISIONS])
            yield from intake.admit([message for message in received.messages if message.topic != DECISIONS])
            for message in received.messages:
                if message.topic == DECISIONS and first is None:
                    first = yield from self._decided(message)
            while not self._can_follow(first) and (yield from self._recover_next(intake)):
                moved_at_ms = self.now_ms
            yield from self._report()
            if self._can_follow(first):
                first = yield from self._first_decision()  # it may have been shortened meanwhile
                if self._can_follow(first):
                    return

    def _offset(self, replica: int) -> int:
        """Where to begin in a replica's topic.

        Who was there all the time publishes no block before all those before it, so none stands before the
        offset of its number.
        """
        epochs = self._epochs
        if all(has_share(replica, configuration.epoch, epochs) for configuration in epochs.configurations):
            return self._place.block or FIRST_OFFSET
        return FIRST_OFFSET

    def _recover_next(self, intake: PieceIntake) -> Generator[Effect, Any, bool]:
        """Publish the own piece of the next block if the others' are there; whether they were."""
        try:
            rebuilt = yield from intake.next_block()
            if intake.two_histories:
                yield Halt(code="evidence.raised", text=f"two histories of block {self._place.block} are doubly signed")
            if rebuilt is None:
                return False
            place = self._check(rebuilt)
        except (MoreLiarsError, BlockError, UpdateError, MalformedMessageError) as error:
            yield Halt(code="replicas.assumption", text=f"block {self._place.block}: {error}")
            raise AssertionError("a halted machine is not stepped again") from error
        if has_share(self._index, rebuilt.place.epoch, self._epochs):
            piece = yield from sign_piece(rebuilt.dispersal, self._index, rebuilt.last)
            yield Publish(messages=(Outgoing(pieces_topic(self._index), 0, None, piece),))
            self._recovered += 1
            self._count("recovered", 1)
            self._count("published_bytes", len(piece))
        intake.advance(rebuilt)
        intake.take_lies()  # replicas accuse nobody: learners do
        self._place = place
        return True

    def _check(self, rebuilt: Rebuilt) -> OwnPlace:
        """Check the journal inside a block; the place behind it.

        Raises:
            BlockError, UpdateError, MalformedMessageError: it is not what both parties signed.
        """
        reached = self._place.statement_hash
        sequence = self._place.sequence
        for body in open_block(rebuilt.block, rebuilt.place.updates):
            update = Update.from_bytes(body)
            checked = unsigned_parts(update, self._epochs)
            sequence += 1
            if (checked.statement.sequence, checked.statement.previous_statement_hash) != (sequence, reached):
                raise UpdateError(f"sequence {checked.statement.sequence} does not follow {sequence - 1}")
            check_content(update, checked.statement, checked.header)
            reached = checked.statement_hash
        if reached != rebuilt.dispersal.description.last_statement_hash:
            raise UpdateError("the block does not end with the statement that its pieces name")
        return OwnPlace(
            block=rebuilt.place.block + 1, previous_root=rebuilt.root, sequence=sequence, statement_hash=reached
        )

    # --- Measures ---

    def _count(self, name: str, amount: float) -> None:
        self._measures[name] = self._measures.get(name, 0) + amount

    def _report(self) -> Steps:
        if self._measures:
            measures, self._measures = self._measures, {}
            yield Report(metrics={**measures, "gauge_block": self._place.block, "gauge_sequence": self._place.sequence})
