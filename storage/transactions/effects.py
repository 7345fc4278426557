"""What the transaction core asks of the world, and what a driver answers.

The core is made of generators: they yield effects, and each `yield` gives the answer, or raises the error that the
effect met. They know no clock, no thread, no randomness and no store. Whoever drives them:

1. performs one effect at a time and sends its answer in, or throws the `CountersignError` that it met;
2. performs the parts of an `All` in any order, or at once, waits for every one of them, and answers a list in which
   an error stands in the place of a part that met it;
3. may drop a generator between two effects: that *is* a crash of the client, and nothing has to be cleaned up;
4. after `UnknownOutcomeError` of an `Apply`, may have applied it, or not, or may apply it later: the core copes;
5. never performs an `Apply` twice.

`run` of `storage.transactions.threads` performs them in threads, that of `storage.transactions.tasks` in asyncio.
"""

from collections.abc import Generator, Iterator
from typing import Any, NamedTuple, TypeVar

from storage.model.operations import AnyScan, Get, Key, Mutation, Row
from storage.model.schema import TableName


class Read(NamedTuple):
    """Rows of one store by key, in one round trip. Answer: `list[Row | None]`, in the same order."""

    store: str
    gets: tuple[Get, ...]


class Open(NamedTuple):
    """Begin a scan of one store; nothing is read yet. Answer: an `Iterator[Row]` for `Pull`."""

    store: str
    scan: AnyScan


class Pull(NamedTuple):
    """The next rows of a scan, at most so many. Answer: `list[Row]`, shorter only at the scan's end."""

    store: str
    rows: Iterator[Row]
    size: int


class Apply(NamedTuple):
    """One atomic batch to one store. Answer: None.

    A `decision` is about one row of the coordinator alone, so a driver may put several of them into one batch of
    the store, and fall back to each alone where that batch fails.
    """

    store: str
    batch: tuple[Mutation, ...]
    decision: bool = False


class All(NamedTuple):
    """Several effects at once. Answer: a list of their answers and errors, after all have ended."""

    parts: tuple["Read | Apply", ...]


class Wait(NamedTuple):
    """Let this time pass, in milliseconds. Answer: None."""

    wait_ms: float


class Clock(NamedTuple):
    """Ask for the time. Answer: `int`, milliseconds since 1970."""


class Chance(NamedTuple):
    """Ask for a number to spread waits with. Answer: `float`, at least 0 and below 1."""


class Describe(NamedTuple):
    """Look up a table that the catalogue does not know yet. Answer: its `storage.model.schema.TableSchema`."""

    store: str
    table: TableName


class Queue(NamedTuple):
    """Wait for this transaction's turn at a hot record, for a bounded time. Answer: None.

    Only a courtesy among the transactions of one process, which saves attempts that would fail: correctness never
    needs it, so a driver may answer at once.
    """

    transaction_id: str
    table: TableName
    key: Key


Effect = Read | Open | Pull | Apply | All | Wait | Clock | Chance | Describe | Queue
StorageCall = Read | Pull | Apply
"""The effects that reach a store, each a place for a crash, a delay, a lost answer; `All` holds several."""

T = TypeVar("T")
Steps = Generator[Effect, Any, T]
"""A part of the core: yields effects, and returns a T."""
