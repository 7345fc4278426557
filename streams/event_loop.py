"""An event loop for the whole life of a process, whose end does not wait for tasks that will not end."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

CANCEL_S = 1.0
"""How long tasks have that are cancelled."""


def run_in_loop(main: Coroutine[Any, Any, None]) -> None:
    """As `asyncio.run`, but for tasks that go on when they are cancelled: they are left to the end of the process."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=CANCEL_S))
        if all(task.done() for task in left):
            loop.close()
        else:
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it would complain of each
