"""A client that goes on sending while a test breaks things, and remembers every answer."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from protocol.errors import CountersignError
from streams.client import Client, RejectedError
from streams.client_options import ClientOptions
from streams.client_receipts import ClientReceipt
from tests.pipeline import DEADLINE_S, Pipeline, await_that

CONTRACTS = ("account.open", "object.put", "transfer")
_ACCOUNTS = 16
_OBJECTS = 24
_BALANCE = 40
"""Small, so that some transfers fail: which ones depends on the order alone."""

_OPTIONS = ClientOptions(in_flight=4_000)

_ROUND = 50
"""How many are sent at most until answers are counted again, however many are due: with a ledger that is slower than
this sends, each round would take longer than the one before by as much as it is slower."""

_GRACE_S = 3.0
"""How long a test that has failed waits for answers, which the next ones with the same ledger will miss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A verified receipt of a request, and what was asked."""

    contract: str
    argument: Any
    request_id: bytes
    sequence: int
    index: int
    status: str
    code: str
    output: Any


def account(number: int) -> str:
    """Name of an account."""
    return f"account/{number}"


class BackgroundLoad:
    """Sends transfers among a few accounts and puts of a few objects, at a steady rate.

    Args:
        pipeline: where to.
        seed: of what is sent.
        rate: requests per second.

    Attributes:
        answers: every receipt. rejected: codes. unanswered: what got no answer in time.
    """

    def __init__(self, pipeline: Pipeline, *, seed: int, rate: float = 150) -> None:
        self._pipeline = pipeline
        self._rng = random.Random(seed)
        self._rate = rate
        self._sent = 0
        self._crash: BaseException | None = None
        self.answers: list[Answer] = []
        self.rejected: list[str] = []
        self.unanswered: list[str] = []

    @property
    def money(self) -> int:
        """The sum of all balances."""
        return _ACCOUNTS * _BALANCE

    def open_accounts(self) -> None:
        """Make the accounts."""
        with self._pipeline.client() as client:
            waiting = [self._submit(client, *self._opening(number)) for number in range(_ACCOUNTS)]
            for call in waiting:
                self._settle(*call, deadline_s=DEADLINE_S)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send from a thread; at the end wait for every answer that is still to come, after a failure only a little."""
        stop = threading.Event()
        client = self._pipeline.client(options=_OPTIONS)
        self._crash = None

        def send() -> None:
            try:
                self._send(client, stop)
            except BaseException as crash:
                self._crash = crash

        thread = threading.Thread(target=send, name="background-load", daemon=True)
        thread.start()
        grace_s = _GRACE_S
        try:
            self.await_answers(20)
            yield
            grace_s = DEADLINE_S
        finally:
            stop.set()
            thread.join(grace_s)
            client.close(timeout_s=0)  # gives up what the thread waits for: answers, or room to send more
            thread.join()
        self._require_sending()

    def await_answers(self, count: int, deadline_s: float = DEADLINE_S) -> None:
        """Wait for so many more receipts than there are now, of requests sent from now on."""
        sent = self._sent
        self._await("requests are sent", lambda: self._sent > sent, deadline_s)
        wanted = len(self.answers) + count
        self._await(f"{count} more receipts", lambda: len(self.answers) >= wanted, deadline_s)

    def _await(self, what: str, condition: Callable[[], bool], deadline_s: float) -> None:
        """Wait until something is so, while the thread sends."""

        def is_so() -> bool:
            self._require_sending()
            return condition()

        await_that(what, is_so, deadline_s)

    def _require_sending(self) -> None:
        """Raise what ended the sending thread before its time."""
        if self._crash is not None:
            raise self._crash

    def _opening(self, number: int) -> tuple[str, Any]:
        return "account.open", {"account": account(number), "balance": _BALANCE}

    def _next(self) -> tuple[str, Any]:
        rng = self._rng
        if rng.random() < 0.3:
            return "object.put", {"key": f"object/{rng.randrange(_OBJECTS)}", "value": self._sent}
        source, target = rng.sample(range(_ACCOUNTS), 2)
        return "transfer", {"from": account(source), "to": account(target), "amount": rng.randint(1, 9)}

    def _submit(self, client: Client, contract: str, argument: Any) -> tuple[str, Any, "Future[ClientReceipt]"]:
        self._sent += 1
        return contract, argument, client.submit(contract, argument)

    def _send(self, client: Client, stop: threading.Event) -> None:
        waiting: deque[tuple[str, Any, Future[ClientReceipt]]] = deque()
        started, sent = time.monotonic(), 0
        while not stop.is_set():
            due = min((time.monotonic() - started) * self._rate, sent + _ROUND)
            while sent < due and not stop.is_set():
                try:
                    waiting.append(self._submit(client, *self._next()))
                except CountersignError:
                    if not stop.is_set():  # else it was closed while this waited for room
                        raise
                sent += 1
            self._settle_done(waiting)
            stop.wait(0.01)
        deadline = time.monotonic() + DEADLINE_S
        for call in waiting:
            self._settle(*call, deadline_s=max(0.0, deadline - time.monotonic()))

    def _settle_done(self, waiting: "deque[tuple[str, Any, Future[ClientReceipt]]]") -> None:
        """Take the answers that are there, whatever their order."""
        for _ in range(len(waiting)):
            call = waiting.popleft()
            if call[2].done():
                self._settle(*call, deadline_s=0)
            else:
                waiting.append(call)

    def _settle(self, contract: str, argument: Any, future: "Future[ClientReceipt]", *, deadline_s: float) -> None:
        try:
            receipt = future.result(deadline_s)
        except RejectedError as error:
            self.rejected.append(f"{contract} {argument}: {error}")
        except (FutureTimeoutError, CountersignError) as error:
            self.unanswered.append(f"{contract} {argument}: {error!r}")
        else:
            self.answers.append(
                Answer(
                    contract=contract,
                    argument=argument,
                    request_id=receipt.request_id,
                    sequence=receipt.sequence,
                    index=receipt.index,
                    status=receipt.status,
                    code=receipt.code,
                    output=receipt.output if receipt.ok else None,
                )
            )
