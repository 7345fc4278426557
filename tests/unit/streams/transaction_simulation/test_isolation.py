"""Each isolation check finds the anomalies that its level forbids, lets pass those that it allows, and says why."""

from collections.abc import Callable, Mapping

import pytest

from streams.transaction_simulation.history import (
    BEGINNING,
    Anomaly,
    History,
    Item,
    Operation,
    Read,
    Scan,
    Transaction,
    Version,
    Write,
)
from streams.transaction_simulation.isolation import (
    check_enough,
    check_read_committed,
    check_snapshot_isolation,
    check_strict_serializability,
)

Check = Callable[..., None]
X, Y = Item("t", "x"), Item("t", "y")
CHECKS = {
    "strict": check_strict_serializability,
    "snapshot": check_snapshot_isolation,
    "committed": check_read_committed,
}


def did(
    name: str, *operations: Operation, at: tuple[int, int | None] = (0, 100), committed: bool = True
) -> Transaction:
    """A transaction, at the same time as all others unless said otherwise."""
    return Transaction(name=name, operations=operations, began_at=at[0], ended_at=at[1], committed=committed)


def history(*transactions: Transaction, order: Mapping[Item, tuple[tuple[str, str | None], ...]]) -> History:
    """A history; x and y hold x0 and y0 in the beginning."""
    began: dict[Item, tuple[Version, ...]] = {X: (Version(BEGINNING, "x0"),), Y: (Version(BEGINNING, "y0"),)}
    for item, versions in order.items():
        began[item] = (*began.get(item, ()), *(Version(*version) for version in versions))
    return History(transactions={one.name: one for one in transactions}, order=began)


def everything(**found: str) -> Scan:
    """A scan of the whole table."""
    return Scan("t", {Item("t", key): stamp for key, stamp in found.items()}, lambda item, stamp: True)


LOST_UPDATE = history(
    did("A", Read(X, "x0"), Write(X, "x1")),
    did("B", Read(X, "x0"), Write(X, "x2")),
    order={X: (("A", "x1"), ("B", "x2"))},
)
WRITE_SKEW = history(
    did("A", Read(X, "x0"), Read(Y, "y0"), Write(X, "x1")),
    did("B", Read(X, "x0"), Read(Y, "y0"), Write(Y, "y1")),
    order={X: (("A", "x1"),), Y: (("B", "y1"),)},
)
READ_SKEW = history(
    did("A", Write(X, "x1"), Write(Y, "y1")),
    did("B", Read(X, "x0"), Read(Y, "y1")),
    order={X: (("A", "x1"),), Y: (("A", "y1"),)},
)
FUZZY_READ = history(
    did("A", Write(X, "x1")), did("B", Read(X, "x0"), Read(X, "x1")), order={X: (("A", "x1"),)}
)
PHANTOM = history(
    did("A", Write(Item("t", "z"), "z1"), Write(X, "x1")),
    did("B", Scan("t from z", {}, lambda item, stamp: item.key >= "z"), Read(X, "x1")),
    order={X: (("A", "x1"),), Item("t", "z"): (("A", "z1"),)},
)
SKEW_OF_SCANS = history(
    did("A", everything(x="x0", y="y0"), Write(Item("t", "p"), "p1")),
    did("B", everything(x="x0", y="y0"), Write(Item("t", "q"), "q1")),
    order={Item("t", "p"): (("A", "p1"),), Item("t", "q"): (("B", "q1"),)},
)
STALE = history(
    did("A", Write(X, "x1"), at=(1, 2)), did("B", Read(X, "x0"), at=(3, 4)), order={X: (("A", "x1"),)}
)
ANOMALY_OF_A_READER = history(  # Fekete, O'Neil and O'Neil 2004: the reader sees B's, and A, before B, is not there
    did("A", Read(X, "x0"), Read(Y, "y0"), Write(X, "x1")),
    did("B", Read(Y, "y0"), Write(Y, "y1"), at=(0, 10)),
    did("C", Read(X, "x0"), Read(Y, "y1"), at=(20, 30)),
    order={X: (("A", "x1"),), Y: (("B", "y1"),)},
)
CIRCLE_OF_SEEING = history(
    did("A", Write(X, "x1"), Read(Y, "y1")),
    did("B", Write(Y, "y1"), Read(X, "x1")),
    order={X: (("A", "x1"),), Y: (("B", "y1"),)},
)
CIRCLE_OF_OVERWRITING = history(
    did("A", Write(X, "x1"), Write(Y, "y1")),
    did("B", Write(X, "x2"), Write(Y, "y2")),
    order={X: (("A", "x1"), ("B", "x2")), Y: (("B", "y2"), ("A", "y1"))},
)
DIRTY_READ = history(
    did("A", Write(X, "x1"), committed=False), did("B", Read(X, "x1")), order={}
)
INTERMEDIATE_READ = history(
    did("A", Write(X, "x1"), Write(X, "x2")), did("B", Read(X, "x1")), order={X: (("A", "x2"),)}
)
OWN_WRITE_UNSEEN = history(did("A", Write(X, "x1"), Read(X, "x0")), order={X: (("A", "x1"),)})
OWN_WRITE_UNSEEN_BY_SCAN = history(
    did("A", Write(X, "x1"), everything(x="x0", y="y0")), order={X: (("A", "x1"),)}
)
OWN_DELETE_UNSEEN_BY_SCAN = history(
    did("A", Write(X, None), everything(x="x0", y="y0")), order={X: (("A", None),)}
)
LOST_WRITE = history(did("A", Write(X, "x1")), order={})
OF_NOBODY = history(did("A", Read(X, "x9")), order={})
NEVER_ABSENT = history(did("A", Read(X, None)), order={})

ANOMALIES: dict[str, tuple[History, str, tuple[str, ...]]] = {
    "lost update": (LOST_UPDATE, "A overwrote|B overwrote", ("strict", "snapshot")),
    "write skew": (WRITE_SKEW, "rw: A did not see what B left in t/y", ("strict",)),
    "read skew": (READ_SKEW, "B did not see what A left in t/x", ("strict", "snapshot")),
    "fuzzy read": (FUZZY_READ, "B did not see what A left in t/x", ("strict", "snapshot")),
    "phantom": (PHANTOM, "B did not see what A left in t/z", ("strict", "snapshot")),
    "write skew of scans": (SKEW_OF_SCANS, "B did not see what A left in t/p", ("strict",)),
    "stale read": (STALE, "rt: B began after A had ended", ("strict", "snapshot")),
    "anomaly of a reader": (ANOMALY_OF_A_READER, "C saw what B left in t/y|C began after B", ("strict",)),
    "G1c": (CIRCLE_OF_SEEING, "B saw what A left in t/x", ("strict", "snapshot", "committed")),
    "G0": (CIRCLE_OF_OVERWRITING, "ww: B overwrote what A left in t/x", ("strict", "snapshot", "committed")),
    "G1a": (DIRTY_READ, "aborted read", ("strict", "snapshot", "committed")),
    "G1b": (INTERMEDIATE_READ, "intermediate read", ("strict", "snapshot", "committed")),
    "own write unseen": (OWN_WRITE_UNSEEN, "own write", ("strict", "snapshot", "committed")),
    "own write unseen by a scan": (OWN_WRITE_UNSEEN_BY_SCAN, "own write", ("strict", "snapshot", "committed")),
    "own delete unseen by a scan": (OWN_DELETE_UNSEEN_BY_SCAN, "own write", ("strict", "snapshot", "committed")),
    "lost write": (LOST_WRITE, "lost write", ("strict", "snapshot", "committed")),
    "read what nobody wrote": (OF_NOBODY, "nobody wrote", ("strict", "snapshot", "committed")),
    "absent what was always there": (NEVER_ABSENT, "always in its range", ("strict", "snapshot", "committed")),
}


@pytest.mark.parametrize("level", CHECKS)
@pytest.mark.parametrize("name", ANOMALIES)
def test_an_anomaly_is_found_where_its_level_forbids_it(name: str, level: str) -> None:
    """And told in words; a level that allows it lets it pass."""
    anomalous, words, forbidden_by = ANOMALIES[name]
    if level in forbidden_by:
        with pytest.raises(Anomaly, match=words):
            CHECKS[level](anomalous, committed_least=1)
    else:
        CHECKS[level](anomalous, committed_least=1)


ROUND_TRIP = history(
    did("A", Read(X, "x0"), Write(X, "x1"), at=(1, 5)),
    did("B", Read(X, "x1"), Read(Y, "y0"), Write(Y, None), at=(2, 8)),
    did("C", everything(x="x1"), Write(Y, "y1"), Read(Y, "y1"), at=(3, None)),
    did("D", Write(X, "x9"), at=(4, None), committed=False),
    did("E", everything(x="x1", y="y1"), at=(9, 10)),
    order={X: (("A", "x1"),), Y: (("B", None), ("C", "y1"))},
)


@pytest.mark.parametrize("level", CHECKS)
def test_a_clean_history_passes(level: str) -> None:
    """Reads, scans, inserts after deletes, an aborted writer and a client that never knew its end."""
    CHECKS[level](ROUND_TRIP, committed_least=4)


@pytest.mark.parametrize("level", CHECKS)
def test_too_few_committed_transactions_show_nothing(level: str) -> None:
    """A history in which almost nothing succeeded fails every check, instead of looking good."""
    with pytest.raises(Anomaly, match="only 4 of 5 transactions committed, 5 should"):
        CHECKS[level](ROUND_TRIP, committed_least=5)
    check_enough(ROUND_TRIP, 4)


def came_and_went(*reads: Operation, at: tuple[int, int]) -> History:
    """Z is inserted and deleted twice, once in each tick, while a reader looks."""
    z = Item("t", "z")
    return history(
        did("I1", Write(z, "z1"), Write(X, "x1"), at=(1, 2)),
        did("D1", Write(z, None), Write(X, "x2"), at=(3, 4)),
        did("I2", Write(z, "z2"), Write(X, "x3"), at=(5, 6)),
        did("D2", Write(z, None), Write(X, "x4"), at=(7, 8)),
        did("R", *reads, at=at),
        order={
            z: (("I1", "z1"), ("D1", None), ("I2", "z2"), ("D2", None)),
            X: (("I1", "x1"), ("D1", "x2"), ("I2", "x3"), ("D2", "x4")),
        },
    )


@pytest.mark.parametrize("seen", ["x0", "x2", "x4"])
def test_an_absence_is_whichever_fits(seen: str) -> None:
    """Which of three absences a reader saw is found out from what else it saw."""
    for check in CHECKS.values():
        check(came_and_went(Read(Item("t", "z"), None), Read(X, seen), at=(0, 9)), committed_least=1)


@pytest.mark.parametrize("seen", ["x1", "x3"])
def test_an_absence_that_fits_nowhere_is_found(seen: str) -> None:
    """What else it saw is of times when the item was there."""
    for check in (check_strict_serializability, check_snapshot_isolation):
        with pytest.raises(Anomaly, match=r"R saw|R did not see"):
            check(came_and_went(Read(Item("t", "z"), None), Read(X, seen), at=(0, 9)), committed_least=1)


def test_an_absence_of_the_past_is_stale() -> None:
    """A reader that begins after an insert ended, and ends before the delete began, must see the item."""
    z = Item("t", "z")
    stale = history(
        did("I", Write(z, "z1"), at=(1, 2)),
        did("R", Read(z, None), at=(3, 4)),
        did("D", Write(z, None), at=(5, 6)),
        order={z: (("I", "z1"), ("D", None))},
    )
    with pytest.raises(Anomaly, match="R began after"):
        check_strict_serializability(stale, committed_least=1)
    check_read_committed(stale, committed_least=1)


def test_an_order_by_one_who_did_not_commit_is_found() -> None:
    """The store holds a version of a transaction that never committed."""
    dirty = history(did("A", Write(X, "x1"), committed=False), did("B"), order={X: (("A", "x1"),)})
    with pytest.raises(Anomaly, match="t/x held x1 by A"):
        check_read_committed(dirty, committed_least=1)


def test_a_stamp_is_written_once() -> None:
    """Two writers of one stamp make a history useless, and that is said."""
    twice = history(
        did("A", Write(X, "x1"), committed=False),
        did("B", Write(X, "x1")),
        did("C", Read(X, "x7")),
        order={X: (("B", "x1"),)},
    )
    with pytest.raises(Anomaly, match="written twice"):
        check_strict_serializability(twice, committed_least=1)
