"""What the stores themselves tell of a run: who wrote which version after whom, and what was decided.

1. A transaction *installs* a version when a row first carries its id, prepared or committed at once. A row that is
   brought back carries a former id again, which installs nothing.
2. A row that vanishes though nobody had prepared its end was deleted in one phase, by whoever asked for it.
3. Each install counts the row's version one up, and each decision is made once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from storage.model.operations import Row
from storage.model.schema import TableName
from storage.transactions.layout import ABORTED, COMMITTED, DELETED, TX_ID, TX_STATE, TX_VERSION
from streams.transaction_simulation.book import item_of, whole
from streams.transaction_simulation.history import BEGINNING, Anomaly, Item, Version
from streams.transaction_simulation.stores import Change

BEGINNING_ID = "0" * 32
"""The id in rows that were there from the beginning; imported ones have none."""


class Install(NamedTuple):
    """A transaction wrote a row."""

    transaction_id: str
    stamp: str | None


def decisions(changes: Iterable[Change], coordinator: TableName) -> dict[str, int]:
    """What was decided about each transaction, in whichever place; COMMITTED in one place counts.

    Raises:
        Anomaly: a decision was changed.
    """
    decided: dict[str, int] = {}
    for change in changes:
        if change.table != coordinator or change.after is None or change.after["state"] is None:
            continue
        transaction_id, state = change.after["transaction_id"], change.after["state"]
        assert isinstance(transaction_id, str)
        assert state in (COMMITTED, ABORTED)
        if change.before is not None:
            raise Anomaly(f"{change.by} changed the decision about {transaction_id}: {change.before} -> {change.after}")
        if state == COMMITTED or transaction_id not in decided:
            decided[transaction_id] = whole(state)
    return decided


def installs(
    changes: Iterable[Change], tables: Iterable[TableName], asker: Callable[[str], str | None]
) -> dict[Item, list[Install]]:
    """Who wrote each item, in order, after the beginning.

    Args:
        changes: of all stores.
        tables: those of the users.
        asker: the id of the transaction in which a client asked for a change.

    Raises:
        Anomaly: an install that counts its version wrongly.
    """
    wanted = set(tables)
    found: dict[Item, list[Install]] = {}
    known: dict[Item, set[str | None]] = {}
    for change in changes:
        if change.table not in wanted:
            continue
        item = item_of(change.table, change.key)
        before, after = change.before, change.after
        ids = known.setdefault(item, {BEGINNING_ID, None})
        if after is None:
            if before is not None and before[TX_STATE] in (COMMITTED, None):
                deleter = asker(change.by)
                found.setdefault(item, []).append(Install(deleter or f"nobody, but {change.by}", None))
            continue
        writer = after[TX_ID]
        assert writer is None or isinstance(writer, str)
        if writer is None or writer in ids:
            continue
        ids.add(writer)
        _check_version(change, item)
        found.setdefault(item, []).append(Install(writer, _stamp(after)))
    return found


def _stamp(row: Row) -> str | None:
    if row[TX_STATE] == DELETED:
        return None
    stamp = row["stamp"]
    assert isinstance(stamp, str), "every row has a stamp"
    return stamp


def _check_version(change: Change, item: Item) -> None:
    assert change.after is not None
    former = 0 if change.before is None else change.before[TX_VERSION]
    if whole(change.after[TX_VERSION]) != whole(former) + 1:
        raise Anomaly(f"{change.by} wrote version {change.after[TX_VERSION]!r} of {item} on version {former!r}")


def version_order(
    installed: Mapping[Item, list[Install]],
    beginning: Mapping[Item, str],
    names: Mapping[str, str],
    counts: Callable[[str, Item, str | None], bool],
) -> dict[Item, tuple[Version, ...]]:
    """The versions of each item that were committed, in order.

    Args:
        installed: of `installs`.
        beginning: the stamps of what was there before.
        names: of transactions by their ids.
        counts: whether a transaction was committed, and left this in an item for its client; to keep an item absent,
            the core prepares to delete it though nobody asked for that.
    """
    order: dict[Item, tuple[Version, ...]] = {}
    for item in dict.fromkeys((*beginning, *installed)):
        versions = [
            Version(names.get(write.transaction_id, write.transaction_id), write.stamp)
            for write in installed.get(item, ())
        ]
        first = (Version(BEGINNING, beginning[item]),) if item in beginning else ()
        order[item] = (*first, *(version for version in versions if counts(version.transaction, item, version.stamp)))
    return order
