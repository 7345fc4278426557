"""Checks what parties make lasting or public, at the moment they do it (I1 to I4, I6, PROTOCOL 1.7 and 3).

Rules that hold whatever crashes:

1. A place (party, kind, sequence) holds one hash for ever; what is sent was on disk and in the guard before,
   and each message of a place has the same bytes, however often it is sent.
2. Orders, rejections and decisions are numbered without gaps; a decision needs the Ledger's result.
3. The Ledger's statement is the Auditor's, at every sequence. Nobody goes more than W ahead.
4. A request is ordered once, and never after a final rejection. `ordered_at` never falls.
5. Nobody raises evidence or halts; a Ledger whose store is gone, and a process that lost the lock, may end.
"""

from collections.abc import Callable, Sequence

from protocol.hashing import ZERO_HASH, tagged
from protocol.signatures import order_hash, statement_hash
from schemas.order import Order, OrderHeader
from schemas.receipt import Receipts
from schemas.rejection import RejectionEntry, Rejections, RejectionsHeader
from schemas.statement import Decision, Result, Statement, Update
from schemas.topics import DECISIONS, ORDERS, RECEIPTS, REJECTIONS, RESULTS
from storage.effects import Halt, Outgoing
from storage.ports import OutboxEntry, Place, StoreCall
from streams.simulation.founding import Founding
from streams.simulation.process import Process
from streams.simulation.site import PartyName
from streams.simulation.twin import Twin, Violation, require

Rejected = Callable[[RejectionEntry, int], None]


class Checker:
    """Watches both parties; see `performer.Watcher`.

    Args:
        founding: of the ledger.
        on_rejected: told of each rejection and the sequence it is as of.

    Attributes:
        twin: executes every batch as soon as it is lasting.
        committed: the Ledger's statements, by sequence.
        decided: the last sequence decided.
        rejected: codes of requests that were rejected for good.
    """

    def __init__(self, founding: Founding, on_rejected: Rejected) -> None:
        self.twin = Twin(founding)
        self.committed: dict[int, bytes] = {}
        self.decided = -1
        self.rejected: dict[bytes, str] = {}
        self.rejection_batches: list[bytes] = []
        self.ordered_at_ms = 0
        self._on_rejected = on_rejected
        self._window = founding.epochs.latest.window
        self._updates: list[Update] = []
        self._noted: dict[tuple[PartyName, str, int], bytes] = {}
        self._sent: dict[tuple[str, int], bytes] = {}
        self._known: set[tuple[str, bytes]] = set()
        self._readers: dict[str, Callable[[bytes], int]] = {
            ORDERS: self._order_sent,
            RESULTS: self._result_sent,
            DECISIONS: self._decision_sent,
            RECEIPTS: self._receipts_sent,
            REJECTIONS: self._rejections_sent,
        }

    @property
    def ordered(self) -> int:
        """The last sequence ordered."""
        return len(self._updates) - 1

    # --- On disk ---

    def applied(self, party: PartyName, call: StoreCall) -> None:
        """Check what a call made lasting.

        Raises:
            Violation: it should not be.
        """
        if call.cells.get("stopped"):
            raise Violation(f"{party} stopped: {call.cells['stopped'].decode()}")
        if party == "ledger":
            for entry in call.outbox_put:
                if entry.kind == "result":
                    self._committed(entry, int.from_bytes(call.cells["verified"], "big", signed=True))
            return
        if "order" in call.cells:
            ordered_at_ms = int.from_bytes(call.cells["order"][:8], "big")
            require(ordered_at_ms >= self.ordered_at_ms, "the Auditor's ordered_at fell")
            self.ordered_at_ms = ordered_at_ms
        for entry in call.outbox_put:
            if entry.kind == "order":
                self._ordered(entry)
            elif entry.kind == "rejections":
                self._rejected(entry)
            elif entry.kind == "decision":
                self._decided(entry)

    def _ordered(self, entry: OutboxEntry) -> None:
        require(entry.number == self.ordered + 1, f"order {entry.number} follows {self.ordered}")
        require(entry.number - self.decided <= self._window, f"order {entry.number}, decided {self.decided}")
        self._updates.append(Update.from_bytes(entry.message))
        known = len(self.twin.requests)
        self.twin.execute(entry.message)
        for request_id in list(self.twin.requests)[known:]:
            code = self.rejected.get(request_id)
            require(code is None, f"a request was ordered after its final rejection as {code}")

    def _committed(self, entry: OutboxEntry, verified: int) -> None:
        result = Result.from_bytes(entry.message)
        sequence = entry.number
        require(sequence <= self.ordered, f"the Ledger commits {sequence}, ordered is {self.ordered}")
        mine = self._updates[sequence]
        require(result.statement == mine.statement, f"two statements for {sequence}")
        require(result.outcomes == mine.outcomes, f"two outcomes for {sequence}")
        require(sequence - verified <= self._window, f"committed {sequence}, verified {verified}")
        self.committed[sequence] = result.statement

    def _decided(self, entry: OutboxEntry) -> None:
        require(entry.number == self.decided + 1, f"{entry.number} was decided after {self.decided}")
        require(entry.number in self.committed, f"{entry.number} was decided without the Ledger")
        self.decided = entry.number

    def _rejected(self, entry: OutboxEntry) -> None:
        rejections = Rejections.from_bytes(entry.message)
        header = RejectionsHeader.from_bytes(rejections.header)
        last = self.rejection_batches[-1] if self.rejection_batches else None
        require(header.rejection_number == len(self.rejection_batches), "rejection batches are numbered")
        expected = ZERO_HASH if last is None else tagged("rejections", last)
        require(header.previous_hash == expected, "rejection batches are chained")
        require(header.as_of_sequence == self.ordered, "rejections are as of the last order")
        self.rejection_batches.append(rejections.header)
        for entry_bytes in rejections.entries:
            rejected = RejectionEntry.from_bytes(entry_bytes)
            if rejected.final and rejected.request_id != ZERO_HASH:
                decided = self.twin.decided.get(rejected.request_id)
                may_be = rejected.code == "request.forgotten"
                require(decided is None or may_be, f"rejected as {rejected.code}, decided at {decided}")
                self.rejected[rejected.request_id] = rejected.code
            self._on_rejected(rejected, header.as_of_sequence)

    # --- In the guard ---

    def noted(self, party: PartyName, places: Sequence[Place]) -> None:
        """Check that a place is never noted with another hash, even if the guard was lost in between.

        Raises:
            Violation: I2.
        """
        for place in places:
            key = party, place.kind, place.sequence
            known = self._noted.setdefault(key, place.hash)
            require(known == place.hash, f"I2: {party} signs a second {place.kind} {place.sequence}")

    # --- On the log ---

    def published(self, who: str, messages: Sequence[Outgoing]) -> None:
        """Check that what is sent was lasting and noted, and is what was sent for its place before.

        Raises:
            Violation: it is not.
        """
        for message in messages:
            if (message.topic, message.value) in self._known:
                continue
            if message.topic == "evidence":
                raise Violation(f"{who} raises evidence")
            reader = self._readers.get(message.topic)
            if reader is not None:
                number = reader(message.value)
                before = self._sent.setdefault((message.topic, number), message.value)
                require(before == message.value, f"I2: {message.topic} {number} is sent with other bytes")
            self._known.add((message.topic, message.value))

    def _require_noted(self, party: PartyName, kind: str, number: int, identity: bytes) -> None:
        noted = self._noted.get((party, kind, number))
        require(noted == identity, f"{party} sends {kind} {number}, which its guard has not noted")

    def _order_sent(self, value: bytes) -> int:
        order = Order.from_message(value)
        sequence = OrderHeader.from_bytes(order.header).sequence
        require(sequence <= self.ordered, f"order {sequence} is sent and not on disk")
        update = self._updates[sequence]
        require((order.header, order.entries) == (update.header, update.entries), f"two orders {sequence}")
        self._require_noted("auditor", "order", sequence, order_hash(order.header))
        return sequence

    def _result_sent(self, value: bytes) -> int:
        result = Result.from_message(value)
        sequence = Statement.from_bytes(result.statement).sequence
        require(self.committed.get(sequence) == result.statement, f"result {sequence} is sent, not on disk")
        self._require_noted("ledger", "statement", sequence, statement_hash(result.statement))
        return sequence

    def _decision_sent(self, value: bytes) -> int:
        decision = Decision.from_message(value)
        sequence = self._decision_of(decision.signed.statement)
        update = self._updates[sequence]
        parts = decision.entries, decision.outcomes, decision.outputs, decision.values
        expected = update.entries, update.outcomes, update.outputs, update.values
        require(parts == expected, f"decision {sequence} holds something else than was ordered")
        return sequence

    def _receipts_sent(self, value: bytes) -> int:
        receipts = Receipts.from_message(value)
        sequence = self._decision_of(receipts.signed.statement)
        update = self._updates[sequence]
        require(receipts.outcomes == update.outcomes, f"receipts {sequence} hold something else")
        return sequence

    def _decision_of(self, statement: bytes) -> int:
        sequence = Statement.from_bytes(statement).sequence
        require(sequence <= self.decided, f"decision {sequence} is sent and not on disk")
        require(self._updates[sequence].statement == statement, f"two decisions for {sequence}")
        self._require_noted("auditor", "statement", sequence, statement_hash(statement))
        return sequence

    def _rejections_sent(self, value: bytes) -> int:
        header = Rejections.from_message(value).header
        number = RejectionsHeader.from_bytes(header).rejection_number
        require(number < len(self.rejection_batches), f"rejections {number} are sent and not on disk")
        require(self.rejection_batches[number] == header, f"two rejection batches {number}")
        self._require_noted("auditor", "rejections", number, tagged("rejections", header))
        return number

    # --- Halts ---

    def halted(self, process: Process, halt: Halt) -> None:
        """Check that a process had a reason to end that is nobody's fault.

        Raises:
            Violation: it had none.
        """
        is_ledger = process.role.site is not None and process.role.site.party == "ledger"
        if is_ledger and halt.code == "store.wiped":
            return
        if process.is_zombie and halt.code == "guard.contradiction":
            return
        raise Violation(f"{process.name} halted: {halt.code}: {halt.text}")
