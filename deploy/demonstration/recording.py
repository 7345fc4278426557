"""Sending the inventory through the pipeline, with a bar for each stage."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event, Thread

from rich.progress import Progress

from deploy.demonstration.inventory import CONTRACT, NAMESPACE, READ_CONTRACT, READ_SOURCE, SOURCE, Item
from deploy.home import Home
from deploy.keys import make_key
from deploy.measuring.processes import percentile
from deploy.output import Output
from deploy.session import open_client
from protocol.contracts.key_proof import key_proof_input
from protocol.contracts.names import namespace_key
from protocol.errors import CountersignError
from schemas.errors import MalformedMessageError
from schemas.feed import Metrics
from schemas.topics import METRICS
from storage.effects import FIRST_OFFSET, Position
from streams.client import Client
from streams.client_options import ClientOptions
from streams.client_receipts import ClientReceipt
from streams.kafka_log import KafkaLogReader

RECORDER = "recorder"

STAGES = (
    ("ordered by the Auditor", "auditor", "order.ordered"),
    ("committed by the Ledger", "ledger", "commit.committed"),
    ("countersigned", "auditor", "validate.decided"),
    ("learned from pieces", "learner", "learn.requests"),
)
"""What is shown, which role says it, under which name."""

_LAST_WORD_S = 3.0
"""How long the bars wait for the stages to say that they are done, too: each speaks once a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What came of sending the inventory.

    Attributes:
        receipts: of the decided requests.
        rejected: requests that the Auditor turned away.
        seconds: from the first request to the last receipt.
        latencies_ms: of each receipt.
    """

    receipts: Sequence[ClientReceipt]
    rejected: int
    seconds: float
    latencies_ms: Sequence[float]

    @property
    def last_sequence(self) -> int:
        """Of the last receipt."""
        return max(receipt.sequence for receipt in self.receipts)

    def latency(self) -> dict[str, float]:
        """Percentiles, in milliseconds."""
        values = sorted(self.latencies_ms)
        return {"p50": round(percentile(values, 0.5), 1), "p99": round(percentile(values, 0.99), 1)}


def register_recorder(home: Home, output: Output) -> None:
    """Register the recording entity, its namespace and its contracts, all through the pipeline."""
    key = make_key(home.key_file(RECORDER, 1))
    with open_client(home, "admin") as admin:
        algorithm, public = key.public_key
        proof = key.sign(key_proof_input(admin.epochs.ledger_id, RECORDER, 1, algorithm, public))
        argument = {
            "entity": RECORDER,
            "rights": ["contract.register"],
            "algorithm": algorithm,
            "public_key": public.hex(),
            "proof": proof.hex(),
        }
        registered = admin.execute("sys.entity.register", argument)
        _ = registered.output
    with open_client(home, RECORDER) as client:
        _ = client.execute("sys.namespace.create", {"namespace": NAMESPACE}).output
        for name, source in ((CONTRACT, SOURCE), (READ_CONTRACT, READ_SOURCE)):
            _ = client.execute(
                "sys.contract.register", {"contract": name, "version": 1, "source": source}
            ).output
    output.say(
        f"registered the entity [bold]{RECORDER}[/bold], its namespace and two contracts, by signed requests"
    )


def record(home: Home, output: Output, items: Sequence[Item]) -> Recording:
    """Send one request per item and await every verified receipt."""
    options = ClientOptions(in_flight=2000)
    with (
        open_client(home, RECORDER, options) as client,
        output.progress() as bars,
        StageBars(home, bars, len(items)),
    ):
        return _send(client, bars, items)


def _send(client: Client, bars: Progress, items: Sequence[Item]) -> Recording:
    task = bars.add_task("receipts verified", total=len(items))
    latencies_ms: list[float] = []
    started = time.perf_counter()

    def on_done(sent_at: float) -> None:
        latencies_ms.append((time.perf_counter() - sent_at) * 1000)
        bars.advance(task)

    futures: list[Future[ClientReceipt]] = []
    for item in items:
        sent_at = time.perf_counter()
        keys: list[tuple[str, str]] = [(NAMESPACE, item.key), namespace_key(NAMESPACE)]
        future = client.submit(CONTRACT, {"key": item.key, "value": item.value}, keys=keys)
        future.add_done_callback(lambda _, sent_at=sent_at: on_done(sent_at))  # type: ignore[misc]
        futures.append(future)
    receipts: list[ClientReceipt] = []
    rejected = 0
    for future in futures:
        try:
            receipts.append(future.result(300))
        except CountersignError:
            rejected += 1
    return Recording(
        receipts=receipts, rejected=rejected, seconds=time.perf_counter() - started, latencies_ms=latencies_ms
    )


class StageBars:
    """Bars that follow what the processes publish of themselves, while something else is done."""

    def __init__(self, home: Home, bars: Progress, total: int) -> None:
        self._reader = KafkaLogReader(home.load("client").connection())
        self._bars = bars
        self._total = total
        self._tasks = {name: bars.add_task(text, total=total) for text, _, name in STAGES}
        self._before = dict.fromkeys(self._tasks, 0.0)
        self._shown = dict.fromkeys(self._tasks, 0.0)
        self._done = Event()
        self._thread = Thread(target=self._follow, name="stage-bars", daemon=True)

    def __enter__(self) -> None:
        self._reader.seek([Position(METRICS, 0, FIRST_OFFSET)])
        while values := self._published():
            self._before.update(values)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._reader.close()

    def _follow(self) -> None:
        """Show what is published; when all is done, until the last stages have said so, too."""
        deadline = float("inf")
        while time.monotonic() < deadline and not self._is_complete():
            for name, value in self._published().items():
                self._shown[name] = min(self._total, value - self._before[name])
                self._bars.update(self._tasks[name], completed=self._shown[name])
            if self._done.is_set():
                deadline = min(deadline, time.monotonic() + _LAST_WORD_S)

    def _is_complete(self) -> bool:
        return self._done.is_set() and all(shown >= self._total for shown in self._shown.values())

    def _published(self) -> dict[str, float]:
        """The newest values that the stages have published since the last time."""
        found: dict[str, float] = {}
        messages, _ = self._reader.receive((METRICS,), 64, 200)
        for message in messages:
            try:
                metrics = Metrics.from_message(message.value or b"")
            except MalformedMessageError:
                continue
            values = {measure.name: measure.value for measure in metrics.values}
            found |= {
                name: values[name] for _, role, name in STAGES if role == metrics.role and name in values
            }
        return found
