"""A store whose rows coroutines can await, so that no thread stands between them and the server.

A store may offer this beside its port (`storage.tables.port`), for what transactions do most. Every rule of the port
holds here, too.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from storage.model.operations import Get, Mutation, Row


class AwaitedTables(Protocol):
    """The reads by key and the batches of a store, for the coroutines of one event loop at a time."""

    async def get_many(self, gets: Sequence[Get]) -> list[Row | None]:
        """As `TableStore.get_many`."""
        ...

    async def apply(self, batch: Sequence[Mutation]) -> None:
        """As `TableStore.apply`; a coroutine that is cancelled in it does not know the outcome."""
        ...

    def close(self) -> None:
        """Give back the connection, for good; the store stays open."""
        ...


@runtime_checkable
class OffersAwaited(Protocol):
    """A store that has such a side."""

    def awaited(self) -> AwaitedTables | None:
        """A new one; None: not as this store is set up."""
        ...
