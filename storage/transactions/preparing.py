"""Prepared records: how they come about, and how they leave that state, forward or back.

1. Every batch of prepares is sent at once, and all are waited for, even after one failed: a rollback must not be
   overtaken by a prepare.
2. No prepare is sent twice. If the answer to one was lost its rows are read: its own found means prepared; otherwise it
   may yet arrive, and the transaction cannot be committed any more.
3. What is brought forward or back is still prepared by this transaction, or is left alone.
"""

from collections.abc import Iterable, Sequence

from protocol.errors import CountersignError
from storage.model.operations import Get, Mutation, Row
from storage.tables.errors import ConditionFailedError, StoreContendedError, UnknownOutcomeError
from storage.transactions.batches import Batch, grouped
from storage.transactions.effects import All, Apply, Clock, Read, Steps
from storage.transactions.errors import RecordExistsError, TransactionConflictError
from storage.transactions.images import Write, own_back, own_forward, prepared
from storage.transactions.layout import TX_ID, Record
from storage.transactions.record_reader import RecordReader, World
from storage.transactions.settings import Isolation
from storage.transactions.validation import seen_together
from storage.transactions.workspace import Workspace


class Preparation:
    """The prepared records of one transaction.

    Attributes:
        held: what is prepared, as far as is known.
    """

    def __init__(self, world: World, reader: RecordReader, work: Workspace) -> None:
        self.held: dict[Record, Write] = {}
        self._world = world
        self._reader = reader
        self._work = work
        self._stuck = False

    @property
    def records(self) -> list[Record]:
        """The records that are prepared, in order."""
        return sorted(self.held)

    def prepare(self, writes: Iterable[Write]) -> Steps[None]:
        """Prepare these writes; on a failure what was prepared stays, for `rollback_records`.

        Raises:
            TransactionConflictError: another transaction was at one of the records.
            RecordExistsError: a record to be inserted is there.
        """
        work = self._work
        chosen = [*writes, *self._absences()]
        yield from self._read_whole(chosen)
        now_ms: int = yield Clock()
        by_mutation: dict[int, Write] = {}
        mutations = []
        for write in chosen:
            base = self._work.built_on((write.layout.table, write.key))
            mutation = prepared(write, base, work.transaction_id, now_ms)
            by_mutation[id(mutation)] = write
            mutations.append((write.layout.store, mutation))
        batches = grouped(mutations, self._world.coordinator.stores)
        if not batches:
            return
        answers = yield All(tuple(Apply(batch.store, batch.mutations) for batch in batches))
        failures = []
        for batch, answer in zip(batches, answers, strict=True):
            some = [by_mutation[id(mutation)] for mutation in batch.mutations]
            failure = yield from self._prepared_or_why(batch, some, answer)
            if failure is not None:
                failures.append(failure)
        if failures:
            raise failures[0]

    def _absences(self) -> list[Write]:
        """Absences to be kept as they are by a prepared delete, where looking again at one moment is not possible."""
        work = self._work
        if work.isolation is not Isolation.SERIALIZABLE or not work.writes:
            return []
        absent = [record for record in work.uncovered() if work.seen[record].row is None]
        if not absent or (not work.scans and seen_together(self._world.coordinator, work, work.uncovered())):
            return []
        return [Write(work.layouts[record], record[1], None) for record in absent]

    def _read_whole(self, writes: Iterable[Write]) -> Steps[None]:
        """A before-image needs every column that is changed: read those again of which only some were."""
        work = self._work
        built_on = work.built_on
        partial = [(write.layout, write.key) for write in writes if built_on((write.layout.table, write.key)).partial]
        if partial:
            read = yield from self._reader.read(partial)
            for (layout, key), seen in zip(partial, read, strict=True):
                record = (layout.table, key)
                if work.note(layout, record, seen).transaction_id != built_on(record).transaction_id:
                    raise TransactionConflictError(f"{layout.table} changed", records=(record,))

    def _prepared_or_why(
        self, batch: Batch, writes: Sequence[Write], answer: CountersignError | None
    ) -> Steps[CountersignError | None]:
        """Whether a batch was prepared: None, or the error that says why it was not."""
        if isinstance(answer, UnknownOutcomeError):
            gets = tuple(Get(table=write.layout.table, key=write.key) for write in writes)
            try:
                rows: list[Row | None] = yield Read(batch.store, gets)
            except CountersignError:
                rows = []
            for write in writes:
                self.held[write.layout.table, write.key] = write
            if rows and all(row is not None and row[TX_ID] == self._work.transaction_id for row in rows):
                return None
            self._stuck = True
            return TransactionConflictError(f"{batch.store}: whether the records are prepared is not known")
        if isinstance(answer, ConditionFailedError):
            error = yield from self.refusal(writes[answer.index])
            return error
        if isinstance(answer, StoreContendedError):
            records = tuple((write.layout.table, write.key) for write in writes)
            return TransactionConflictError(str(answer), records=records)
        if answer is None:
            for write in writes:
                self.held[write.layout.table, write.key] = write
        return answer

    def refusal(self, write: Write) -> Steps[CountersignError]:
        """Why a record could not be written: it is there though it is to be inserted, or another was at it."""
        record = (write.layout.table, write.key)
        conflict = TransactionConflictError(f"{write.layout.table} was written", records=(record,))
        if not write.blind_insert:
            return conflict
        try:
            seen = (yield from self._reader.read(((write.layout, write.key),)))[0]
        except CountersignError:
            return conflict
        return conflict if seen.row is None else RecordExistsError(f"{write.layout.table} {write.key}")

    def commit_records(self, records: Sequence[Record] | None = None) -> Steps[None]:
        """Bring prepared records forward; what cannot be done now is left to whoever reads them."""
        chosen = sorted(self.held) if records is None else list(records)
        yield from self._move(chosen, self.forward(chosen))

    def rollback_records(self) -> Steps[None]:
        """Bring prepared records back; where one may be left, make the abort durable for those who find it."""
        chosen = sorted(self.held)
        if not chosen:
            return
        moved = yield from self._move(chosen, self._back(chosen))
        if self._stuck or not moved:
            coordinator = self._world.coordinator
            now_ms: int = yield Clock()
            try:
                yield from coordinator.abort(coordinator.home, self._work.transaction_id, now_ms, chosen)
            except CountersignError:
                return  # they wait for the lease

    def _move(self, records: Sequence[Record], mutations: Sequence[Mutation]) -> Steps[bool]:
        """Apply what ends the records' prepared state, in whole batches, then one by one; tell if all was done."""
        stores = [self.held[record].layout.store for record in records]
        batches = grouped(zip(stores, mutations, strict=True), self._world.coordinator.stores)
        if not batches:
            return True
        answers = yield All(tuple(Apply(batch.store, batch.mutations) for batch in batches))
        singles = []
        done = True
        for batch, answer in zip(batches, answers, strict=True):
            if isinstance(answer, ConditionFailedError) and len(batch.mutations) > 1:
                singles += [Apply(batch.store, (mutation,)) for mutation in batch.mutations]
            elif answer is not None and not isinstance(answer, ConditionFailedError):
                done = False
        if singles:
            answers = yield All(tuple(singles))
            done = done and all(answer is None or isinstance(answer, ConditionFailedError) for answer in answers)
        return done

    def forward(self, records: Sequence[Record]) -> list[Mutation]:
        """The mutations that commit prepared records."""
        work, held = self._work, self.held
        return [own_forward(held[record], work.built_on(record), work.transaction_id) for record in records]

    def _back(self, records: Sequence[Record]) -> list[Mutation]:
        work, held = self._work, self.held
        return [own_back(held[record], work.built_on(record), work.transaction_id) for record in records]
