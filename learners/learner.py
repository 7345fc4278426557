"""The learner machine: rebuilds the journal from pieces, trusts no single replica, hands it on in order.

Rules:

1. A piece counts only under its replica's signature and from its replica's topic.
2. Blocks are rebuilt, and liars found, by `learners.reconstruction`; a block's last statement must bear both
   parties' signatures.
3. The journal inside is checked from the last one learned: the chain of statements with its roots, every
   order and commitment, all entries, outcomes, outputs and values. Whatever does not fit ends the learner: it
   never guesses, and never hands on what it could not check.
4. Liars are accused with evidence. Silence is measured as lag and as missing blocks, and accuses nobody.
5. Blocks are handed on strictly in order. The change feed is published before the rows are stored, and these
   are stored together with the position, so a crash repeats messages of the feed and nothing else.

Source: seed paper, sections 3.3 and 3.4.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from learners.accounting import Observer, replicas_max
from learners.blame import BlockEncoder, accuse, accuse_many, accuse_parties
from learners.clients import ClientKeys
from learners.dispersal import BlockError, open_block
from learners.intake import PieceIntake
from learners.journal import FollowedUpdate, follow
from learners.position import LearnerPosition
from learners.reconstruction import MoreLiarsError, Rebuilt, Reconstruction
from learners.rows import BATCH_AGE_MS, RowGatherer, genesis_rows
from learners.updates import UpdateError
from protocol.configuration import Epochs
from protocol.journal import Head
from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence
from schemas.topics import EVIDENCE, LEARNED
from storage.effects import (
    Append,
    Effect,
    Halt,
    LoadPosition,
    Outgoing,
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


class _Checked(NamedTuple):
    """A block whose journal continues the one learned so far, up to `head`."""

    rebuilt: Rebuilt
    followed: Sequence[FollowedUpdate]
    head: Head


class LearnerMachine(Machine):
    """One learner.

    Args:
        epochs: genesis and configurations.
        feed: whether to publish what is learned on `learned`.
        check_clients: whether to verify every client's signature as well; views that were filled without it
            cannot be gone on with.
        observer: told of what is received and decoded, if anybody wants to know.
    """

    def __init__(
        self,
        *,
        epochs: Epochs,
        feed: bool = True,
        check_clients: bool = False,
        observer: Observer | None = None,
    ) -> None:
        super().__init__()
        self._epochs = epochs
        self._limits = epochs.limits
        self._feed = feed
        self._observer = observer
        self._clients = ClientKeys.of_genesis(epochs) if check_clients else None
        self._take_up(LearnerPosition.start(replicas_max(epochs)))
        self._rows = RowGatherer()
        self._learned: list[bytes] = []
        self._measures: dict[str, float] = {}
        self._reported_at_ms = 0

    def run(self) -> Steps:
        """Go on from the stored position, for ever."""
        yield from self._load()
        while True:
            received: Received = yield Receive(
                topics=self._intake.topics_with_room(),
                max_messages=_RECEIVED_AT_ONCE,
                wait_ms=min(BATCH_AGE_MS, self._limits.resend_first_ms),
            )
            self._intake.take_alarms(received.alarms)
            yield from self._intake.admit(received.messages)
            while (yield from self._learn_next()):
                pass
            yield from self._accuse()
            if self._rows.due(self.now_ms):
                yield from self._store()
            if self.now_ms - self._reported_at_ms >= _REPORT_MS:
                yield from self._report()

    # --- Position ---

    def _take_up(self, position: LearnerPosition) -> None:
        """Stand at a position, with nothing in hand."""
        self._at = position
        self._reconstruction = Reconstruction(
            epochs=self._epochs,
            window_bytes=self._limits.learner_window_bytes,
            block=position.block,
            previous_root=position.previous_root,
            blamed=position.blamed,
        )
        self._intake = PieceIntake(
            epochs=self._epochs,
            reconstruction=self._reconstruction,
            read_on=position.read_on,
            count=self._count,
            observer=self._observer,
        )

    def _load(self) -> Steps:
        """Take up the stored position; new views begin with the records of the genesis."""
        loaded: PositionLoaded = yield LoadPosition()
        if loaded.position.state:
            self._take_up(LearnerPosition.from_bytes(loaded.position.state).reading(replicas_max(self._epochs)))
            if self._clients is not None and not self._at.clients:
                text = "these views were filled without checking clients: delete them to have all checked"
                yield Halt(code="config.invalid", text=text)
            if self._clients is not None:
                self._clients = ClientKeys.from_bytes(self._at.clients, self._epochs)
        else:
            rows = genesis_rows(self._epochs.ledger_id, self._epochs.genesis)
            yield Append(rows=rows, position=self._position())
        yield Seek(positions=self._at.read_on)

    def _store(self) -> Steps:
        """Publish and store what was learned since the last time."""
        if self._learned:
            yield Publish(messages=tuple(Outgoing(LEARNED, 0, None, message) for message in self._learned))
            self._learned = []
        yield Append(rows=self._rows.take(), position=self._position())

    def _position(self) -> ViewPosition:
        """What the views keep: where the learner stands, whom it blamed, and the clients' keys if it checks them."""
        reconstruction = self._reconstruction
        self._at = replace(
            self._at,
            block=reconstruction.block,
            previous_root=reconstruction.previous_root,
            read_on=self._intake.read_on(),
            blamed=reconstruction.blamed,
            clients=b"" if self._clients is None else self._clients.to_bytes(),
        )
        return ViewPosition(self._at.head.sequence, self._at.to_bytes())

    # --- Blocks ---

    def _learn_next(self) -> Generator[Effect, Any, bool]:
        """Learn the next block if its pieces are there; whether it was."""
        try:
            rebuilt = yield from self._intake.next_block()
            yield from self._convict_parties()
            if rebuilt is None:
                return False
            checked = self._check(rebuilt)
            yield from self._verify_clients(checked)
            self._learn(checked)
        except MoreLiarsError as error:
            yield from self._end(error)
        return True

    def _end(self, error: MoreLiarsError) -> Steps:
        """Too many replicas lied, or both parties did: show what shows it, and stop."""
        yield from self._accuse()
        yield from self._publish_evidence(accuse_many(error, self._epochs, BlockEncoder(self._epochs)))
        replicas = [piece.replica for piece in error.pieces]
        text = f"block {self._reconstruction.block}, replicas {replicas}: {error}"
        yield Halt(code="replicas.assumption", text=text)

    def _verify_clients(self, checked: _Checked) -> Steps:
        """Verify every client's signature, if asked to.

        Raises:
            MoreLiarsError: one fails.
        """
        if self._clients is None:
            return
        try:
            checks = self._clients.checks(checked.followed)
        except UpdateError as error:
            raise self._reconstruction.reject(checked.rebuilt, str(error)) from error
        verified: Verified = yield Verify(checks=checks)
        if not all(verified.valid):
            raise self._reconstruction.reject(checked.rebuilt, "a client's signature fails")

    def _check(self, rebuilt: Rebuilt) -> _Checked:
        """Check the journal in a block.

        Raises:
            MoreLiarsError: it is not what both parties signed.
        """
        try:
            bodies = open_block(rebuilt.block, rebuilt.place.updates)
            followed, head = follow(self._at.head, bodies, self._epochs)
        except (BlockError, UpdateError) as error:
            raise self._reconstruction.reject(rebuilt, str(error)) from error
        if head.statement_hash != rebuilt.dispersal.description.last_statement_hash:
            raise self._reconstruction.reject(rebuilt, "the block does not end with the statement its pieces name")
        return _Checked(rebuilt, followed, head)

    def _learn(self, checked: _Checked) -> None:
        """Gather the rows of a checked block, and judge all its pieces.

        Raises:
            MoreLiarsError: the rows' reader finds parts that do not fit; then both parties lied.
        """
        place = checked.rebuilt.place
        for update, statement, outcomes in checked.followed:
            try:
                message = self._rows.add(update, statement, self.now_ms, outcomes)
            except MalformedMessageError as error:
                raise self._reconstruction.reject(checked.rebuilt, str(error)) from error
            self._count("requests", statement.count)
            if self._feed:
                self._learned.append(message)
        self._rows.end_block(
            BlockRow(
                block=place.block,
                first_sequence=place.first_sequence,
                count=place.updates,
                epoch=place.epoch,
                root=checked.rebuilt.root,
                learned_at_ms=self.now_ms,
            )
        )
        self._at = replace(self._at, head=checked.head)
        self._intake.advance(checked.rebuilt)

    # --- Blame ---

    def _accuse(self) -> Steps:
        """Publish evidence of the lies that came to light, each replica's once in this learner's life."""
        yield from self._convict_parties()
        yield from self._publish_evidence([accuse(lie, self._epochs) for lie in self._intake.take_lies()])

    def _convict_parties(self) -> Steps:
        """If both parties signed two histories, say so, and stop."""
        if not self._intake.two_histories:
            return
        first, second = self._intake.two_histories
        yield from self._publish_evidence(accuse_parties(first, second, self._epochs))
        text = f"two histories at or before block {self._reconstruction.block} are doubly signed"
        yield Halt(code="evidence.raised", text=text)

    def _publish_evidence(self, found: Sequence[Evidence]) -> Steps:
        messages = [evidence.to_message() for evidence in found]
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
        reconstruction = self._reconstruction
        measures["gauge_sequence"] = self._at.head.sequence
        measures["gauge_block"] = reconstruction.block
        measures["gauge_held_bytes"] = reconstruction.window.held_bytes()
        for replica in range(len(self._at.read_on)):
            measures[f"gauge_lag_{replica}"] = reconstruction.lag(replica)
            measures[f"gauge_missing_{replica}"] = reconstruction.missing[replica]
            measures[f"gauge_blamed_{replica}"] = replica in reconstruction.blamed
        yield Report(metrics=measures)
