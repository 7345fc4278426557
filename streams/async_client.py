"""The client for asyncio: the same threads underneath, awaitable on top.

Where too many requests have no answer, `submit` waits. It does so in a thread of this client's: those of the event loop
are few, and others need them.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from streams.client import Client
from streams.client_options import ClientOptions
from streams.client_receipts import ClientReceipt


class AsyncClient:
    """Sends requests of one entity to one ledger; made by `open`, closed by `async with`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._submitting = ThreadPoolExecutor(1, thread_name_prefix="client-submit")  # ends when it is forgotten

    @classmethod
    async def open(
        cls, directory: Path | str, entity: str, *, key_version: int = 1, options: ClientOptions | None = None
    ) -> Self:
        """As `Client.open`."""
        return cls(
            await asyncio.to_thread(Client.open, directory, entity, key_version=key_version, options=options)
        )

    async def execute(self, contract: str, argument: Any, *, version: int = 1) -> ClientReceipt:
        """Send a call and wait for its verified receipt; run many at once with `asyncio.gather`.

        Raises:
            RejectedError, NoReceiptError: it was not decided.
        """
        self._client.require_own_process()
        submit = partial(self._client.submit, contract, argument, version=version)
        future = await asyncio.get_running_loop().run_in_executor(self._submitting, submit)
        return await asyncio.wrap_future(future)

    async def close(self, *, timeout_s: float = 30) -> None:
        """Wait for what is in flight, then end."""
        await asyncio.to_thread(self._client.close, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(timeout_s=30 if error is None else 0)
