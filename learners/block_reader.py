"""Rebuilds the blocks of the journal for somebody else, who checks what is inside.

For a party that makes its store anew where `decisions` was shortened. Every block comes with the doubly signed
statement that it ends with; that its updates lead there is for whoever takes it to check.
"""

from collections.abc import Generator
from typing import Any, NamedTuple

from learners.accounting import replicas_max
from learners.dispersal import BlockError, open_block
from learners.intake import PieceIntake
from learners.reconstruction import MoreLiarsError, Reconstruction
from protocol.configuration import Epochs
from schemas.statement import Countersigned
from schemas.topics import pieces_topic
from storage.effects import FIRST_OFFSET, Effect, Halt, Position, Receive, Received, Seek
from storage.machine import Machine, Steps

_RECEIVED_AT_ONCE = 16
_WAIT_MS = 250


class LearnedBlock(NamedTuple):
    """A block of the journal.

    Attributes:
        first_sequence: of its updates.
        updates: the bytes of each `Update`.
        last: the doubly signed statement of the last one.
    """

    first_sequence: int
    updates: tuple[bytes, ...]
    last: Countersigned


class BlockReader(Machine):
    """Rebuilds block after block from pieces, from the first on.

    Args:
        epochs: genesis and configurations.

    Attributes:
        learned: blocks that were rebuilt and not taken yet.
    """

    def __init__(self, *, epochs: Epochs) -> None:
        super().__init__()
        self._epochs = epochs
        self.learned: list[LearnedBlock] = []

    def run(self) -> Steps:
        """Go on for ever; whoever steps it takes what was learned in between."""
        read_on = tuple(
            Position(pieces_topic(replica), 0, FIRST_OFFSET) for replica in range(replicas_max(self._epochs))
        )
        intake = PieceIntake(
            epochs=self._epochs,
            reconstruction=Reconstruction(
                epochs=self._epochs, window_bytes=self._epochs.limits.learner_window_bytes
            ),
            read_on=read_on,
            count=lambda name, amount: None,
        )
        yield Seek(positions=read_on)
        while True:
            if not (yield from self._next(intake)):
                received: Received = yield Receive(
                    topics=intake.topics_with_room(), max_messages=_RECEIVED_AT_ONCE, wait_ms=_WAIT_MS
                )
                intake.take_alarms(received.alarms)
                yield from intake.admit(received.messages)

    def _next(self, intake: PieceIntake) -> Generator[Effect, Any, bool]:
        """Rebuild the next block if its pieces are there; whether it was."""
        try:
            rebuilt = yield from intake.next_block()
            if intake.two_histories:
                yield Halt(code="evidence.raised", text="two histories are doubly signed")
            if rebuilt is None:
                return False
            updates = tuple(open_block(rebuilt.block, rebuilt.place.updates))
        except (MoreLiarsError, BlockError) as error:
            yield Halt(code="replicas.assumption", text=str(error))
            raise AssertionError("a halted machine is not stepped again") from error
        intake.advance(rebuilt)
        intake.take_lies()  # learners accuse; a party that rebuilds its store does not
        self.learned.append(LearnedBlock(rebuilt.place.first_sequence, updates, rebuilt.last))
        return True
