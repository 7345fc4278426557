"""What must come before what in a history (Adya 1999, with the real-time order of Herlihy and Wing 1990 beside it).

A read that names a stamp saw one version. A read of nothing, and a scan that did not find an item, saw *some* version
that is not in its range; consecutive ones make a *run*, and a reader that has several runs to choose from may have
been in any of them.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from streams.transaction_simulation.cycles import Edge
from streams.transaction_simulation.history import (
    BEGINNING,
    Anomaly,
    History,
    Item,
    Read,
    Scan,
    Transaction,
    Version,
    Write,
)


class Sight(NamedTuple):
    """What a transaction saw of an item: one of several runs of versions.

    Attributes:
        runs: first and last place of each in the item's order.
    """

    reader: str
    item: Item
    runs: tuple[tuple[int, int], ...]


def overwrites(history: History) -> Iterator[Edge]:
    """Who overwrote whom.

    Raises:
        Anomaly: the order of an item is not that of the transactions that wrote it.
    """
    _check_order(history)
    for item in history.order:
        versions = history.versions(item)
        for earlier, later in pairwise(versions):
            if earlier.transaction != BEGINNING:
                yield Edge(earlier.transaction, later.transaction, "ww", item)


def _check_order(history: History) -> None:
    """Each version that is in order was left by one transaction that committed, and all of theirs are there."""
    ordered = {
        (version.transaction, item): version
        for item in history.order
        for version in history.versions(item)
        if version.transaction != BEGINNING
    }
    if len(ordered) != sum(len(history.versions(item)) for item in history.order) - len(history.order):
        raise Anomaly("an item's order names a transaction twice")
    for transaction in history.committed:
        for item, stamp in transaction.written().items():
            version = ordered.pop((transaction.name, item), None)
            if version is None and stamp is None:
                continue  # the delete of what was not there need not show
            if version is None:
                raise Anomaly(f"lost write: {transaction} committed, and the store never held it")
            if version.stamp != stamp:
                raise Anomaly(f"{transaction} left {version.stamp} in {item}")
    for (name, item), version in ordered.items():
        raise Anomaly(f"{item} held {version.stamp} by {history.transactions.get(name, name)}")


def real_time(transactions: Iterable[Transaction]) -> Iterator[Edge]:
    """Who had ended before whom began, without what follows from the rest."""
    moments = [(transaction.began_at, False, transaction) for transaction in transactions]
    moments += [(ended, True, one) for _, _, one in list(moments) if (ended := one.ended_at) is not None]
    latest: list[Transaction] = []
    for _, is_end, transaction in sorted(moments, key=lambda moment: moment[0]):
        if is_end:
            latest = [other for other in latest if _ended(other) > transaction.began_at]
            latest.append(transaction)
        else:
            yield from (Edge(other.name, transaction.name, "rt") for other in latest)


def _ended(transaction: Transaction) -> int:
    assert transaction.ended_at is not None, "only those that ended are asked"
    return transaction.ended_at


def sights(history: History) -> Iterator[Sight]:
    """What every transaction that committed saw of others' items; the others' reads are checked, too.

    Raises:
        Anomaly: somebody read what nobody wrote, what never committed, what was overwritten before it committed
            (Adya's G1a and G1b), or did not read what itself had written.
    """
    for transaction in history.transactions.values():
        own: dict[Item, str | None] = {}
        for operation in transaction.operations:
            match operation:
                case Write(item, stamp):
                    own[item] = stamp
                case Read(item, stamp) if item in own:
                    if stamp != own[item]:
                        raise Anomaly(f"does not read its own write of {item}: {transaction}")
                case Read(item, stamp):
                    sight = _sight(history, transaction, item, _holds(stamp))
                    if transaction.committed:
                        yield sight
                case Scan():
                    found = [*_scanned(history, transaction, operation, own)]
                    yield from found if transaction.committed else ()


def _holds(stamp: str | None) -> Callable[[str | None], bool]:
    return lambda held: held == stamp


def _is_outside(scan: Scan, item: Item) -> Callable[[str | None], bool]:
    return lambda held: held is None or not scan.matches(item, held)


def _scanned(history: History, transaction: Transaction, scan: Scan, own: dict[Item, str | None]) -> Iterator[Sight]:
    """A scan as reads of every item there is."""
    for item in {**dict.fromkeys(history.order), **dict.fromkeys(own), **dict.fromkeys(scan.found)}:
        stamp = scan.found.get(item)
        if stamp is not None and not scan.matches(item, stamp):
            raise Anomaly(f"the scan {scan.name} gave {stamp} in {item}, which is not in its range: {transaction}")
        if item in own:
            expected = own[item]
            if expected is not None and not scan.matches(item, expected):
                expected = None
            if stamp != expected:
                raise Anomaly(f"the scan {scan.name} does not see its own write of {item}: {transaction}")
        elif stamp is not None:
            yield _sight(history, transaction, item, _holds(stamp))
        else:
            yield _sight(history, transaction, item, _is_outside(scan, item))


def _sight(history: History, transaction: Transaction, item: Item, was_seen: Callable[[str | None], bool]) -> Sight:
    versions = history.versions(item)
    runs: list[tuple[int, int]] = []
    for place, version in enumerate(versions):
        if was_seen(version.stamp) and version.transaction != transaction.name:
            if runs and runs[-1][1] == place - 1:
                runs[-1] = (runs[-1][0], place)
            else:
                runs.append((place, place))
    if not runs:
        raise Anomaly(_never_there(history, transaction, item, versions))
    return Sight(transaction.name, item, tuple(runs))


def _never_there(history: History, transaction: Transaction, item: Item, versions: tuple[Version, ...]) -> str:
    """Why no version of an item can be what a transaction saw of it."""
    for operation in transaction.operations:
        seen = operation.stamp if isinstance(operation, Read) and operation.item == item else None
        if isinstance(operation, Scan):
            seen = operation.found.get(item)
        if seen is None or any(version.stamp == seen for version in versions):
            continue
        writer, place = history.writes.get(seen, ("nobody", item))
        if writer in ("nobody", BEGINNING) or place != item:
            return f"{transaction} saw {seen} in {item}, which {writer} wrote to {place}"
        if not history.transactions[writer].committed:
            return f"aborted read (G1a): {transaction} saw {seen} in {item}, but {history.transactions[writer]}"
        return f"intermediate read (G1b): {transaction} saw {seen} in {item}, of {history.transactions[writer]}"
    return f"{transaction} did not see {item}, which was always in its range: {versions}"


def edges_of(history: History, sight: Sight, run: tuple[int, int]) -> tuple[Edge, ...]:
    """What follows if a sight was of this run: its first writer comes before, who ended the run after the reader."""
    versions = history.versions(sight.item)
    first, last = run
    edges = []
    if versions[first].transaction not in (BEGINNING, sight.reader):
        edges.append(Edge(versions[first].transaction, sight.reader, "wr", sight.item))
    if last + 1 < len(versions) and versions[last + 1].transaction != sight.reader:
        edges.append(Edge(sight.reader, versions[last + 1].transaction, "rw", sight.item))
    return tuple(edges)
