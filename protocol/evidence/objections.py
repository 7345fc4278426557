"""The Ledger's side: from an order that contradicts its records to a refusal that proves it (RECOVERY,
"commit").

How it is used:

1. Having looked for damage in its own records first, the Ledger calls the function that fits what it found:
   `object_to_header`, `object_to_form`, `object_to_entry`, `object_to_repetition`, `object_to_client`,
   `object_to_versions`.
2. The objection says which earlier orders and decisions it takes. Undecided orders are the Ledger's own to
   keep.
3. `build` makes the evidence. The Ledger has `verify_evidence` judge it, and refuses only if that convicts
   the Auditor: with `objection.code`, `objection.entry_index` and the evidence as attachment
   (`build.refusal`). Otherwise it halts and accuses nobody.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from protocol.configuration import Epochs, limits_of
from protocol.contracts.calls import Read
from protocol.contracts.names import public_key_key
from protocol.evidence import build
from protocol.evidence.contradictions import VersionRead, covers, versions_read
from protocol.evidence.decisions import WrittenBatch, decision_at
from protocol.evidence.verdicts import NothingProvenError
from protocol.records import RecordKey
from protocol.requests import RequestError, check_times, open_request
from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence
from schemas.order import Entry, Order, OrderHeader
from schemas.statement import Decision

Place = tuple[int, int]
"""Sequence and index of an entry."""

Orders = Mapping[int, Order]
Decisions = Mapping[int, Decision]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """What an order contradicts, and what it takes to prove it.

    Attributes:
        code: with which the Ledger refuses; the claim of the evidence.
        entry_index: the entry at fault, -1 for the header.
        needed_orders: sequences of earlier orders that `build` wants, decided or not.
        needed_decisions: sequences of earlier decisions that it wants.
    """

    epochs: Epochs
    order: Order
    code: str
    entry_index: int
    parts: Callable[[Orders, Decisions], list[tuple[str, bytes]]]
    needed_orders: frozenset[int] = frozenset()
    needed_decisions: frozenset[int] = frozenset()

    def build(self, orders: Orders, decisions: Decisions) -> Evidence:
        """Put the evidence together.

        Args:
            orders: at least the needed ones; of a decision, `build.order_of`.
            decisions: at least the needed ones, from `select_decisions`.

        Raises:
            NothingProvenError: one is missing, or cannot be what was meant.
        """
        return build.order_contradiction(self.epochs, self.code, self.parts(orders, decisions))


class Objector:
    """Finds what can be proved about one authentic order."""

    def __init__(self, epochs: Epochs, order: Order) -> None:
        self._epochs = epochs
        self._order = order
        self._header = OrderHeader.from_bytes(order.header)
        self._limits = limits_of(epochs.at(self._header.epoch))

    def object_to_header(self, code: str) -> Objection:
        """`order.predecessor`, `order.time` (it fell), or `order.malformed`."""
        sequence = self._header.sequence
        if code == "order.malformed" or (code == "order.predecessor" and sequence == 0):
            return self._objection(code, -1, lambda _orders, _: [("order", build.order_part(self._order))])

        def parts(orders: Orders, _: Decisions) -> list[tuple[str, bytes]]:
            previous = _order_at(orders, sequence - 1)
            return [("order", build.order_part(self._order)), ("previous", build.order_part(previous))]

        return self._objection(code, -1, parts, needed_orders={sequence - 1})

    def object_to_form(self, index: int) -> Objection | None:
        """`order.malformed`: an entry that does not parse or has another index, so that nothing else can be said of
        it; None if it is well formed.
        """
        try:
            formed = Entry.from_bytes(self._order.entries[index]).index == index
        except MalformedMessageError:
            formed = False
        return None if formed else self._entry_alone("order.malformed", index)

    def object_to_entry(self, index: int) -> Objection:
        """What an entry does wrong all by itself: `order.malformed`, `order.not_after` or `order.time`.

        Raises:
            NothingProvenError: nothing.
        """
        try:
            entry = Entry.from_bytes(self._order.entries[index])
            request = open_request(entry.envelope, self._header.ledger_id, self._limits)
        except (MalformedMessageError, RequestError):
            return self._entry_alone("order.malformed", index)
        if entry.index != index:
            return self._entry_alone("order.malformed", index)
        if request.body.after >= self._header.sequence:
            return self._entry_alone("order.not_after", index)
        try:
            check_times(request.body, self._header.ordered_at_ms, self._limits)
        except RequestError:
            return self._entry_alone("order.time", index)
        raise NothingProvenError("the entry by itself contradicts nothing")

    def object_to_repetition(self, index: int, earlier: Place | int) -> Objection:
        """`order.repeated`: a request that stands at an earlier place, or in the order of that sequence."""
        sequence = earlier if isinstance(earlier, int) else earlier[0]

        def parts(orders: Orders, _: Decisions) -> list[tuple[str, bytes]]:
            order = self._order if sequence == self._header.sequence else _order_at(orders, sequence)
            found = earlier[1] if isinstance(earlier, tuple) else self._find_request(order, index)
            return [self._entry(index), ("entry", build.entry_part(order, found))]

        return self._objection("order.repeated", index, parts, needed_orders=self._before(sequence))

    def _find_request(self, order: Order, index: int) -> int:
        """Where the request of an entry stands in another order."""
        wanted = self._request_id(Entry.from_bytes(self._order.entries[index]))
        for place, entry_bytes in enumerate(order.entries):
            if self._request_id(Entry.from_bytes(entry_bytes)) == wanted:
                return place
        raise NothingProvenError("the earlier order does not hold the request")

    def _request_id(self, entry: Entry) -> bytes:
        return open_request(entry.envelope, self._header.ledger_id, self._limits).request_id

    def object_to_client(self, index: int, reads: Sequence[Read] = ()) -> Objection:
        """`order.client`: a request that its client did not sign, or with a revoked key, or one that is not
        there. If the order shows another version of the key than there is, that is what it is refused for.

        Args:
            index: of the entry.
            reads: what the Ledger had read when it had to reject the request.

        Raises:
            NothingProvenError: the key was registered in this very batch, so no decision shows it.
        """
        entry = Entry.from_bytes(self._order.entries[index])
        differing = self._differing_read(index, entry, _versions(reads))
        if differing:
            return differing
        body = open_request(entry.envelope, self._header.ledger_id, self._limits).body
        where = public_key_key(body.entity, body.key_version)
        shown = [read for read in versions_read(entry) if read.key == where and read.version > 0]
        if not shown or shown[0].writer[0] < 0:
            return self._entry_alone("order.client", index)
        read = shown[0]
        sequence = read.writer[0]
        if sequence >= self._header.sequence:
            raise NothingProvenError("no decision shows the key")

        def parts(_: Orders, decisions: Decisions) -> list[tuple[str, bytes]]:
            key = self._pinned(read, decisions)
            return [self._entry(index), ("key", key), ("key pin", self._pin(read, decisions))]

        return self._objection("order.client", index, parts, needed_decisions={sequence})

    def object_to_versions(self, index: int, own: Entry | None, reads: Sequence[Read] = ()) -> Objection:
        """`order.stale_read`, `.second_writer`, `.false_writer`, or `.versions` where only execution tells.

        Args:
            index: of the entry.
            own: the entry that the Ledger made of the same request; None if it had to reject the request.
            reads: what the Ledger had read then.
        """
        entry = Entry.from_bytes(self._order.entries[index])
        found = self._differing_read(index, entry, _versions(reads) if own is None else versions_read(own))
        if own is not None and not found:
            found = self._differing_write(index, entry, own)
        return found or self._object_by_execution(index, entry)

    def _differing_read(self, index: int, entry: Entry, own: Iterable[VersionRead]) -> Objection | None:
        """The first read or scan that the Ledger's own records refute."""
        current = {read.key: read for read in own}
        for read in versions_read(entry):
            mine = current.get(read.key)
            if mine is None or (mine.version, mine.writer) == (read.version, read.writer):
                continue
            if read.version < mine.version:
                return self._stale(index, mine)
            return self._false_writer(index, read)
        for read in current.values():
            if self._overlooked(entry, read):
                return self._stale(index, read)
        return None

    def _overlooked(self, entry: Entry, read: VersionRead) -> bool:
        """Whether a scan of the entry should have seen this record and did not."""
        return read.version > 0 and any(
            covers(scan, read.key) and all(row.key != read.key.key for row in scan.rows) for scan in entry.scans
        )

    def _stale(self, index: int, mine: VersionRead) -> Objection:
        return self._against_writer("order.stale_read", index, "earlier", mine.writer)

    def _differing_write(self, index: int, entry: Entry, own: Entry) -> Objection | None:
        """The first write of a version that is there already."""
        current = {read.key: read for read in versions_read(own)}
        for write in entry.writes:
            mine = current.get(RecordKey(write.namespace, write.key))
            if mine is not None and 0 < write.version <= mine.version:
                return self._against_writer("order.second_writer", index, "earlier", mine.writer)
        return None

    def _false_writer(self, index: int, read: VersionRead) -> Objection:
        sequence, writer_index = read.writer
        if sequence < 0 or read.version < 1 or read.writer >= (self._header.sequence, index):
            return self._entry_alone("order.false_writer", index)

        def parts(orders: Orders, _: Decisions) -> list[tuple[str, bytes]]:
            order = self._order if sequence == self._header.sequence else _order_at(orders, sequence)
            if 0 <= writer_index < len(order.entries):
                return [self._entry(index), ("writer", build.entry_part(order, writer_index))]
            return [self._entry(index), ("writer order", build.order_part(order))]

        return self._objection("order.false_writer", index, parts, needed_orders=self._before(sequence))

    def _against_writer(self, code: str, index: int, name: str, writer: Place) -> Objection:
        """An entry against the one that really wrote, or against the genesis."""
        sequence, writer_index = writer
        if sequence < 0:
            return self._entry_alone(code, index)

        def parts(orders: Orders, _: Decisions) -> list[tuple[str, bytes]]:
            order = self._order if sequence == self._header.sequence else _order_at(orders, sequence)
            if not 0 <= writer_index < len(order.entries):
                raise NothingProvenError(f"order {sequence} has no entry {writer_index}")
            return [self._entry(index), (name, build.entry_part(order, writer_index))]

        return self._objection(code, index, parts, needed_orders=self._before(sequence))

    def _object_by_execution(self, index: int, entry: Entry) -> Objection:
        reads = {read.key: read for read in versions_read(entry) if read.version > 0}
        if any(read.writer[0] >= self._header.sequence for read in reads.values()):
            raise NothingProvenError("the entry reads what its own batch wrote, and no decision shows that")
        pinned = [read for read in reads.values() if read.writer[0] >= 0]

        def parts(_: Orders, decisions: Decisions) -> list[tuple[str, bytes]]:
            records = [("record", self._pinned(read, decisions)) for read in pinned]
            first_of = {read.writer: read for read in pinned}
            pins = [("pin", self._pin(read, decisions)) for read in first_of.values()]
            return [self._entry(index), *records, *pins]

        return self._objection("order.versions", index, parts, needed_decisions={read.writer[0] for read in pinned})

    def _pinned(self, read: VersionRead, decisions: Decisions) -> bytes:
        decision = decision_at(decisions, read.writer[0])
        batch = WrittenBatch(read.writer[0], decision.outcomes, decision.values)
        return build.record_part(read.key, batch.record(self._epochs.ledger_id, read))

    def _pin(self, read: VersionRead, decisions: Decisions) -> bytes:
        sequence, index = read.writer
        return build.decided_leaf_part(decision_at(decisions, sequence), index)

    def _entry(self, index: int) -> tuple[str, bytes]:
        return "entry", build.entry_part(self._order, index)

    def _entry_alone(self, code: str, index: int) -> Objection:
        return self._objection(code, index, lambda _orders, _: [self._entry(index)])

    def _before(self, sequence: int) -> set[int]:
        return {sequence} if sequence != self._header.sequence else set()

    def _objection(
        self,
        code: str,
        index: int,
        parts: Callable[[Orders, Decisions], list[tuple[str, bytes]]],
        needed_orders: set[int] | frozenset[int] = frozenset(),
        needed_decisions: set[int] | frozenset[int] = frozenset(),
    ) -> Objection:
        return Objection(
            epochs=self._epochs,
            order=self._order,
            code=code,
            entry_index=index,
            parts=parts,
            needed_orders=frozenset(needed_orders),
            needed_decisions=frozenset(needed_decisions),
        )


def _versions(reads: Iterable[Read]) -> Iterator[VersionRead]:
    for read in reads:
        yield VersionRead(RecordKey(read.namespace, read.key), read.version, (read.writer_sequence, read.writer_index))


def _order_at(orders: Orders, sequence: int) -> Order:
    if sequence not in orders:
        raise NothingProvenError(f"order {sequence} was not found")
    return orders[sequence]
