"""From an executed batch to the one store call that makes it lasting, and the state after it.

Pure: the ordering machine says what was executed, this module says what is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from auditor import send
from auditor.candidates import Candidates
from auditor.rejections import rejections_header, unsigned_rejections
from auditor.state import OrderState
from protocol import merkle
from protocol.batches import AssembledBatch, assemble
from protocol.configuration import Epochs
from protocol.contracts.calls import Execution, Read, Rejected
from protocol.hashing import tagged
from protocol.records import RecordKey
from protocol.requests import OpenedRequest
from protocol.signatures import commitment, order_hash
from schemas.order import Kind, OrderHeader
from schemas.statement import Update
from storage.effects import Message
from storage.ports import (
    OutboxEntry,
    OutboxTrim,
    ReadCheck,
    RecordWrite,
    ReplayEntry,
    RequestExpiry,
    ScanRows,
    StoreCall,
)

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedBatch:
    """A batch ready for the store's call, and the state after it."""

    state: OrderState
    call: StoreCall
    ordered: int
    rejected: int


@dataclass(slots=True, kw_only=True)
class ExecutedBatch:
    """What executing the candidates gave.

    Attributes:
        settled: the messages this batch settles.
        requests, executions: what is to be ordered, in order.
        reads: records whose version and hash the batch relies on, those of rejected requests among them.
        scans: ranges as they were fetched.
    """

    settled: tuple[Message, ...]
    candidates: Candidates
    scans: tuple[ScanRows, ...]
    requests: list[OpenedRequest] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    reads: dict[RecordKey, ReadCheck] = field(default_factory=dict)

    def sort(self, results: Sequence[Execution | Rejected], sequence: int) -> None:
        """Sort the candidates by what executing them gave, into ordered and rejected ones."""
        for request, result in zip(self.candidates.requests, results, strict=False):
            if isinstance(result, Rejected):
                self.candidates.rejections.add(request, result.code)
                self.rely_on(result.reads, sequence)
            else:
                self.requests.append(request)
                self.executions.append(result)

    def rely_on(self, reads: Sequence[Read], sequence: int) -> None:
        """Add reads that are conditions on the store: all but the batch's own writes."""
        for read in reads:
            if read.writer_sequence != sequence:
                key = RecordKey(read.namespace, read.key)
                self.reads[key] = ReadCheck(key, read.version, read.record_hash)


class BatchBuilder:
    """Builds store calls for one ledger and epoch.

    Args:
        salt_secret: kept with the Auditor's signing key.
    """

    def __init__(self, epochs: Epochs, salt_secret: bytes) -> None:
        self._epochs = epochs
        self._window = epochs.latest.window
        self._salt_secret = salt_secret

    def build(self, state: OrderState, executed: ExecutedBatch, ordered_at_ms: int, kind: Kind) -> OrderedBatch:
        """The call for a batch; kind "empty" makes an order without requests, "normal" only orders what
        there is.
        """
        assembled = assemble(executed.requests, executed.executions, state.sequence + 1)
        for key, version, hashed in assembled.reads:
            executed.reads[key] = ReadCheck(key, version, hashed)
        positions = dict(state.positions)
        for message in executed.settled:
            positions[message.partition] = (message.offset + 1, message.leader_epoch)
        after = replace(state, positions=positions, ordered_at_ms=ordered_at_ms)
        outbox: list[OutboxEntry] = []
        if executed.requests or kind == "empty":
            after, update = self._ordered(after, assembled, ordered_at_ms, kind)
            outbox.append(OutboxEntry("order", after.sequence, update))
        rejections = executed.candidates.rejections
        if rejections.entries:
            after, unsigned = self._rejected(after, executed.candidates)
            outbox.append(OutboxEntry("rejections", after.rejection_number, unsigned))
        replay = [ReplayEntry(r.request_id, r.body.expiry_ms, after.sequence) for r in executed.requests]
        call = StoreCall(
            expected_cells=state.expected(),
            unseen=tuple(RequestExpiry(entry.request_id, entry.expiry_ms) for entry in replay),
            reads=tuple(executed.reads.values()),
            scans=tuple(scan.check() for scan in executed.scans),
            writes=tuple(RecordWrite(key, record) for key, record in assembled.writes),
            replay=(*replay, *rejections.guarded),
            evict_before_ms=after.ordered_at_ms,
            cells=after.cells(),
            outbox_put=tuple(outbox),
            outbox_trim=(
                OutboxTrim("order", state.decided - 2 * self._window),
                OutboxTrim("rejections", state.rejection_number),
            ),
        )
        return OrderedBatch(state=after, call=call, ordered=len(executed.requests), rejected=len(rejections.entries))

    def _ordered(
        self, state: OrderState, assembled: AssembledBatch, ordered_at_ms: int, kind: Kind
    ) -> tuple[OrderState, bytes]:
        """The state after an order, and the update that waits in the outbox."""
        sequence = state.sequence + 1
        entries_root = merkle.root(assembled.entries)
        salt = send.salt(self._salt_secret, self._epochs.ledger_id, state.epoch, sequence, entries_root)
        header = OrderHeader(
            format=FORMAT,
            ledger_id=self._epochs.ledger_id,
            epoch=state.epoch,
            sequence=sequence,
            previous_order_hash=state.order_hash,
            kind=kind,
            entries_root=entries_root,
            count=len(assembled.entries),
            ordered_at_ms=ordered_at_ms,
            commitment=commitment(salt, assembled.outcomes_root),
        )
        header_bytes = header.to_bytes()
        statement = state.head.next_statement(header_bytes, header, assembled.outcomes_root).to_bytes()
        update = Update(
            statement=statement,
            header=header_bytes,
            salt=salt,
            entries=assembled.entries,
            outcomes=assembled.outcomes,
            outputs=assembled.outputs,
            values=assembled.values,
        )
        after = replace(
            state,
            head=state.head.advance(statement),
            order_hash=order_hash(header_bytes),
        )
        return after, update.to_bytes()

    def _rejected(self, state: OrderState, candidates: Candidates) -> tuple[OrderState, bytes]:
        """The state after a rejection batch, and the unsigned batch that waits in the outbox."""
        entries = [entry.to_bytes() for entry in candidates.rejections.entries]
        header = rejections_header(
            entries,
            ledger_id=self._epochs.ledger_id,
            epoch=state.epoch,
            number=state.rejection_number + 1,
            previous_hash=state.rejection_hash,
            as_of_sequence=state.sequence,
        ).to_bytes()
        after = replace(state, rejection_number=state.rejection_number + 1, rejection_hash=tagged("rejections", header))
        return after, unsigned_rejections(header, entries)
