"""What clients did and saw: the input of every check.

1. Whatever is written carries a *stamp* that is written once only, so whoever reads it can say whose version it saw.
2. Nothing carries no stamp: which absence was seen (before the first insert, after which delete) is left open.
3. The versions of an item are ordered as the store installed them, each by a transaction that committed. What was
   there before everything was written by `BEGINNING`.
4. Times are ticks of one clock, and no two events share one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

BEGINNING = "the beginning"
"""The transaction that wrote what was there before all others."""


class Anomaly(Exception):  # noqa: N818  # what a check looks for
    """A history is not what its isolation level promises."""


class Item(NamedTuple):
    """What is read and written as one: a row."""

    table: str
    key: str

    def __str__(self) -> str:
        return f"{self.table}/{self.key}"


class Version(NamedTuple):
    """What a transaction left in an item; without a stamp, nothing."""

    transaction: str
    stamp: str | None


class Write(NamedTuple):
    """An item was written, or deleted where there is no stamp."""

    item: Item
    stamp: str | None

    def __str__(self) -> str:
        return f"wrote {self.stamp} to {self.item}" if self.stamp else f"deleted {self.item}"


class Read(NamedTuple):
    """An item was read, and found absent where there is no stamp."""

    item: Item
    stamp: str | None

    def __str__(self) -> str:
        return f"read {self.stamp} in {self.item}" if self.stamp else f"found no {self.item}"


class Scan(NamedTuple):
    """All items of which a predicate holds were read.

    Attributes:
        name: for people.
        found: what was there.
        matches: whether an item that holds a stamp is in its range; every other item was seen not to be.
    """

    name: str
    found: Mapping[Item, str]
    matches: Callable[[Item, str], bool]

    def __str__(self) -> str:
        found = ", ".join(f"{stamp} in {item}" for item, stamp in sorted(self.found.items()))
        return f"scanned {self.name}: {found or 'nothing'}"


Operation = Write | Read | Scan


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One transaction as its client saw it, and what became of it in the end.

    Attributes:
        operations: in the order in which they were answered.
        began_at: before its first operation was asked for.
        ended_at: when its client knew that it had committed; None if it never did.
        committed: what became of it, found out later where the client did not know.
    """

    name: str
    operations: tuple[Operation, ...]
    began_at: int
    ended_at: int | None
    committed: bool

    def __str__(self) -> str:
        end = "never knew its end" if self.ended_at is None else f"ended at {self.ended_at}"
        state = "committed" if self.committed else "did not commit"
        done = "; ".join(map(str, self.operations))
        return f"{self.name} ({state}, began at {self.began_at}, {end}): {done or 'nothing'}"

    def written(self) -> dict[Item, str | None]:
        """What it left in each item that it wrote."""
        return {operation.item: operation.stamp for operation in self.operations if isinstance(operation, Write)}


@dataclass(frozen=True, kw_only=True)
class History:
    """Many transactions over the same items.

    Attributes:
        transactions: by name.
        order: the versions of each item, oldest first; an item that is not in it never held anything.
    """

    transactions: Mapping[str, Transaction]
    order: Mapping[Item, tuple[Version, ...]] = field(default_factory=dict)

    def versions(self, item: Item) -> tuple[Version, ...]:
        """The versions of an item, the beginning's first."""
        versions = self.order.get(item, ())
        if versions and versions[0].transaction == BEGINNING:
            return versions
        return (Version(BEGINNING, None), *versions)

    @property
    def committed(self) -> list[Transaction]:
        """The transactions that committed."""
        return [transaction for transaction in self.transactions.values() if transaction.committed]

    @cached_property
    def writes(self) -> dict[str, tuple[str, Item]]:
        """Who wrote a stamp, and where.

        Raises:
            Anomaly: a stamp was written twice; the history is useless.
        """
        writes: dict[str, tuple[str, Item]] = {}
        for item, versions in self.order.items():
            for version in versions:
                if version.transaction == BEGINNING and version.stamp is not None:
                    writes[version.stamp] = (BEGINNING, item)
        for transaction in self.transactions.values():
            for operation in transaction.operations:
                if isinstance(operation, Write) and operation.stamp is not None:
                    if operation.stamp in writes:
                        raise Anomaly(f"the stamp {operation.stamp} was written twice")
                    writes[operation.stamp] = (transaction.name, operation.item)
        return writes
