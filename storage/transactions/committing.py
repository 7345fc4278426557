"""The commit: prepare, validate, decide, commit the records; or roll them back.

**In one phase**, where one batch of one store can hold everything: the decision's row, the horizon's check, every write
in its final form, and a check of every other record that was read. One trip, and `resolve` finds the row.

**In two phases** otherwise:

1. *Prepare* (`storage.transactions.preparing`): every write, conditional on what was read, with its before-image.
2. *Validate* (`storage.transactions.validation`).
3. *Decide*: the coordinator's row. Records that live in the coordinator's own store are committed in the same batch; if
   nothing has to be validated elsewhere they need not even be prepared, and their writes are in that batch, final.
4. *Commit the records*. Nothing can go wrong any more: what is not done here is done by whoever reads it.

A failure before the decision was sent undoes what was prepared. That needs no ABORTED row, since nobody will ever
decide to commit; it is written only if some record could not be undone, so that others need not wait for the lease.
After a lost answer to the decision itself, `Coordinator.settle` finds out or aborts.
"""

from collections.abc import Sequence
from typing import NamedTuple

from protocol.errors import CountersignError
from storage.model.operations import Mutation
from storage.tables.errors import ConditionFailedError, StoreContendedError, UnknownOutcomeError
from storage.transactions.batches import size_max
from storage.transactions.coordinator import GATE_INDEX
from storage.transactions.effects import Apply, Clock, Steps
from storage.transactions.errors import (
    TransactionAbortedError,
    TransactionConflictError,
    TransactionTooOldError,
    TransactionUnknownError,
)
from storage.transactions.freezing import passed_gate
from storage.transactions.images import final, unchanged
from storage.transactions.layout import COMMITTED, Record
from storage.transactions.preparing import Preparation
from storage.transactions.record_reader import RecordReader, World
from storage.transactions.settings import Isolation
from storage.transactions.validation import Validation, seen_together
from storage.transactions.workspace import Workspace


class Decided(NamedTuple):
    """What stands in the decision's batch beside the coordinator's rows.

    Attributes:
        place: the store that decides.
        mutations: final writes, checks, or commits of prepared records.
        records: the record of each mutation.
    """

    place: str
    mutations: tuple[Mutation, ...]
    records: tuple[Record, ...]


class Commit:
    """The phases of one transaction's end."""

    def __init__(self, world: World, reader: RecordReader, work: Workspace) -> None:
        self._world = world
        self._reader = reader
        self._work = work
        self._validation = self.validation = Validation(world, reader, work)
        self.preparation = Preparation(world, reader, work)

    # ------------------------------------------------------------ the whole

    def commit(self) -> Steps[None]:
        """All phases in order; see `TransactionCore.commit`."""
        counters = self._world.counters
        try:
            yield from self._commit()
        except TransactionConflictError:
            counters.conflicts += 1
            counters.aborted += 1
            raise
        except CountersignError:
            counters.aborted += 1
            raise
        counters.committed += 1

    def _commit(self) -> Steps[None]:
        work = self._work
        if work.writes:
            yield from self._read_bases()
        uncovered = work.uncovered() if work.isolation is not Isolation.READ_COMMITTED else []
        if not work.writes:
            if work.isolation is not Isolation.READ_COMMITTED and not self._read_at_one_moment():
                yield from self._validation.validate(uncovered)
            return
        if work.isolation is Isolation.SNAPSHOT and not self._read_at_one_moment():
            yield from self._validation.validate(uncovered)
        place = self._one_phase_place(uncovered)
        if place is not None:
            yield from self._commit_at_once(place, uncovered)
            self._world.counters.one_phase += 1
            return
        last = self._last_store(uncovered)
        try:
            yield from self.preparation.prepare(write for write in work.writes.values() if write.layout.store != last)
            if work.isolation is Isolation.SERIALIZABLE:
                yield from self._validation.validate(uncovered)
        except CountersignError:
            yield from self.preparation.rollback_records()
            raise
        yield from self._decide(last)

    def _read_at_one_moment(self) -> bool:
        """Whether everything was read by one call that saw one moment, so that nothing needs a second look."""
        work = self._work
        if work.reads > 1 or work.scans or self._reader.settled:
            return False
        return len(work.seen) <= 1 or seen_together(self._world.coordinator, work, work.seen)

    def _read_bases(self) -> Steps[None]:
        """Read, in one trip, the records that are written and were never looked at."""
        work = self._work
        missing = []
        for record, write in work.writes.items():
            base = work.base(record)
            if base is None:
                missing.append((write.layout, record[1]))
        if missing:
            work.reads += 1
            read = yield from self._reader.read(missing)
            for (layout, key), seen in zip(missing, read, strict=True):
                work.note(layout, (layout.table, key), seen)
        work.drop_idle_deletes()

    # ------------------------------------------------------------ one phase

    def _one_phase_place(self, uncovered: Sequence[Record]) -> str | None:
        """The store that can take everything in one batch; None: there is none."""
        work, world = self._work, self._world
        if not world.settings.one_phase:
            return None
        strict = work.isolation is Isolation.SERIALIZABLE
        if strict and work.scans:
            return None
        stores = {write.layout.store for write in work.writes.values()}
        if strict:
            stores |= {work.layouts[record].store for record in uncovered}
        if len(stores) != 1:
            return None
        store = stores.pop()
        checks = uncovered if strict else ()
        can = world.coordinator.stores[store]
        fits = len(work.writes) + len(checks) + 2 <= size_max(can)
        absence = can.checks_absence or all(work.seen[record].row is not None for record in checks)
        return store if fits and absence and world.coordinator.holds_all(store) else None

    def _commit_at_once(self, place: str, uncovered: Sequence[Record]) -> Steps[None]:
        work = self._work
        mutations: list[Mutation] = []
        records: list[Record] = []
        for record in sorted(work.writes):
            mutations.append(final(work.writes[record], work.built_on(record), work.transaction_id))
            records.append(record)
        if work.isolation is Isolation.SERIALIZABLE:
            for record in uncovered:
                mutations.append(unchanged(work.layouts[record], record[1], work.seen[record]))
                records.append(record)
        yield from self._send_decision(Decided(place, tuple(mutations), tuple(records)), ())

    # ------------------------------------------------------------ two phases

    def _last_store(self, uncovered: Sequence[Record]) -> str | None:
        """The store whose records need not be prepared, as the decision itself writes them; None: there is none.

        Only where no read has to be validated: what is not prepared does not keep others away meanwhile.
        """
        work, coordinator = self._work, self._world.coordinator
        home = coordinator.home
        if not self._world.settings.one_phase or not coordinator.holds_all(home):
            return None
        if work.isolation is Isolation.SERIALIZABLE and (uncovered or work.scans):
            return None
        here = sum(1 for write in work.writes.values() if write.layout.store == home)
        return home if 0 < here <= size_max(coordinator.stores[home]) - 2 else None

    def prepare(self) -> Steps[None]:
        """Prepare every write, for a transaction of several services.

        Raises:
            TransactionConflictError: another transaction was at one of the records.
            RecordExistsError: a record to be inserted is there.
        """
        yield from self._read_bases()
        yield from self.preparation.prepare(self._work.writes.values())

    def validate(self) -> Steps[None]:
        """Look again at what was read and is not written, once every service has prepared.

        Raises:
            TransactionConflictError: something was written since.
        """
        if self._work.isolation is not Isolation.READ_COMMITTED:
            yield from self._validation.validate(self._work.uncovered())

    # ------------------------------------------------------------ decision

    def _decide(self, last: str | None) -> Steps[None]:
        """Decide, then commit the records that the decision's batch did not."""
        work, home = self._work, self._world.coordinator.home
        mutations: list[Mutation] = []
        records: list[Record] = []
        for record in sorted(work.writes):
            write = work.writes[record]
            if write.layout.store == last:
                mutations.append(final(write, work.built_on(record), work.transaction_id))
                records.append(record)
        held = self.preparation.held
        pending = self.preparation.records
        if last is None and self._world.coordinator.holds_all(home):
            here = [record for record in pending if held[record].layout.store == home]
            if len(here) + 2 <= size_max(self._world.coordinator.stores[home]):
                mutations = self.preparation.forward(here)
                records = here
                pending = [record for record in pending if record not in set(here)]
        try:
            yield from self._send_decision(Decided(home, tuple(mutations), tuple(records)), pending)
        except TransactionUnknownError:
            raise
        except CountersignError:
            yield from self.preparation.rollback_records()
            raise
        yield from self.preparation.commit_records(pending)

    def decide(self, records: Sequence[Record]) -> Steps[None]:
        """Decide for several participants: the coordinator's row alone, with all their records."""
        yield from self._send_decision(Decided(self._world.coordinator.home, (), ()), records)

    def _send_decision(self, decided: Decided, pending: Sequence[Record]) -> Steps[None]:
        coordinator, work, held = self._world.coordinator, self._work, self.preparation.held
        now_ms: int = yield Clock()
        decision = coordinator.decision(decided.place, work.transaction_id, COMMITTED, now_ms, pending)
        alone = not decided.mutations
        try:
            yield from self._through_gate(Apply(decided.place, (*decision, *decided.mutations), alone), now_ms)
        except ConditionFailedError as error:
            number = error.index - len(decision)
            if number >= 0 and decided.records[number] not in held:  # the batch was sent once, so it never was applied
                raise (yield from self._why_not(decided.records[number])) from error
            yield from self._settle(decided.place, now_ms, error)
        except StoreContendedError as error:
            raise TransactionConflictError(str(error), records=decided.records) from error
        except UnknownOutcomeError as error:
            yield from self._settle(decided.place, now_ms, error)

    def _through_gate(self, apply: Apply, now_ms: int) -> Steps[None]:
        """Send a decision; again where only a shut gate refused it, so that nothing of it was done."""
        world, place = self._world, apply.store
        while True:
            try:
                yield apply
                return
            except ConditionFailedError as error:
                at_gate = error.index == GATE_INDEX and world.coordinator.fenced(place)
                id_ = self._work.transaction_id
                if not at_gate or not (yield from passed_gate(world.coordinator, world.settings, place, id_, now_ms)):
                    raise

    def _why_not(self, record: Record) -> Steps[CountersignError]:
        write = self._work.writes.get(record)
        if write is None:
            return TransactionConflictError(f"{record[0]} was written since it was read", records=(record,))
        error = yield from self.preparation.refusal(write)
        return error

    def _settle(self, place: str, now_ms: int, error: CountersignError) -> Steps[None]:
        """After a decision that was refused or not answered: return if it was committed.

        Raises:
            TransactionAbortedError: the abort is durable.
            TransactionTooOldError: it never can be committed.
            TransactionUnknownError: the store stays away.
        """
        work = self._work
        state = yield from self._world.coordinator.settle(
            place, work.transaction_id, now_ms, self._world.settings.unknown_wait_ms
        )
        if state is None:
            raise TransactionUnknownError(work.transaction_id, error.detail) from error
        if state != COMMITTED:
            held = yield from self._world.coordinator.read(place, work.transaction_id)
            if held is None and isinstance(error, UnknownOutcomeError):  # perhaps committed, and collected since
                raise TransactionUnknownError(work.transaction_id, "older than what is remembered") from error
            if held is None:
                raise TransactionTooOldError(work.transaction_id) from error
            raise TransactionAbortedError(work.transaction_id) from error
