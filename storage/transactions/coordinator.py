"""The coordinator's table: whether a transaction was committed. One row decides, once and for all.

1. A row is written once, by insert-if-absent, and never changed; COMMITTED or ABORTED, whichever comes first. A
   transaction that was not decided has no row.
2. Every decision is made in **one place**: a transaction whose records were prepared is decided in the *home* store;
   one that commits in one phase, in the store of its records, in the batch that writes them. Both hold a table like
   this.
3. After an answer was lost, a decision is only reported as an abort when an ABORTED row is durable: the lost batch
   might still arrive, and then it meets that row.

**A decision to commit passes a gate**: a second value in the horizon's row, the same as the horizon but while somebody
freezes commits to look at many things at one moment (`storage.transactions.freezing`).

**Garbage collection keeps "absent: never committed" true.** A row is one of 16 buckets, each with one more row, its
*horizon*: a time that only grows. Every decision is conditional, in its own atomic batch, on its transaction not having
begun below the horizon. The sweeper first raises the horizon, then removes rows below it:

- After that no decision about a transaction below the horizon can be made by anybody, however late a batch arrives: its
  own condition fails. No clock and no timeout is part of this argument; a time that is wrong costs an abort, and only
  of who has begun before: a horizon is never raised beyond the rows that there are.
- An ABORTED row below the horizon can go at once: its transaction, with or without the row, can never be committed, and
  whoever meets one of its prepared rows finds "absent, and not to be inserted any more", which is an abort.
- A COMMITTED row goes only when every record of its write set was read and is not prepared by it any more. Nothing can
  prepare one again: a transaction is decided after each of its prepares was acknowledged or read back, and none is sent
  twice. Who read a prepared row before, and looks for the coordinator's row after it is gone, changes nothing: to go
  back is conditional on the record still being prepared by that transaction, and it is not.

Where a store is atomic only within a record, the condition and the insert cannot be one batch: there is no horizon, and
nothing is collected.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.operations import Check, Get, Insert, Key, Mutation, Row
from storage.model.predicates import Comparison, Operator
from storage.model.schema import ClusteringColumn, TableName, TableSchema
from storage.tables.errors import ConditionFailedError, TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.port import Atomicity, Capabilities
from storage.transactions.effects import All, Apply, Chance, Read, Steps, Wait
from storage.transactions.errors import TransactionTooOldError
from storage.transactions.identifiers import BUCKETS, begun_ms, bucket
from storage.transactions.layout import ABORTED, COMMITTED, Record
from storage.transactions.value_text import dump_records

HORIZON = "horizon"
"""The clustering key of a bucket's horizon row; behind every id, whose digits are hexadecimal."""

GATE = "gate_ms"
GATE_INDEX = 1
"""Where the gate's check stands in the batch of a decision."""

SHUT = 2**62
"""A gate that no transaction passes (`storage.transactions.freezing`); an open one is at the horizon."""

_ATTEMPTS_PAUSE_MS = 5.0
_ATTEMPTS_PAUSE_MAX_MS = 200.0


def state_table(namespace: str) -> TableSchema:
    """The schema of the coordinator's table."""
    return TableSchema(
        name=TableName(namespace, "transactions"),
        columns={
            "bucket": DataType.INT,
            "transaction_id": DataType.TEXT,
            "state": DataType.INT,
            "decided_at_ms": DataType.BIGINT,
            "records": DataType.BLOB,
            "horizon_ms": DataType.BIGINT,
            "gate_ms": DataType.BIGINT,
            "frozen_by": DataType.TEXT,
            "frozen_at_ms": DataType.BIGINT,
        },
        partition_key=("bucket",),
        clustering_key=(ClusteringColumn("transaction_id"),),
    )


class Decision(NamedTuple):
    """A coordinator's row.

    Attributes:
        state: COMMITTED or ABORTED.
        records: the packed keys that may still be prepared.
    """

    state: int
    records: bytes | None


class Coordinator:
    """Builds the coordinator's batches, and reads and writes its rows.

    Args:
        namespace: of its table in every store.
        home: the store that decides about prepared records.
        stores: what each store can do.
    """

    def __init__(self, namespace: str, home: str, stores: Mapping[str, Capabilities]) -> None:
        self.table = state_table(namespace).name
        self.home = home
        self.stores = stores
        whole = (name for name, can in stores.items() if can.atomicity >= Atomicity.STORE and name != home)
        self.places = (home, *whole)
        """Where a decision may be: the home, and every store that can hold one beside the records it is about."""

    def check_not_own(self, table: TableName) -> None:
        """Refuse to let others change what is the coordinator's.

        Raises:
            InvalidOperationError: `transaction.own_table`.
        """
        if table.namespace == self.table.namespace:
            raise InvalidOperationError("transaction.own_table", str(table))

    def holds_all(self, place: str) -> bool:
        """Whether a place takes a decision and the records it is about in one batch."""
        return place in self.places and self.stores[place].atomicity >= Atomicity.STORE

    def fenced(self, place: str) -> bool:
        """Whether decisions in a place can be conditional on its horizon."""
        return self.stores[place].atomicity >= Atomicity.PARTITION

    def decision(
        self, place: str, transaction_id: str, state: int, now_ms: int, records: Iterable[Record] = ()
    ) -> tuple[Mutation, ...]:
        """The mutations that decide: the row first, then the check of the gate or the horizon, if there is one."""
        table, partition = self.table, (bucket(transaction_id),)
        written = tuple(records)
        values: Row = {
            "state": state,
            "decided_at_ms": now_ms,
            "records": dump_records(written) if written else None,
        }
        row = Insert(table=table, key=Key(partition, (transaction_id,)), values=values)
        if not self.fenced(place):
            return (row,)
        begun = int(transaction_id[:12], 16)
        return (
            row,
            Check(
                table=table,
                key=Key(partition, (HORIZON,)),
                where=Comparison(GATE if state == COMMITTED else "horizon_ms", Operator.LE, begun),
            ),
        )

    def lookup(self, transaction_id: str) -> Get:
        """The read of a transaction's row."""
        return Get(table=self.table, key=Key((bucket(transaction_id),), (transaction_id,)))

    def horizon(self, number: int) -> Get:
        """The read of a bucket's horizon row."""
        return Get(table=self.table, key=Key((number,), (HORIZON,)))

    def sees_at_once(self, store: str) -> bool:
        """Whether one `get_many` of a store, whatever it asks for, is of one moment."""
        can = self.stores[store]
        return can.reads_at_one_moment and can.atomicity >= Atomicity.STORE

    def read(self, place: str, transaction_id: str) -> Steps[Decision | None]:
        """The decision about a transaction in one place; None: there is none."""
        rows = yield Read(place, (self.lookup(transaction_id),))
        return _decision(rows[0])

    def read_many(self, transaction_ids: Iterable[str]) -> Steps[dict[str, Decision | None]]:
        """The decisions of the home about several transactions, in one trip."""
        ids = sorted(set(transaction_ids))
        rows = yield Read(self.home, tuple(map(self.lookup, ids)))
        return {transaction_id: _decision(row) for transaction_id, row in zip(ids, rows, strict=True)}

    def abort(self, place: str, transaction_id: str, now_ms: int, records: Iterable[Record] = ()) -> Steps[int]:
        """Make an abort durable, unless the transaction is decided already; return the state that holds.

        A transaction below the horizon without a row counts as aborted: see the module.

        Raises:
            CountersignError: the store cannot be reached.
        """
        apply = Apply(place, self.decision(place, transaction_id, ABORTED, now_ms, records), decision=True)
        while True:
            try:
                yield apply
            except ConditionFailedError:
                held = yield from self.read(place, transaction_id)
                return ABORTED if held is None else held.state
            except UnknownOutcomeError:
                held = yield from self.read(place, transaction_id)
                if held is not None:
                    return held.state
            else:
                return ABORTED

    def settle(self, place: str, transaction_id: str, now_ms: int, patience_ms: int) -> Steps[int | None]:
        """The state of a transaction whose decision got no answer: what the row says, else a durable abort.

        Returns None where the store stayed away for as long as `patience_ms`, in waits.
        """
        pause, waited = _ATTEMPTS_PAUSE_MS, 0.0
        while True:
            try:
                held = yield from self.read(place, transaction_id)
                if held is not None:
                    return held.state
                state = yield from self.abort(place, transaction_id, now_ms)
                return state
            except (TableStoreUnavailableError, UnknownOutcomeError):
                if waited >= patience_ms:
                    return None
            chance: float = yield Chance()
            wait_ms = pause * (0.5 + chance)
            yield Wait(wait_ms)
            waited += wait_ms
            pause = min(2 * pause, _ATTEMPTS_PAUSE_MAX_MS)

    def resolve(self, transaction_id: str, now_ms: int) -> Steps[int]:
        """Whether a transaction was committed; one that is not decided is aborted in every place first.

        In the home last: so an abort there is final, whether this came to its end or the abort is another's.

        Raises:
            InvalidOperationError: it is no transaction id.
            TransactionTooOldError: it is below a horizon, and the coordinator has forgotten it.
            CountersignError: a store cannot be reached.
        """
        begun_ms(transaction_id)
        found = yield All(tuple(Read(place, (self.lookup(transaction_id),)) for place in self.places))
        undecided = []
        for place, rows in zip(self.places, found, strict=True):
            if isinstance(rows, Exception):
                raise rows
            held = _decision(rows[0])
            if held is not None and held.state == COMMITTED:
                return COMMITTED
            if held is None:
                undecided.append(place)
        for place in sorted(undecided, key=self.home.__eq__):
            state = yield from self.abort(place, transaction_id, now_ms)
            if state == COMMITTED:
                return COMMITTED
            held = yield from self.read(place, transaction_id)
            if held is None:
                raise TransactionTooOldError(transaction_id)
        return ABORTED

    def peek(self, transaction_id: str) -> Steps[int | None]:
        """Whether a transaction was decided, without deciding it; None: not yet, or forgotten."""
        begun_ms(transaction_id)
        found = yield All(tuple(Read(place, (self.lookup(transaction_id),)) for place in self.places))
        states = []
        for rows in found:
            if isinstance(rows, Exception):
                raise rows
            held = _decision(rows[0])
            states.append(None if held is None else held.state)
        if COMMITTED in states:
            return COMMITTED
        return states[0]  # the home's: an abort there is the last that is written (`resolve`)

    def horizons(self) -> Iterable[Insert]:
        """The horizon rows of a new table, at the beginning of time."""
        for number in range(BUCKETS):
            values: Row = {"horizon_ms": 0, "gate_ms": 0}
            yield Insert(table=self.table, key=Key((number,), (HORIZON,)), values=values)


def _decision(row: Row | None) -> Decision | None:
    if row is None:
        return None
    state, records = row["state"], row["records"]
    assert isinstance(state, int), "a decision has a state"
    assert records is None or isinstance(records, bytes)
    return Decision(state, records)
