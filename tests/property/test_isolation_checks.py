"""The isolation checks agree with slow twins that try every way in which a history could have come about."""

from collections.abc import Callable
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

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
from streams.transaction_simulation.isolation import check_snapshot_isolation, check_strict_serializability
from tests.reference.histories import is_snapshot_isolated, is_strictly_serializable

ITEMS = (Item("t", "x"), Item("t", "y"))


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Up to four transactions over two items, as they may be answered by a store that promises nothing at all."""
    names = [f"T{number}" for number in range(1, draw(st.integers(1, 4)) + 1)]
    stamps = count(1)
    began_with = {item: draw(st.sampled_from((None, f"{item.key}0"))) for item in ITEMS}
    writes = {name: draw(st.sets(st.sampled_from(ITEMS))) for name in names}
    order: dict[Item, tuple[Version, ...]] = {}
    for item in ITEMS:
        versions = [Version(BEGINNING, began_with[item])]
        for name in draw(st.permutations([name for name in names if item in writes[name]])):
            stamp = None if draw(st.booleans()) else f"{item.key}{next(stamps)}"
            versions.append(Version(name, stamp))
        order[item] = tuple(versions)
    moments = draw(st.permutations([*names, *names]))
    transactions = {}
    for name in names:
        operations = [*_reads(draw, order, name), *_writes(order, name)]
        began_at = moments.index(name)
        ended_at = len(moments) - 1 - moments[::-1].index(name)
        transactions[name] = Transaction(
            name=name, operations=tuple(operations), began_at=began_at, ended_at=ended_at, committed=True
        )
    return History(transactions=transactions, order=order)


def _reads(draw: st.DrawFn, order: dict[Item, tuple[Version, ...]], name: str) -> list[Operation]:
    held = {item: [v.stamp for v in versions if v.transaction != name] for item, versions in order.items()}
    if draw(st.booleans()):
        seen = {item: draw(st.sampled_from(held[item])) for item in ITEMS}
        found = {item: stamp for item, stamp in seen.items() if stamp is not None}
        return [Scan("t", found, lambda item, stamp: True)]
    items = draw(st.lists(st.sampled_from(ITEMS), max_size=3))
    return [Read(item, draw(st.sampled_from(held[item]))) for item in items]


def _writes(order: dict[Item, tuple[Version, ...]], name: str) -> list[Operation]:
    return [
        Write(item, version.stamp)
        for item, versions in order.items()
        for version in versions
        if version.transaction == name
    ]


def _passes(check: Callable[..., None], history: History) -> bool:
    try:
        check(history, committed_least=0)
    except Anomaly:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(histories())
def test_strict_serializability_is_some_serial_run(history: History) -> None:
    """No cycle, exactly where a serial run in real time gives the same answers."""
    assert _passes(check_strict_serializability, history) == is_strictly_serializable(history)


@settings(max_examples=400, deadline=None)
@given(histories())
def test_snapshot_isolation_is_some_placing_of_snapshots(history: History) -> None:
    """No cycle without two anti-dependencies in a row, exactly where snapshots and commits can be placed."""
    assert _passes(check_snapshot_isolation, history) == is_snapshot_isolated(history)
