"""The replica machine: appends decisions to its journal, and publishes its piece of every block.

Rules:

1. It appends a decision only if both parties signed it, if it follows the one before, and if all of its
   content is what they signed. Anything else is skipped; a doubly signed one that does not follow halts it.
2. Blocks, and signatures too, are functions of what is decided: every honest replica makes the same blocks,
   and makes its own piece the same again.
3. It keeps no store. When it starts it reads its own last piece from its own topic and goes on behind it. The
   piece's message key says where in `decisions` that is; nobody signs the key, so it is only a hint.
4. It does not remember the journal's frontier: it leaves `journal_root` to both signatures and the learners.
5. Of the blocks of an epoch in which its number was another's, or nobody's, it has no piece; it reads them for
   their roots.
6. If the broker lost the tail of its topic, it starts again at what is left.
7. Where later decisions come and the next one does not, it ends (`BEHIND`): what `decisions` no longer has, the
   other replicas' pieces have (`learners.recovery`).

Source: seed paper, figure 3.
"""

import struct
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from learners.blocks import BlockRange, BlockRanges
from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import Dispersal, Encoder, describe, frame_block
from learners.own_pieces import find_place, has_share, sign_piece
from learners.updates import UpdateError, check_content, update_bytes
from protocol.configuration import Epochs
from protocol.countersigned import CheckedStatement, check_parts
from protocol.errors import CountersignError
from protocol.hashing import ZERO_HASH
from schemas.errors import MalformedMessageError
from schemas.statement import Countersigned, Decision, DecisionHead, Statement
from schemas.topics import DECISIONS, pieces_topic
from storage.effects import (
    FIRST_OFFSET,
    Effect,
    Halt,
    Message,
    Outgoing,
    Position,
    Publish,
    ReadTail,
    Receive,
    Received,
    Report,
    Seek,
    Verified,
    Verify,
)
from storage.machine import Machine, Steps

_RECEIVED_AT_ONCE = 8

BEHIND = "replica.behind"
"""Code of the halt with which it ends where `decisions` does not show what it needs next."""

_TAIL = 8
"""Among so many of its own newest messages its last piece should be."""

_FIRST_DECISION = Position(DECISIONS, 0, FIRST_OFFSET)

_HINT = struct.Struct(">qi")


@dataclass(slots=True, kw_only=True)
class _Journal:
    """Where a replica stands: what it appended last, and the block it is filling.

    Attributes:
        sequence, statement_hash: of the last update.
        signed: the last update's countersigned statement.
        next_decision: where the next one is probably found.
        block: number of the block being filled.
        previous_root: of the block before it.
        updates: of the block being filled.
    """

    sequence: int = -1
    statement_hash: bytes = ZERO_HASH
    signed: Countersigned | None = None
    next_decision: Position = _FIRST_DECISION
    block: int = 0
    previous_root: bytes = ZERO_HASH
    updates: list[bytes] = field(default_factory=list)


class _Ahead(NamedTuple):
    """A decision that came too early: its sequence, -1 if unknown, and where it is."""

    sequence: int
    position: Position


def _hinted(key: bytes | None) -> Position:
    """Where a message's key says that the next decision is; at the beginning of the log if it says nothing."""
    if key is not None and len(key) == _HINT.size:
        offset, leader_epoch = _HINT.unpack(key)
        if offset >= 0:
            return Position(DECISIONS, 0, offset, leader_epoch)
    return _FIRST_DECISION


class ReplicaMachine(Machine):
    """One replica.

    Args:
        epochs: genesis and configurations.
        index: which replica this is, from 0.
        encoder: makes the slices; the configured code, unless this replica is to lie in a demonstration.
        hinted: whether the own last piece's hint is followed; if not, the log is read from its beginning.
    """

    def __init__(
        self, *, epochs: Epochs, index: int, encoder: Encoder | None = None, hinted: bool = True
    ) -> None:
        super().__init__()
        self._epochs = epochs
        self._limits = epochs.limits
        self._ranges = BlockRanges(epochs)
        self._index = index
        self._encoder = encoder
        self._hinted = hinted
        self._topic = pieces_topic(index)
        self._journal = _Journal()
        self._ahead: _Ahead | None = None
        self._beyond = self._searched_for = -1
        self._published = b""
        self._measures: dict[str, float] = {}

    def run(self) -> Steps:
        """Find the own place and follow the decisions; again, if the own pieces turn out to be gone."""
        while True:
            yield from self._resume()
            yield from self._follow()

    # --- Finding the place ---

    def _resume(self) -> Steps:
        """Take up the journal behind the own last piece, or at its beginning."""
        place = yield from find_place(self._index, self._epochs)
        self._ahead, self._beyond, self._published = None, -1, place.header
        self._journal = _Journal(
            sequence=place.sequence,
            statement_hash=place.statement_hash,
            block=place.block,
            previous_root=place.previous_root,
            next_decision=_hinted(place.key) if self._hinted else _FIRST_DECISION,
        )
        yield Seek(positions=(self._journal.next_decision,))
        if place.sequence >= 0:  # said at once: nobody can tell else how far an idle replica is
            yield Report(metrics={"gauge_sequence": place.sequence, "gauge_block": place.block})

    # --- Following the decisions ---

    def _follow(self) -> Steps:
        """Append decision after decision, until the own last piece is no longer there."""
        looked_at_ms = moved_at_ms = self.now_ms
        while True:
            received: Received = yield Receive(
                topics=(DECISIONS,), max_messages=_RECEIVED_AT_ONCE, wait_ms=self._limits.resend_first_ms
            )
            before = self._journal.sequence
            for message in received.messages:
                yield from self._take(message)
            for alarm in received.alarms:
                self._count("alarm_tail_lost")
                self._ahead = _Ahead(-1, Position(alarm.topic, alarm.partition, alarm.end_offset))
            moved = self._journal.sequence > before
            if moved or self._beyond <= self._journal.sequence:
                moved_at_ms = self.now_ms
            yield from self._close_gap(moved, silent=not received.messages)
            yield from self._report()
            if self.now_ms - moved_at_ms >= self._limits.resend_longest_ms:
                text = f"{self._beyond} is decided, and nothing shows what follows {self._journal.sequence}"
                yield Halt(code=BEHIND, text=text)
            if self.now_ms - looked_at_ms >= self._limits.resend_longest_ms:
                looked_at_ms = self.now_ms
                if (yield from self._is_unpublished()):
                    return

    def _close_gap(self, moved: bool, silent: bool) -> Steps:
        """Go back for what was left out: behind a gap that has closed, or for the one that is missing.

        Whoever begins too late, at a wrong hint or after a lost tail, looks for the missing decision once
        from the beginning of the log; after that it waits until it is sent again.
        """
        if self._ahead is None:
            return
        if moved and self._ahead.sequence <= self._journal.sequence + 1:
            yield Seek(positions=(self._ahead.position,))
            self._ahead = None
        elif silent and self._searched_for <= self._journal.sequence:
            self._searched_for = self._journal.sequence + 1
            yield Seek(positions=(_FIRST_DECISION,))
            self._ahead = None

    def _is_unpublished(self) -> Generator[Effect, Any, bool]:
        """Whether the own last piece is missing among the newest of the own topic."""
        if not self._published:
            return False
        tail: Received = yield ReadTail(topic=self._topic, count=_TAIL)
        return not any(self._published in (message.value or b"") for message in tail.messages)

    def _take(self, message: Message) -> Steps:
        """Append the decision in a message if it is the next; remember its place if it comes too early."""
        statement = self._statement_of(message)
        if statement is None:
            self._count("skipped")
            return
        following = self._journal.sequence + 1
        if statement.sequence < following or (statement.sequence > following and self._ahead is not None):
            return
        opened = self._open(message)
        if opened is None:
            self._count("skipped")
            return
        decision, checked = opened
        verified: Verified = yield Verify(checks=checked.checks)
        if not all(verified.valid):
            self._count("skipped")
        elif statement.sequence > following:
            self._beyond = max(self._beyond, statement.sequence)
            place = Position(message.topic, message.partition, message.offset, message.leader_epoch)
            self._ahead = _Ahead(statement.sequence, place)
        else:
            yield from self._append(message, decision, checked)

    def _statement_of(self, message: Message) -> Statement | None:
        """The statement in a message, if it is one of this ledger; nothing of it is authentic yet."""
        try:
            signed = DecisionHead.of_decision(message.value or b"").signed
            statement = Statement.from_bytes(signed.statement)
        except MalformedMessageError:
            return None
        return statement if statement.ledger_id == self._epochs.ledger_id else None

    def _open(self, message: Message) -> tuple[Decision, CheckedStatement] | None:
        try:
            decision = Decision.from_message(message.value or b"")
            return decision, check_parts(decision.signed, self._epochs)
        except (MalformedMessageError, CountersignError):
            return None

    # --- Appending and dispersing ---

    def _append(self, message: Message, decision: Decision, checked: CheckedStatement) -> Steps:
        """Append a doubly signed decision, unless its content was altered on the way."""
        statement, journal = checked.statement, self._journal
        if statement.previous_statement_hash != journal.statement_hash:
            text = f"sequence {statement.sequence} is doubly signed, and does not follow this journal"
            yield Halt(code="journal.predecessor", text=text)
        try:
            check_content(decision, statement, checked.header)
        except UpdateError:
            self._count("skipped")
            return
        update = update_bytes(decision, Decision.body_of(message.value or b""))
        journal.updates.append(update)
        journal.sequence = statement.sequence
        journal.statement_hash = checked.statement_hash
        journal.signed = decision.signed
        journal.next_decision = Position(DECISIONS, 0, message.offset + 1, message.leader_epoch)
        self._count("updates")
        place = self._ranges.of_sequence(statement.sequence)
        if statement.sequence == place.last_sequence:
            yield from self._disperse(place)

    def _disperse(self, place: BlockRange) -> Steps:
        """Publish the own piece of the block that is full, and begin the next one."""
        journal, configuration = self._journal, self._epochs.at(place.epoch)
        assert (journal.block, len(journal.updates)) == (place.block, place.updates)
        assert journal.signed is not None
        block = frame_block(journal.updates)
        description = describe(
            configuration, place, len(block), journal.previous_root, journal.statement_hash
        )
        encoder = self._encoder or erasure_code(configuration.k, configuration.n)
        made = disperse(description, block, encoder)
        if has_share(self._index, place.epoch, self._epochs):
            yield from self._publish(made, journal.signed)
        journal.block += 1
        journal.previous_root = made.root
        journal.updates = []

    def _publish(self, made: Dispersal, last: Countersigned) -> Steps:
        """Publish the own piece, with a hint where the next decision is."""
        piece = yield from sign_piece(made, self._index, last)
        hint = _HINT.pack(self._journal.next_decision.offset, self._journal.next_decision.leader_epoch)
        yield Publish(messages=(Outgoing(self._topic, 0, hint, piece),))
        self._published = made.header(self._index).to_bytes()
        self._count("blocks")
        self._count("published_bytes", len(piece))

    # --- Measures ---

    def _count(self, name: str, amount: float = 1) -> None:
        self._measures[name] = self._measures.get(name, 0) + amount

    def _report(self) -> Steps:
        if self._measures:
            self._measures["gauge_sequence"] = self._journal.sequence
            self._measures["gauge_block"] = self._journal.block
            measures, self._measures = self._measures, {}
            yield Report(metrics=measures)
