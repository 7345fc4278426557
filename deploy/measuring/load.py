"""The load: what requests are sent, how fast, and what came back."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from deploy.measuring.processes import percentile
from protocol.errors import CountersignError
from streams.client import Client
from streams.client_receipts import ClientReceipt

Call = tuple[str, Any]
"""Contract and argument."""

OPEN_CONTRACT = "bench.open"
OPEN_SOURCE = '''"""Opens many accounts at once. Argument: {"accounts", "balance"}."""

def execute(argument):
    for account in argument["accounts"]:
        put("bank", account, {"balance": argument["balance"], "owner": caller()})
'''
_OPENED_TOGETHER = 50
_BALANCE = 1_000_000_000

_PROGRESS_EACH = 100
"""Requests between two looks at what was answered: drawing a bar takes as long as sending a request."""


@dataclass(slots=True)
class Answers:
    """What came back of a load.

    Attributes:
        latencies_ms: of each verified receipt, from submitting it.
    """

    decided: int = 0
    failed: int = 0
    rejected: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    def latency(self) -> dict[str, float]:
        """Percentiles, in milliseconds."""
        values = sorted(self.latencies_ms)
        return {"p50": round(percentile(values, 0.5), 1), "p99": round(percentile(values, 0.99), 1)}


def account_name(number: int) -> str:
    """An account of the benchmark."""
    return f"account/{number:06d}"


def open_accounts(client: Client, count: int, progress: Callable[[int], None]) -> None:
    """Make `count` accounts that belong to the client's entity.

    Raises:
        CountersignError: a request was rejected, or failed.
    """
    contract = {"contract": OPEN_CONTRACT, "version": 1, "source": OPEN_SOURCE}
    _ = client.execute("sys.contract.register", contract).output
    futures = []
    for first in range(0, count, _OPENED_TOGETHER):
        names = [account_name(number) for number in range(first, min(count, first + _OPENED_TOGETHER))]
        keys = [("bank", name) for name in names]
        futures.append(client.submit(OPEN_CONTRACT, {"accounts": names, "balance": _BALANCE}, keys=keys))
    for future in futures:
        _ = future.result(120).output
        progress(_OPENED_TOGETHER)


def transfers(accounts: int, *, hot: bool, seed: int) -> Iterator[Call]:
    """Endless transfers between random accounts; `hot`: one of them is always the same."""
    rng = random.Random(seed)
    while True:
        source = 0 if hot else rng.randrange(accounts)
        target = (source + 1 + rng.randrange(accounts - 1)) % accounts
        yield "transfer", {"from": account_name(source), "to": account_name(target), "amount": 1}


def puts(keys: int, seed: int) -> Iterator[Call]:
    """Endless writes of 100 bytes."""
    rng = random.Random(seed)
    value = "x" * 100
    while True:
        yield "object.put", {"key": f"object/{rng.randrange(keys):06d}", "value": value}


def run_load(
    client: Client, calls: Iterator[Call], seconds: float, progress: Callable[[int], None], rate: float = 0.0
) -> Answers:
    """Send for some seconds: as fast as the client's bound of requests in flight allows, or at a steady rate.

    Args:
        rate: requests per second; 0 sends without pause.
    """
    answers = Answers()
    waiting: deque[tuple[float, Future[ClientReceipt]]] = deque()
    started = time.perf_counter()
    sent = 0
    while (now := time.perf_counter()) - started < seconds:
        if rate and sent >= (now - started) * rate:
            time.sleep(max(0.0, started + sent / rate - now))
            now = time.perf_counter()
        contract, argument = next(calls)
        future = client.submit(contract, argument)
        future.add_done_callback(_noting(now, answers.latencies_ms))
        waiting.append((now, future))
        sent += 1
        if sent % _PROGRESS_EACH == 0:
            progress(_count_done(waiting, answers))
    for _, future in waiting:
        _count(future, answers)
        progress(1)
    answers.seconds = time.perf_counter() - started
    return answers


def _noting(started: float, latencies_ms: list[float]) -> Callable[["Future[ClientReceipt]"], None]:
    def note(_: "Future[ClientReceipt]") -> None:
        latencies_ms.append((time.perf_counter() - started) * 1000)

    return note


def _count_done(waiting: deque[tuple[float, Future[ClientReceipt]]], answers: Answers) -> int:
    """Count the answers that are there, in the order of their requests; how many they were."""
    counted = 0
    while waiting and waiting[0][1].done():
        _count(waiting.popleft()[1], answers)
        counted += 1
    return counted


def _count(future: "Future[ClientReceipt]", answers: Answers) -> None:
    try:
        receipt = future.result(120)
    except CountersignError:
        answers.rejected += 1
        return
    answers.decided += 1
    answers.failed += not receipt.ok
