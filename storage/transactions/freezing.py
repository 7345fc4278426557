"""Freezing: for the moment of a look, no transaction is committed in the stores that are looked at.

An absence has no version: two looks at it cannot tell that a record was there between them. Where the absences that a
transaction relies on cannot all be seen by one call of a store (several scans, a scan of several pages, several
stores), it makes that moment itself:

1. Every decision to commit is conditional on its bucket's *gate* (`storage.transactions.coordinator`). Freezing sets
   the gates of the home, and of every store looked at that decides by itself, to what no transaction passes.
2. While they are shut nothing is committed there, so all looks meanwhile are of one moment.
3. Opening them again is conditional on their still being shut by this freeze. Only if every one was, the looks count:
   so no clock is part of the argument, and whoever is late loses.
4. A transaction that meets a shut gate waits and sends its decision again. A gate that is shut for longer than a lease
   is opened by whoever waits at it: its client has crashed.

Aborts pass the gate; they change nothing that is committed.

A transaction that *insists*, since it has tried in vain before, freezes from its first scan on. Whoever has prepared
what it scans waits at the gate and would be waited for, so it makes that one's abort durable at once.
"""

from collections.abc import Iterable

from protocol.errors import CountersignError
from storage.model.operations import Key, Row, Update
from storage.model.predicates import AllOf, Comparison, Operator, equals
from storage.tables.errors import ConditionFailedError, UnknownOutcomeError
from storage.tables.port import Atomicity
from storage.transactions.coordinator import HORIZON, SHUT, Coordinator
from storage.transactions.effects import Apply, Chance, Clock, Read, Steps, Wait
from storage.transactions.errors import TransactionConflictError
from storage.transactions.identifiers import BUCKETS, bucket, lowest_id
from storage.transactions.settings import TransactionSettings

_PAUSE_MS = 1.0
_PAUSE_MAX_MS = 20.0

_OPEN = Comparison("frozen_by", Operator.IS_NULL)


class Freeze:
    """One freeze, from `hold` to `release`.

    Args:
        coordinator: whose gates are shut.
        settings: bounds of waits.
        transaction_id: for whom.
    """

    def __init__(self, coordinator: Coordinator, settings: TransactionSettings, transaction_id: str) -> None:
        self._coordinator = coordinator
        self._settings = settings
        self._transaction_id = transaction_id
        self._tag = ""
        self._held: list[tuple[str, dict[int, int]]] = []
        """Shut gates: their place, and the horizon of each bucket."""

    def hold(self, stores: Iterable[str]) -> Steps[None]:
        """Shut the gates of all that is committed in these stores.

        Raises:
            TransactionConflictError: others freeze the same for too long.
        """
        chance: float = yield Chance()
        self._tag = f"{self._transaction_id}.{int(chance * 2**32):08x}"  # each service of a transaction has its own
        coordinator = self._coordinator
        places = {coordinator.home, *(store for store in stores if store in coordinator.places)}
        for place in sorted(places):  # in one order, or two would wait for each other
            whole = coordinator.stores[place].atomicity >= Atomicity.STORE
            for some in [range(BUCKETS)] if whole else [range(number, number + 1) for number in range(BUCKETS)]:
                yield from self._shut(place, some)

    def _shut(self, place: str, numbers: Iterable[int]) -> Steps[None]:
        coordinator, settings = self._coordinator, self._settings
        began_ms: int = yield Clock()
        pause = _PAUSE_MS
        while True:
            rows: list[Row] = yield Read(place, tuple(coordinator.horizon(number) for number in numbers))
            now_ms: int = yield Clock()
            horizons = {number: _number(row["horizon_ms"]) for number, row in zip(numbers, rows, strict=True)}
            others = [number for number, row in zip(numbers, rows, strict=True) if row["frozen_by"] is not None]
            if not others:
                values: Row = {"gate_ms": SHUT, "frozen_by": self._tag, "frozen_at_ms": now_ms}
                batch = tuple(
                    Update(
                        table=coordinator.table,
                        key=Key((number,), (HORIZON,)),
                        values=values,
                        where=AllOf((_OPEN, equals("horizon_ms", horizon_ms))),
                    )
                    for number, horizon_ms in horizons.items()
                )
                self._held.append((place, horizons))  # perhaps: what is not shut is not opened either
                try:
                    yield Apply(place, batch)
                    return
                except ConditionFailedError:
                    self._held.pop()
                except UnknownOutcomeError as error:  # if it arrives later still, it is opened after a lease
                    raise TransactionConflictError(f"{place}: whether it is frozen is not known") from error
            opened = False
            for number, row in zip(numbers, rows, strict=True):
                if row["frozen_by"] is not None:
                    opened |= yield from opened_if_abandoned(coordinator, settings, place, number, row, now_ms)
            if opened:
                began_ms = yield Clock()  # nobody's freeze was waited for
                continue
            if now_ms - began_ms > settings.read_wait_ms:
                raise TransactionConflictError(f"{place} is frozen by others")
            chance: float = yield Chance()
            yield Wait(pause * (0.5 + chance))
            pause = min(2 * pause, _PAUSE_MAX_MS)

    def release(self) -> Steps[bool]:
        """Open the gates again; tell whether every one was shut all the time."""
        intact = True
        held, self._held = self._held, []
        for place, horizons in held:
            batch = tuple(
                _opening(self._coordinator, number, horizon_ms, self._tag) for number, horizon_ms in horizons.items()
            )
            try:
                yield Apply(place, batch)
            except CountersignError:
                intact = False
                for mutation in batch if len(batch) > 1 else ():
                    try:
                        yield Apply(place, (mutation,))
                    except CountersignError:
                        continue  # opened by others, or will be
        return intact


def passed_gate(
    coordinator: Coordinator, settings: TransactionSettings, place: str, transaction_id: str, since_ms: int
) -> Steps[bool]:
    """After the gate refused a decision to commit: wait until it lets the transaction through.

    Returns False where it never will, since the transaction is below the horizon, or not within the bound of waits.
    """
    number = bucket(transaction_id)
    pause = _PAUSE_MS
    while True:
        row: Row | None = (yield Read(place, (coordinator.horizon(number),)))[0]
        if row is None or transaction_id < lowest_id(_number(row["horizon_ms"])):
            return False
        now_ms: int = yield Clock()
        if now_ms - since_ms > settings.read_wait_ms:
            return False
        if row["frozen_by"] is None:
            return True
        yield from opened_if_abandoned(coordinator, settings, place, number, row, now_ms)
        chance: float = yield Chance()
        yield Wait(pause * (0.5 + chance))
        pause = min(2 * pause, _PAUSE_MAX_MS)


def opened_if_abandoned(
    coordinator: Coordinator, settings: TransactionSettings, place: str, number: int, row: Row, now_ms: int
) -> Steps[bool]:
    """Open a gate that was shut for longer than a lease; whether it was, and is open."""
    tag = row["frozen_by"]
    assert isinstance(tag, str), "a shut gate names its freeze"
    if now_ms - _number(row["frozen_at_ms"]) <= settings.lease_ms:
        return False
    try:
        yield Apply(place, (_opening(coordinator, number, _number(row["horizon_ms"]), tag),))
    except (ConditionFailedError, UnknownOutcomeError):
        return False  # somebody else was at it, or the next look will tell
    return True


def _opening(coordinator: Coordinator, number: int, horizon_ms: int, tag: str) -> Update:
    return Update(
        table=coordinator.table,
        key=Key((number,), (HORIZON,)),
        values={"gate_ms": horizon_ms, "frozen_by": None, "frozen_at_ms": None},
        where=equals("frozen_by", tag),
    )


def _number(value: object) -> int:
    assert isinstance(value, int), "a horizon row is whole"
    return value
