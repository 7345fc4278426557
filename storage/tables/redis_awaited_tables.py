"""Reads by key and batches of `storage.tables.redis_tables`, awaited."""

import asyncio
from collections.abc import Sequence

from storage.model.operations import Get, Mutation, Row
from storage.tables.batches import check_size
from storage.tables.errors import ConditionFailedError, StoreContendedError
from storage.tables.port import Capabilities
from storage.tables.redis_awaited_link import AwaitedLink
from storage.tables.redis_batches import APPLY, STALE_TRIES, batch_call
from storage.tables.redis_known_tables import KnownTables
from storage.tables.redis_reads import READ, by_bucket, reading


class RedisAwaitedTables:
    """The awaited side of a store on one server. See `storage.tables.awaited.AwaitedTables`.

    Args:
        known: the store's tables; what it has to ask the server about them is asked in a thread.
        capabilities: of the store.
        link: to the server.
    """

    def __init__(self, known: KnownTables, capabilities: Capabilities, link: AwaitedLink) -> None:
        self._known = known
        self._capabilities = capabilities
        self._link = link

    async def get_many(self, gets: Sequence[Get]) -> list[Row | None]:
        """Return rows, in one round trip."""
        await self._learn(gets)
        if len(gets) == 1:
            one = reading(self._known.table(gets[0].table), gets[0])
            return [one.plan.row(one.key, await self._link.read(one.plan.command(one.name)))]
        rows: list[Row | None] = [None] * len(gets)
        for together in by_bucket([reading(self._known.table(get.table), get) for get in gets]):
            together.fill(rows, await self._link.ask_script(READ, together.arguments))
        return rows

    async def apply(self, batch: Sequence[Mutation]) -> None:
        """Do all of it, or nothing."""
        check_size(batch, self._capabilities)
        for _ in range(STALE_TRIES):
            await self._learn(batch)
            call = batch_call(batch, self._known.table)
            answer = await self._link.call_script(APPLY, call.arguments)
            if answer is None:
                return
            if isinstance(answer, int):
                raise ConditionFailedError(answer)
            await asyncio.to_thread(self._known.renew, call.tables[answer[0] - 1], call.bucket)
        raise StoreContendedError("a table of the batch is being altered")

    def close(self) -> None:
        """Give back the connection."""
        self._link.close()

    async def _learn(self, operations: Sequence[Get | Mutation]) -> None:
        """Look up their tables, in a thread, which may wait."""
        while not self._known.has_all(operations):
            for operation in operations:
                await asyncio.to_thread(self._known.table, operation.table)
