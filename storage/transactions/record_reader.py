"""Reads records as they are committed, and recovers on the way what others have left prepared.

A prepared row is settled by its coordinator's row:

- COMMITTED: it is brought forward; ABORTED: it is brought back.
- Undecided, within the lease of the transaction that holds it: wait, for a bounded time, and look again.
- Undecided, and its lease has run out: the abort is made durable first, then it is brought back. It has run out by the
  time in the row, or because this reader has itself waited for the same holder for as long: clocks differ.

What is returned is either a committed row that was read, or the image that a conditional mutation has just made
committed: never an image of a row that might have changed meanwhile, and never a before-image before the abort is
durable. At READ COMMITTED an undecided row is not waited for: its before-image is what is committed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.model.operations import Get, Key, Row
from storage.tables.errors import ConditionFailedError, UnknownOutcomeError
from storage.transactions.catalogue import Catalogue
from storage.transactions.coordinator import Coordinator
from storage.transactions.effects import All, Apply, Chance, Clock, Read, Steps, Wait
from storage.transactions.errors import TransactionConflictError
from storage.transactions.images import ABSENT, Seen, after_image, back, before_image, forward, is_committed
from storage.transactions.layout import COMMITTED, STATE_COLUMNS, TX_ID, TX_PREPARED_AT, Layout
from storage.transactions.settings import TransactionSettings

_PAUSE_MS = 1.0
_PAUSE_MAX_MS = 50.0


@dataclass(slots=True)
class Counters:
    """What happened, for metrics.

    Attributes:
        committed, aborted, conflicts: transactions.
        recovered_forward, recovered_back: records that others had left prepared.
        expired: transactions that were aborted because their lease had run out.
        one_phase: of the committed ones with writes.
        frozen: how often commits were frozen to look at all reads at one moment.
    """

    committed: int = 0
    aborted: int = 0
    conflicts: int = 0
    recovered_forward: int = 0
    recovered_back: int = 0
    expired: int = 0
    one_phase: int = 0
    frozen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all transactions of a manager share: knowledge and bounds, no connection, no clock."""

    catalogue: Catalogue
    coordinator: Coordinator
    settings: TransactionSettings
    counters: Counters


class RecordReader:
    """Reads for one transaction.

    Args:
        world: what transactions share.
        waits: whether to wait for a record that another transaction holds; else its before-image is given.
    """

    def __init__(self, world: World, waits: bool = True) -> None:
        self.settled = 0
        """Records that were not read in one go, because another transaction held them."""

        self.insists = False
        """Give up whoever holds a record, whatever is left of its lease: commits are frozen, so it cannot go on."""

        self._world = world
        self._waits = waits

    def read(self, wanted: Sequence[tuple[Layout, Key]], projection: tuple[str, ...] = ()) -> Steps[list[Seen]]:
        """What is committed of these records, one trip to each store where nothing is in the way.

        Raises:
            TransactionConflictError: another transaction holds one for too long.
        """
        columns = (*projection, *STATE_COLUMNS) if projection else ()
        store = wanted[0][0].store
        gets: dict[str, list[Get]] = {store: []}
        for layout, key in wanted:
            gets.setdefault(layout.store, []).append(Get(table=layout.table, key=key, projection=columns))
        if len(gets) == 1:
            rows: list[Row | None] = yield Read(store, tuple(gets[store]))
        else:
            rows = yield from self._read_stores(wanted, gets)
        partial = bool(projection)
        found = []
        for (layout, key), row in zip(wanted, rows, strict=True):
            if row is None:
                found.append(ABSENT)
            elif is_committed(row):
                found.append(Seen(row, row[TX_ID], partial))  # type: ignore[arg-type]
            else:
                found.append((yield from self.settle(layout, key, None if partial else row)))
        return found

    def read_one(self, layout: Layout, key: Key, projection: tuple[str, ...] = ()) -> Steps[Seen]:
        """What is committed of one record; as `read`."""
        columns = (*projection, *STATE_COLUMNS) if projection else ()
        row: Row | None = (yield Read(layout.store, (Get(table=layout.table, key=key, projection=columns),)))[0]
        if row is None:
            return ABSENT
        if is_committed(row):
            return Seen(row, row[TX_ID], bool(projection))  # type: ignore[arg-type]
        seen = yield from self.settle(layout, key, None if projection else row)
        return seen

    def _read_stores(
        self, wanted: Sequence[tuple[Layout, Key]], gets: Mapping[str, list[Get]]
    ) -> Steps[list[Row | None]]:
        answers = yield All(tuple(Read(store, tuple(some)) for store, some in gets.items()))
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        rows = {store: iter(answer) for store, answer in zip(gets, answers, strict=True)}
        return [next(rows[layout.store]) for layout, _ in wanted]

    def settle(self, layout: Layout, key: Key, row: Row | None) -> Steps[Seen]:
        """What is committed of a record that was seen prepared; without its row, it is read first.

        Raises:
            TransactionConflictError: another transaction holds it for too long.
        """
        self.settled += 1
        read = Read(layout.store, (Get(table=layout.table, key=key),))
        if row is None:
            row = (yield read)[0]
        began_ms: int = yield Clock()
        holder, since_ms = None, began_ms
        pause = _PAUSE_MS
        while row is not None and not is_committed(row):
            if row[TX_ID] != holder:
                holder = row[TX_ID]
                since_ms = yield Clock()
            state = yield from self._decided(row, since_ms)
            if state is not None:
                seen = yield from self._recovered(layout, key, row, state)
                if seen is not None:
                    return seen
            elif not self._waits:
                return before_image(layout, row)
            else:
                now_ms: int = yield Clock()
                if now_ms - began_ms > self._world.settings.read_wait_ms:
                    raise TransactionConflictError(f"{layout.table} is held", records=((layout.table, key),))
                chance: float = yield Chance()
                yield Wait(pause * (0.5 + chance))
                pause = min(2 * pause, _PAUSE_MAX_MS)
            row = (yield read)[0]
        return ABSENT if row is None else Seen(row, row[TX_ID])  # type: ignore[arg-type]

    def _decided(self, row: Row, since_ms: int) -> Steps[int | None]:
        """The state of the transaction that holds a row, seen since then; it is aborted if its lease has run out."""
        coordinator = self._world.coordinator
        holder, prepared_ms = row[TX_ID], row[TX_PREPARED_AT]
        assert isinstance(holder, str), "a prepared row names its transaction"
        assert isinstance(prepared_ms, int), "a prepared row says when"
        held = yield from coordinator.read(coordinator.home, holder)
        if held is not None:
            return held.state
        now_ms: int = yield Clock()
        if now_ms - min(prepared_ms, since_ms) <= self._world.settings.lease_ms and not self.insists:
            return None
        self._world.counters.expired += 1
        state = yield from coordinator.abort(coordinator.home, holder, now_ms)
        return state

    def _recovered(self, layout: Layout, key: Key, row: Row, state: int) -> Steps[Seen | None]:
        """Bring a decided row where it belongs; None: somebody else was at it, so look again."""
        committed = state == COMMITTED
        mutation = forward(layout, key, row) if committed else back(layout, key, row)
        try:
            yield Apply(layout.store, (mutation,))
        except (ConditionFailedError, UnknownOutcomeError):
            return None
        if committed:
            self._world.counters.recovered_forward += 1
            return after_image(layout, row)
        self._world.counters.recovered_back += 1
        return before_image(layout, row)
