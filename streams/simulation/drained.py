"""When a run is over: nothing is open, everything is equal, every request is settled.

Both parties hold the same records, version by version and bit for bit; so does the twin, and the learner.
"""

from dataclasses import dataclass

from learners.position import LearnerPosition
from protocol.records import RecordKey
from schemas.errors import MalformedMessageError
from schemas.piece import Piece, PieceHeader
from schemas.statement import DecisionHead, Statement
from schemas.topics import DECISIONS, RECEIPTS, REJECTIONS, pieces_topic
from storage.effects import Message
from storage.memory_store import MemoryStore
from storage.ports import BUCKET_MS, RequestExpiry, Version
from streams.simulation.checks import Checker
from streams.simulation.clients import Asked, Book, Client
from streams.simulation.twin import require
from streams.simulation.world import World, is_lost


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What has to come true, and be true, at the end of a run."""

    world: World
    checker: Checker
    book: Book
    clients: list[Client]
    lost_tails: set[str]

    # --- What has to come true ---

    def what_is_open(self) -> str:
        """What is not done yet, empty if nothing is."""
        checker = self.checker
        if not all(client.is_done for client in self.clients):
            return "clients have more to ask"
        if checker.decided != checker.ordered:
            return f"ordered up to {checker.ordered}, decided up to {checker.decided}"
        ledger = _sequence(self.world.ledger.store) if not is_lost(self.world.ledger) else None
        if ledger != checker.ordered:
            return f"ordered up to {checker.ordered}, committed up to {ledger}"
        for asked in self.book.asked.values():
            what = self._open_about(asked)
            if what:
                return f"request {asked.request_id.hex()[:8]} ({asked.ask.contract}) {what}"
        return self._unfinished_blocks()

    def _open_about(self, asked: Asked) -> str:
        decided = asked.request_id in self.checker.twin.decided
        if decided or asked.request_id in self.checker.rejected:
            topic = RECEIPTS if decided else REJECTIONS
            hopeless = topic in self.lost_tails or self._has_expired(asked)
            return "" if asked.is_answered or hopeless else "has no answer"
        is_a_lie = asked.body.after > self.checker.ordered
        if not asked.authentic or is_a_lie or self._has_expired(asked):
            return ""
        return "is not decided"

    def _has_expired(self, asked: Asked) -> bool:
        return asked.body.expiry_ms < self.checker.ordered_at_ms or asked.body.expiry_ms < self.world.now_ms

    def _unfinished_blocks(self) -> str:
        updates = self.checker.ordered + 1
        size = self.world.founding.epochs.latest.block_updates
        if updates % size:
            return f"a block is half full at {updates} updates"
        if not self._log_has_all(updates):
            return ""  # what is older than the outbox, and was lost, only other replicas could give back
        held = [_blocks(self.world, replica) for replica in range(self.world.founding.dispersed.n)]
        for replica, blocks in enumerate(held):
            missing = set(range(updates // size)) - blocks
            if missing and pieces_topic(replica) not in self.lost_tails:
                return f"replica {replica} has not published blocks {sorted(missing)}"
        learnable = self._learnable(held, updates // size) * size - 1
        if self.world.views.position().sequence < learnable:
            return f"the learner is at {self.world.views.position().sequence} of {learnable}"
        return ""

    def _learnable(self, held: list[set[int]], blocks: int) -> int:
        """How many blocks the log has enough pieces of; all, unless the broker lost some for good."""
        k = self.world.founding.epochs.latest.k
        return next((b for b in range(blocks) if sum(b in pieces for pieces in held) < k), blocks)

    def _log_has_all(self, updates: int) -> bool:
        """Whether the broker kept every decision, or was given it again."""
        if DECISIONS not in self.lost_tails:
            return True
        return len({sequence_of(message) for message in self.world.log.messages(DECISIONS)} - {-1}) >= updates

    # --- What has to be true then ---

    def check(self) -> None:
        """Compare everything with everything.

        Raises:
            Violation: it is not equal.
        """
        self._check_requests()
        self._check_records("auditor", self.world.auditor.store)
        self._check_records("ledger", self.world.ledger.store)
        self._check_same_records()
        self._check_replay_guards()
        self._check_learned()

    def _check_requests(self) -> None:
        for asked in self.book.asked.values():
            at = self.checker.twin.decided.get(asked.request_id)
            name = f"request {asked.request_id.hex()[:8]} ({asked.ask.contract})"
            require(asked.sequence is None or asked.sequence == at, f"I6: {name}: its receipt says otherwise")
            require(at is None or not asked.ask.must_fail, f"{name} was ordered")
            require(at is None or asked.authentic, f"{name} was ordered and is forged")
            require(at is None or at > asked.floor, f"I4: {name} at {at}, sent after {asked.floor}")
        unknown = self.checker.twin.decided.keys() - self.book.asked.keys()
        require(not unknown, "requests were decided that nobody made")

    def _check_records(self, party: str, store: MemoryStore) -> None:
        twin = self.checker.twin
        wanted = [Version(key, n + 1) for key, all_of_it in twin.records.items() for n in range(len(all_of_it))]
        found = store.fetch(versions=wanted).versions
        for version in wanted:
            mine = twin.records[version.key][version.version - 1]
            theirs = found.get(version)
            require(theirs is not None, f"I6: the {party} lacks {version}")
            assert theirs is not None
            same = (theirs.value, theirs.record_hash, theirs.writer_sequence, theirs.writer_index)
            expected = (mine.value or b"", mine.record_hash, mine.writer_sequence, mine.writer_index)
            require(same == expected, f"I6: {party}: {version} is {same}, should be {expected}")

    def _check_same_records(self) -> None:
        for namespace in sorted({key.namespace for key in self.checker.twin.records}):
            auditor, ledger = (
                list(site.store.records(namespace)) for site in (self.world.auditor, self.world.ledger)
            )
            require(auditor == ledger, f"the stores differ in {namespace}")
            names = [key.key for key in self.checker.twin.records if key.namespace == namespace]
            require([name for name, _ in auditor] == sorted(names), f"keys of {namespace}")

    def _check_replay_guards(self) -> None:
        """A request that could still be ordered is in both guards."""
        twin = self.checker.twin
        newest_ms = self.checker.ordered_at_ms // BUCKET_MS * BUCKET_MS
        wanted = [
            RequestExpiry(request_id, request.body.expiry_ms)
            for request_id, request in twin.requests.items()
            if request.body.expiry_ms >= newest_ms
        ]
        expected = {request_id: twin.decided[request_id] for request_id, _ in wanted}
        for site in (self.world.auditor, self.world.ledger):
            guarded = site.store.fetch(replay=wanted).replayed
            require(guarded == expected, f"I3: the replay guard of the {site.party} lacks requests")

    def _check_learned(self) -> None:
        """The learner's rows are the twin's versions, and its requests those decided, as far as it has got."""
        twin, position = self.checker.twin, self.world.views.position()
        if position.sequence >= 0:
            head = LearnerPosition.from_bytes(position.state).head
            require(head.statement_hash == twin.journal[position.sequence], "I5: the learner has another journal")
        learned = {
            (RecordKey(row[0].decode(), row[1].decode()), row[2]): (row[4], row[5], row[6], row[7])
            for row in self.world.views.versions
        }
        expected = {
            (key, number): tuple(version)
            for key, versions in twin.records.items()
            for number, version in enumerate(versions, start=1)
            if version.writer_sequence <= position.sequence
        }
        require(learned == expected, "I5: the learner's versions are not those of the journal")
        requests = [row[:2] for row in self.world.views.requests]
        decided = [place for place in twin.decided.items() if place[1] <= position.sequence]
        require(requests == decided, "I5: the learner's requests")


def _sequence(store: MemoryStore) -> int | None:
    head = store.load().cells.get("head")
    return None if head is None else int.from_bytes(head[:8], "big", signed=True)


def _blocks(world: World, replica: int) -> set[int]:
    """The blocks of which a replica's topic has a piece."""
    blocks = set()
    for message in world.log.messages(pieces_topic(replica)):
        try:
            blocks.add(PieceHeader.from_bytes(Piece.from_message(message.value or b"").header).block)
        except MalformedMessageError:
            continue
    return blocks


def sequence_of(message: Message) -> int:
    """The sequence that a message of `decisions` claims, -1 if it is none."""
    try:
        head = DecisionHead.of_decision(message.value or b"")
        return Statement.from_bytes(head.signed.statement).sequence
    except MalformedMessageError:
        return -1
