"""What all clients of a simulation did and saw, as they knew it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from storage.model.data_types import Value
from storage.model.operations import Key, Row
from storage.model.schema import TableName
from storage.transactions.settings import Isolation
from streams.transaction_simulation.history import Anomaly, Item, Operation


class Outcome(StrEnum):
    """What a client knows of the end of its transaction."""

    OPEN = "open"
    """Nothing: it crashed before."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"
    """It was told that it cannot be known, or crashed while it was committing."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One transaction, from its client's side."""

    name: str
    transaction_id: str
    isolation: Isolation
    began_at: int
    operations: list[Operation] = field(default_factory=list)
    ended_at: int | None = None
    outcome: Outcome = Outcome.OPEN


@dataclass(slots=True)
class Book:
    """Every attempt, by name, and what was written under each stamp.

    Attributes:
        columns: the columns outside the key, by table.
        contents: the values of a row besides its key, by stamp.
        keys: of every item that was ever written.
    """

    columns: Mapping[TableName, tuple[str, ...]]
    attempts: dict[str, Attempt] = field(default_factory=dict)
    contents: dict[str, Row] = field(default_factory=dict)
    keys: dict[Item, Key] = field(default_factory=dict)

    def check_content(self, row: Mapping[str, Value | None], where: str) -> str:
        """Return the stamp of a row that was read.

        Raises:
            Anomaly: a column does not hold what was written under this stamp.
        """
        stamp = row["stamp"]
        if not isinstance(stamp, str) or stamp not in self.contents:
            raise Anomaly(f"{where} holds {row}, which nobody wrote")
        for column, value in self.contents[stamp].items():
            if column in row and row[column] != value:
                raise Anomaly(f"{where} holds {row}, but {self.contents[stamp]} was written")
        return stamp


def whole(value: Value | None) -> int:
    """A value of an integer column, 0 where it is null."""
    assert value is None or isinstance(value, int), "an integer column holds integers"
    return value or 0


def item_of(table: TableName, key: Key) -> Item:
    """The item that a record is in a history."""
    return Item(table.name, ",".join(map(str, (*key.partition, *key.clustering))))
