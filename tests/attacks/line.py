"""A whole ledger in memory: the real machines of both parties, of the replicas and of a learner, over one log.

A test asks for something (`Line.ask`), lets time pass (`Line.run`), tampers with a party's store, bends what a
stage sends, and then sees who was named (`Line.named`). `check_honest` holds a line to what is true of every one
where nobody lies: all is decided and learned alike, nobody has halted, and the topic `evidence` is empty.
"""

from collections.abc import Iterator
from functools import partial

from auditor.order import OrderMachine
from auditor.state import initial_cells as auditor_cells
from auditor.validate import ValidateMachine
from learners.blame import BlockEncoder
from learners.learner import LearnerMachine
from learners.replica import ReplicaMachine
from ledger.commit import CommitMachine
from ledger.rebuild import REBUILT, RebuildMachine
from ledger.state import initial_cells as ledger_cells
from protocol.canonical_json import dumps
from protocol.contracts.genesis import genesis_versions
from protocol.errors import CountersignError
from protocol.evidence import build
from protocol.evidence.verdicts import Culprit, Verdict
from protocol.evidence.verify import verify_evidence
from protocol.records import Record, RecordKey, record_hash
from protocol.requests import OpenedRequest
from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence
from schemas.order import Order, OrderHeader
from schemas.outcome import request_id_of
from schemas.rejection import Refused, RejectionEntry
from schemas.statement import Decision, Result, Statement
from schemas.topics import topic_table
from storage.effects import Outgoing
from storage.memory_store import MemoryStore
from storage.ports import RecordWrite, StoreCall, Stored
from streams.client_receipts import ClientReceipt, check_outcome, check_receipts, check_rejections
from streams.memory_log import MemoryLog
from tests.attacks.stages import Disks, MemoryGuard, Stage
from tests.gallery.hanging import engine
from tests.parties import REPLICAS, key_of
from tests.unit.learners.cluster import MemoryViews
from tests.worlds import START_MS, World

PARTITIONS = 2
NAMESPACES = ("bank", "object", "sys")
SALT_SECRET = b"salt" * 8


class Line:
    """A ledger of which everything is in this process.

    Attributes:
        clients: makes requests, and has the keys of everybody for whoever wants to lie.
        auditor, ledger: the parties' disks.
        stages: by name: "order", "validate", "commit", "replica 0" ..., "learner".
        views: of the learner.
    """

    def __init__(self, nonce: bytes = b"world", *, learns: bool = False) -> None:
        self.clients = World(nonce)
        self.epochs = epochs = self.clients.epochs
        self.log = MemoryLog({topic.name: topic.partitions for topic in topic_table(PARTITIONS, REPLICAS)})
        self.log.advance(START_MS)
        self.auditor = self._disks("auditor", epochs.latest.auditor_store_id, auditor_cells(epochs))
        self.ledger = self._disks("ledger", b"l" * 32, ledger_cells(epochs, b"l" * 32))
        order = partial(OrderMachine, epochs=epochs, salt_secret=SALT_SECRET, partitions=PARTITIONS)
        self.stages = {
            "order": Stage(order, self.log, disks=self.auditor),
            "validate": Stage(partial(ValidateMachine, epochs=epochs), self.log, disks=self.auditor),
            "commit": Stage(partial(CommitMachine, epochs=epochs), self.log, disks=self.ledger),
        }
        self.views = MemoryViews()
        if learns:
            for index in range(REPLICAS):
                replica = partial(ReplicaMachine, epochs=epochs, index=index)
                self.stages[f"replica {index}"] = Stage(replica, self.log, key=key_of(f"replica {index}"))
            learner = partial(LearnerMachine, epochs=epochs, check_clients=True)
            self.stages["learner"] = Stage(learner, self.log, views=self.views)
        self._writer = self.log.writer()
        self._asked: dict[bytes, OpenedRequest] = {}

    def _disks(self, party: str, store_id: bytes, cells: dict[str, bytes]) -> Disks:
        store = MemoryStore()
        store.create(store_id)
        pairs = ((RecordKey(r.namespace, r.key), r.value) for r in self.epochs.genesis.records)
        writes = tuple(RecordWrite(*pair) for pair in genesis_versions(self.epochs.ledger_id, pairs))
        assert isinstance(store.apply(StoreCall(expected_cells={}, writes=writes, cells=cells)), Stored)
        return Disks(store=store, guard=MemoryGuard(), key=key_of(party))

    # --- Time ---

    def run(self, ms: int = 3000) -> None:
        """Let time pass, and everybody do what there is to do."""
        end = self.log.now_ms + ms
        while self.log.now_ms < end:
            if self.turn():
                self.log.advance(self.log.now_ms + 1)
                continue
            dues = [stage.due_ms for stage in self.stages.values()]
            self.log.advance(min([end, *(max(due, self.log.now_ms + 1) for due in dues if due is not None)]))
        self.turn()
        self.clients.now_ms = self.log.now_ms

    def turn(self) -> bool:
        """Let everybody do what there is to do now."""
        return sum(stage.move() for stage in self.stages.values()) > 0

    # --- What goes in ---

    def ask(self, *requests: OpenedRequest, partition: int = 0) -> None:
        """Send requests."""
        for request in requests:
            self._asked[request.request_id] = request
            self.send("requests", request.envelope.to_message(), partition)

    def send(self, topic: str, value: bytes, partition: int = 0) -> None:
        """Write to a topic, as anybody can."""
        self._writer.send([Outgoing(topic, partition, None, value)])

    def put(self, key: str, value: object) -> None:
        """Have an object written."""
        self.ask(self.clients.put(key, value))
        self.run()

    def get(self, key: str) -> OpenedRequest:
        """Ask for an object, and give the request."""
        request = self.clients.get(key)
        self.ask(request)
        return request

    def alter(self, party: Disks, key: RecordKey, value: object, *, recompute: bool) -> None:
        """Change a record at rest; whoever does it well recomputes its hash."""
        old = party.store.fetch((key,)).records[key]
        data = dumps(value)
        new = old._replace(value=data)
        if recompute:
            hashed = record_hash(
                self.epochs.ledger_id, key, old.version, old.deleted, data, old.request_id, old.previous_hash
            )
            new = new._replace(record_hash=hashed)
        party.store.overwrite(key, new)

    def restore_ledger(self, store: MemoryStore) -> None:
        """Put another store, and an empty guard, under a Ledger that starts again."""
        self.ledger.store, self.ledger.guard = store, MemoryGuard()
        self.stages["commit"].crash()

    def next_version(self, party: Disks, key: RecordKey, value: object) -> Record:
        """A version that follows the current one as if its writer had written it."""
        old = party.store.fetch((key,)).records[key]
        data = dumps(value)
        hashed = record_hash(self.epochs.ledger_id, key, old.version + 1, False, data, old.request_id, old.record_hash)
        return old._replace(version=old.version + 1, value=data, previous_hash=old.record_hash, record_hash=hashed)

    def lose_ledger_store(self) -> None:
        """Have the Ledger's disk replaced by an empty one, and the store rebuilt from the log."""
        lost = self.ledger
        self.ledger = self._disks("ledger", b"m" * 32, ledger_cells(self.epochs, b"m" * 32))
        self.ledger.guard = lost.guard
        rebuild = Stage(partial(RebuildMachine, epochs=self.epochs), self.log, disks=self.ledger)
        while rebuild.halt is None:
            rebuild.move()
            self.log.advance(self.log.now_ms + 1)
        assert rebuild.halt.code == REBUILT
        self.stages["commit"] = Stage(partial(CommitMachine, epochs=self.epochs), self.log, disks=self.ledger)

    # --- What comes out ---

    def values(self, topic: str, partition: int = 0) -> list[bytes]:
        """Everything on a topic."""
        return [message.value or b"" for message in self.log.messages(topic, partition)]

    def orders(self) -> dict[int, Order]:
        """The orders, the last of each sequence."""
        orders = map(Order.from_message, self.values("orders"))
        return {OrderHeader.from_bytes(order.header).sequence: order for order in orders}

    def results(self) -> dict[int, Result]:
        """The results, the last of each sequence."""
        results = map(Result.from_message, self.values("results"))
        return {Statement.from_bytes(result.statement).sequence: result for result in results}

    def decisions(self) -> dict[int, Decision]:
        """The decisions, the last of each sequence."""
        decisions = map(Decision.from_message, self.values("decisions"))
        return {Statement.from_bytes(each.signed.statement).sequence: each for each in decisions}

    def receipts(self) -> dict[bytes, ClientReceipt]:
        """What clients accept: the verified receipts of what was asked for."""
        found: dict[bytes, ClientReceipt] = {}
        for value in self.values("receipts"):
            try:
                checked = check_receipts(value, self.epochs)
            except (MalformedMessageError, CountersignError):
                continue
            for index, identity in enumerate(checked.request_ids()):
                if identity in self._asked:
                    found[identity] = check_outcome(checked, index, identity, self._asked[identity].body)
        return found

    def rejections(self) -> list[RejectionEntry]:
        """Everything that the Auditor turned away, in order; each batch once."""
        found: list[RejectionEntry] = []
        for value in dict.fromkeys(self.values("rejections")):
            try:
                found += check_rejections(value, self.epochs)
            except (MalformedMessageError, CountersignError):
                continue
        return found

    def code_of(self, request: OpenedRequest) -> str:
        """The code with which a request was turned away, empty if it was not."""
        codes = [entry.code for entry in self.rejections() if entry.request_id == request.request_id]
        return codes[0] if codes else ""

    def halts(self) -> dict[str, str]:
        """Who has halted, with which code."""
        return {name: stage.halt.code for name, stage in self.stages.items() if stage.halt}

    def verdicts(self) -> Iterator[Verdict]:
        """What an offline verifier makes of everything on `evidence`; every refusal is tried as a false one."""
        encoder = BlockEncoder(self.epochs)
        for value in self.values("evidence"):
            try:
                evidence = Evidence.body_of(value)
            except MalformedMessageError:
                refused = Refused.from_message(value)
                evidence = build.false_accusation(self.epochs, refused).to_bytes()
            yield verify_evidence(evidence, self.epochs.ledger_id, engine(), dispersal=encoder)

    def judge(self, evidence: Evidence) -> Verdict:
        """The verdict on evidence that a test has gathered from the topics."""
        return verify_evidence(evidence.to_bytes(), self.epochs.ledger_id, engine())

    def named(self) -> set[Culprit | None]:
        """Everybody whom the evidence convicts."""
        return {verdict.culprit for verdict in self.verdicts() if verdict.convicts}

    # --- What must be ---

    def check_honest(self) -> None:
        """Require what is true where nobody lies."""
        self.check_nobody_accused()
        assert self.halts() == {}
        orders, decisions = self.orders(), self.decisions()
        assert list(decisions) == list(range(len(orders))), "everything is decided"
        assert self.records(self.auditor) == self.records(self.ledger)
        if "learner" in self.stages:
            learned = [row[:2] for row in self.views.requests]
            expected = [
                (identity, sequence)
                for sequence, decision in decisions.items()
                for identity in map(request_id_of, decision.outcomes)
            ]
            assert learned == expected, "everything is learned"

    def check_nobody_accused(self) -> None:
        """Require that no evidence was raised."""
        assert self.values("evidence") == []

    def records(self, party: Disks) -> dict[RecordKey, object]:
        """All records of a party, as they are now."""
        return {RecordKey(n, key): record for n in NAMESPACES for key, record in party.store.records(n)}
