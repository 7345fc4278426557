"""The learner machine: rebuilds the journal from pieces, trusts no single replica, hands it on in order.

Rules:

1. A piece counts only under its replica's signature and from its replica's topic. `k > b`, so pieces of `k`
   distinct replicas under one root are more than the liars can be: one of them at least is honest.
2. A block is decoded once and encoded again, and its last statement must bear both parties' signatures.
3. The journal inside is checked from the last one learned: the chain of statements with its roots, every
   order and commitment, all entries, outcomes, outputs and values. Whatever does not fit ends the learner: it
   never guesses, and never hands on what it could not check.
4. Every other piece of the block, late ones too, is compared with what it should be, and liars are accused.
   Silence is measured as lag and accuses nobody.
5. Blocks are handed on strictly in order. The change feed is published before the rows are stored, and these
   are stored together with the position, so a crash repeats messages of the feed and nothing else.

Source: seed paper, sections 3.3 and 3.4.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from learners.blame import BlockEncoder, KnownBlock, Memory, accuse, accuse_parties
from learners.blocks import BlockRange, BlockRanges
from learners.clients import ClientKeys
from learners.dispersal import (
    BlockDescription,
    BlockError,
    NotACodewordError,
    PieceError,
    check_header,
    describe,
    open_block,
    rebuild,
)
from learners.journal import FollowedUpdate, follow
from learners.pieces import OpenedPiece, PieceFaultError, open_piece
from learners.position import LearnerPosition
from learners.rows import BATCH_AGE_MS, RowGatherer, genesis_rows
from learners.updates import UpdateError
from learners.window import PieceWindow
from protocol.configuration import Epochs
from protocol.countersigned import check_parts
from protocol.errors import CountersignError
from protocol.journal import Head
from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence
from schemas.statement import Countersigned
from schemas.topics import EVIDENCE, LEARNED
from storage.effects import (
    Append,
    Effect,
    Halt,
    LoadPosition,
    Message,
    Outgoing,
    Position,
    PositionLoaded,
    Publish,
    Receive,
    Received,
    Report,
    Seek,
    Verified,
    Verify,
)
from storage.machine import Machine, Steps
from storage.views import BlockRow, ViewPosition

_RECEIVED_AT_ONCE = 16
_REPORT_MS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    """A block whose journal continues the one learned so far, up to `head`."""

    place: BlockRange
    known: KnownBlock
    followed: Sequence[FollowedUpdate]
    head: Head


class LearnerMachine(Machine):
    """One learner.

    Args:
        epochs: genesis and configurations.
        feed: whether to publish what is learned on `learned`.
        check_clients: whether to verify every client's signature as well; views that were filled without it
            cannot be gone on with.
    """

    def __init__(self, *, epochs: Epochs, feed: bool = True, check_clients: bool = False) -> None:
        super().__init__()
        self._epochs = epochs
        self._limits = epochs.limits
        self._feed = feed
        self._ranges = BlockRanges(epochs)
        self._encoder = BlockEncoder(epochs)
        replicas = max(configuration.n for configuration in epochs.configurations)
        self._at = LearnerPosition.start(replicas)
        self._topics = tuple(place.topic for place in self._at.read_on)
        self._read_on = list(self._at.read_on)
        self._newest = [-1] * replicas
        self._window = PieceWindow(replicas, self._limits.learner_window_bytes)
        self._memory = Memory(self._limits.learner_window_bytes // 4)
        self._clients = ClientKeys.of_genesis(epochs) if check_clients else None
        self._rows = RowGatherer()
        self._learned: list[bytes] = []
        self._accusations: list[Evidence] = []
        self._seen: set[Countersigned] = set()
        self._signed: dict[bytes, Countersigned] = {}
        self._measures: dict[str, float] = {}
        self._reported_at_ms = 0

    def run(self) -> Steps:
        """Go on from the stored position, for ever."""
        yield from self._load()
        while True:
            received: Received = yield Receive(
                topics=self._topics_with_room(),
                max_messages=_RECEIVED_AT_ONCE,
                wait_ms=min(BATCH_AGE_MS, self._limits.resend_first_ms),
            )
            for alarm in received.alarms:
                self._count("alarm_tail_lost")
                self._read_on[self._topics.index(alarm.topic)] = Position(alarm.topic, 0, alarm.end_offset)
            yield from self._admit(received.messages)
            while (yield from self._learn_next()):
                pass
            yield from self._publish_accusations()
            if self._rows.due(self.now_ms):
                yield from self._store()
            if self.now_ms - self._reported_at_ms >= _REPORT_MS:
                yield from self._report()

    # --- Position ---

    def _load(self) -> Steps:
        """Take up the stored position; new views begin with the records of the genesis."""
        loaded: PositionLoaded = yield LoadPosition()
        if loaded.position.state:
            self._at = LearnerPosition.from_bytes(loaded.position.state)
            if self._clients is not None and not self._at.clients:
                text = "these views were filled without checking clients: delete them to have all checked"
                yield Halt(code="config.invalid", text=text)
            if self._clients is not None:
                self._clients = ClientKeys.from_bytes(self._at.clients, self._epochs)
        else:
            rows = genesis_rows(self._epochs.ledger_id, self._epochs.genesis)
            yield Append(rows=rows, position=self._position())
        self._read_on = list(self._at.read_on)
        yield Seek(positions=self._at.read_on)

    def _store(self) -> Steps:
        """Publish and store what was learned since the last time."""
        if self._learned:
            yield Publish(messages=tuple(Outgoing(LEARNED, 0, None, message) for message in self._learned))
            self._learned = []
        read_on = tuple(self._window.earliest(replica) or place for replica, place in enumerate(self._read_on))
        self._at = replace(self._at, read_on=read_on)
        yield Append(rows=self._rows.take(), position=self._position())

    def _position(self) -> ViewPosition:
        """What the views keep: where the learner stands, and the clients' keys if it checks them."""
        clients = b"" if self._clients is None else self._clients.to_bytes()
        self._at = replace(self._at, clients=clients)
        return ViewPosition(self._at.head.sequence, self._at.to_bytes())

    # --- Pieces ---

    def _topics_with_room(self) -> tuple[str, ...]:
        return tuple(topic for replica, topic in enumerate(self._topics) if self._window.has_room(replica))

    def _admit(self, messages: Sequence[Message]) -> Steps:
        """Open messages, verify whose they are, and keep what is of the next block or a later one."""
        opened = [piece for piece in map(self._open, messages) if piece is not None]
        if not opened:
            return
        checks = tuple(piece.signature_check(self._epochs.at(piece.header.epoch)) for piece in opened)
        verified: Verified = yield Verify(checks=checks)
        for piece, valid in zip(opened, verified.valid, strict=True):
            if not valid:
                self._count("skipped")
            elif not piece.fits(self._epochs.at(piece.header.epoch)):
                self._count(f"misconfigured_{piece.replica}")
            else:
                self._newest[piece.replica] = max(self._newest[piece.replica], piece.header.block)
                if piece.header.block < self._at.block:
                    yield from self._judge_late(piece)
                else:
                    yield from self._hold(piece)

    def _open(self, message: Message) -> OpenedPiece | None:
        replica = self._topics.index(message.topic)
        place = Position(message.topic, message.partition, message.offset + 1, message.leader_epoch)
        self._read_on[replica] = place
        self._count("messages")
        self._count("received_bytes", len(message.value or b""))
        try:
            return open_piece(message, replica, self._epochs)
        except PieceFaultError:
            self._count("skipped")
            return None

    def _hold(self, piece: OpenedPiece) -> Steps:
        """Keep an authentic piece, to count for its block or to be judged with it.

        The broker may have altered the statement beside the one that is held: a repetition's is taken if it is good.
        """
        consistent = self._is_consistent(piece)
        if consistent and not piece.slice_is_whole:
            self._count("skipped")
        elif not self._window.add(piece, consistent):
            self._count("repeated")
            if self._window.lacks(piece) and (yield from self._is_last_statement(piece.last, piece.header.block)):
                self._window.amend(piece)

    def _is_consistent(self, piece: OpenedPiece) -> bool:
        """Whether a header neither contradicts itself nor names another place than its block has."""
        header = piece.header
        place = self._ranges.of_block(header.block)
        if (header.epoch, header.first_sequence, header.count) != (
            place.epoch,
            place.first_sequence,
            place.updates,
        ):
            return False
        try:
            check_header(header)
        except PieceError:
            return False
        return True

    # --- Blocks ---

    def _learn_next(self) -> Generator[Effect, Any, bool]:
        """Learn the next block if its pieces are there; whether it was."""
        votes = self._window.votes(self._at.block)
        yield from self._verify_last_statements(votes)
        chosen = self._agreeing(votes)
        if chosen is None:
            return False
        try:
            decoded = self._decode(chosen)
            if self._clients is not None:
                verified: Verified = yield Verify(checks=self._clients.checks(decoded.followed))
                if not all(verified.valid):
                    raise UpdateError("a client's signature fails")
            self._learn(decoded)
        except (NotACodewordError, BlockError, UpdateError, MalformedMessageError) as error:
            text = f"block {self._at.block}, replicas {[piece.replica for piece in chosen]}: {error}"
            yield Halt(code="replicas.assumption", text=text)
        return True

    def _verify_last_statements(self, votes: Sequence[OpenedPiece]) -> Steps:
        """Verify every statement that is said to end the block, each once; two convict the parties."""
        for piece in votes:
            if piece.last in self._seen or not piece.last_is_whole:
                continue
            self._seen.add(piece.last)
            if (yield from self._is_last_statement(piece.last, piece.header.block)):
                self._signed[piece.header.last_statement_hash] = piece.last
        if len(self._signed) > 1:
            first, second = list(self._signed.values())[:2]
            yield from self._convict_parties(first, second)

    def _is_last_statement(self, last: Countersigned, block: int) -> Generator[Effect, Any, bool]:
        """Whether both parties signed this as the statement that ends a block."""
        try:
            checked = check_parts(last, self._epochs)
        except CountersignError:
            return False
        if checked.statement.sequence != self._ranges.of_block(block).last_sequence:
            return False
        verified: Verified = yield Verify(checks=checked.checks)
        return all(verified.valid)

    def _agreeing(self, votes: Sequence[OpenedPiece]) -> list[OpenedPiece] | None:
        """`k` pieces under one root whose last statement is signed; replicas that never lied first."""
        by_root: dict[bytes, list[OpenedPiece]] = {}
        for piece in votes:
            if piece.header.last_statement_hash in self._signed:
                by_root.setdefault(piece.header.root, []).append(piece)
        for pieces in by_root.values():
            k = pieces[0].header.k
            if len(pieces) >= k:
                return sorted(pieces, key=lambda piece: (piece.replica in self._at.blamed, piece.replica))[:k]
        return None

    def _decode(self, chosen: Sequence[OpenedPiece]) -> _Decoded:
        """Decode a block and check the journal in it.

        Raises:
            NotACodewordError, BlockError, UpdateError: it is not what both parties signed.
        """
        header = chosen[0].header
        place = self._ranges.of_block(header.block)
        block, made = rebuild(
            BlockDescription.of(header), header.root, {piece.replica: piece.slice for piece in chosen}
        )
        self._count("decodes")
        followed, head = follow(self._at.head, open_block(block, place.updates), self._epochs)
        expected = describe(
            self._epochs.at(place.epoch), place, len(block), self._at.previous_root, head.statement_hash
        )
        if made.description != expected:
            raise UpdateError("the block does not follow the one before it")
        last = self._signed[header.last_statement_hash]
        known = KnownBlock(dispersal=made, block=block, last=last)
        return _Decoded(place=place, known=known, followed=followed, head=head)

    def _learn(self, decoded: _Decoded) -> None:
        """Gather the rows of a checked block, and judge all its pieces.

        Raises:
            MalformedMessageError: the rows' reader finds parts that do not fit; then both parties lied.
        """
        place, known, root = decoded.place, decoded.known, decoded.known.dispersal.root
        for update, statement, outcomes in decoded.followed:
            message = self._rows.add(update, statement, self.now_ms, outcomes)
            self._count("requests", statement.count)
            if self._feed:
                self._learned.append(message)
        self._rows.end_block(
            BlockRow(
                block=place.block,
                first_sequence=place.first_sequence,
                count=place.updates,
                epoch=place.epoch,
                root=root,
                learned_at_ms=self.now_ms,
            )
        )
        self._memory.remember(known)
        self._at = replace(self._at, block=place.block + 1, previous_root=root, head=decoded.head)
        for piece in self._window.take(place.block):
            self._judge(piece, known)
        self._seen.clear()
        self._signed.clear()

    # --- Blame ---

    def _judge_late(self, piece: OpenedPiece) -> Steps:
        """Compare a piece of a block that was learned already with what it should be."""
        self._count("late")
        known = self._memory.get(piece.header.block)
        if known is None:
            return
        about = known.dispersal.description
        differs = piece.header.last_statement_hash != about.last_statement_hash and piece.last_is_whole
        if differs and (yield from self._is_last_statement(piece.last, piece.header.block)):
            yield from self._convict_parties(known.last, piece.last)
        self._judge(piece, known)

    def _judge(self, piece: OpenedPiece, known: KnownBlock) -> None:
        """Accuse the replica of an authentic piece that is not the block's, once in this learner's life."""
        replica = piece.replica
        if known.is_of(piece):
            return
        self._count(f"wrong_{replica}")
        if replica in self._at.blamed:
            return
        evidence = accuse(piece, known, self._epochs, self._encoder)
        if evidence is not None:
            self._at = replace(self._at, blamed=self._at.blamed | {replica})
            self._accusations.append(evidence)

    def _convict_parties(self, first: Countersigned, second: Countersigned) -> Steps:
        """Both parties signed two histories: say so, and stop."""
        self._accusations += accuse_parties(first, second, self._epochs)
        yield from self._publish_accusations()
        yield Halt(code="evidence.raised", text=f"two histories of block {self._at.block} are doubly signed")

    def _publish_accusations(self) -> Steps:
        messages = [evidence.to_message() for evidence in self._accusations]
        self._accusations = []
        fitting = [message for message in messages if len(message) <= self._limits.message_bytes]
        self._count("evidence_too_large", len(messages) - len(fitting))
        if fitting:
            self._count("evidence", len(fitting))
            yield Publish(messages=tuple(Outgoing(EVIDENCE, 0, None, message) for message in fitting))

    # --- Measures ---

    def _count(self, name: str, amount: float = 1) -> None:
        if amount:
            self._measures[name] = self._measures.get(name, 0) + amount

    def _report(self) -> Steps:
        self._reported_at_ms = self.now_ms
        measures, self._measures = self._measures, {}
        measures["gauge_sequence"] = self._at.head.sequence
        measures["gauge_block"] = self._at.block
        measures["gauge_held_bytes"] = self._window.held_bytes()
        for replica, newest in enumerate(self._newest):
            measures[f"gauge_lag_{replica}"] = max(0, self._at.block - 1 - newest)
            measures[f"gauge_blamed_{replica}"] = replica in self._at.blamed
        yield Report(metrics=measures)
