"""What a process measures is what it took, children included, and reaches the topic."""

import os
import subprocess
import sys
import threading
import time

import pytest

from schemas.feed import Metrics
from storage.effects import Outgoing
from streams import metrics as metrics_module
from streams.log import DeliveryFailure, LogRefusedError
from streams.memory_log import MemoryLog
from streams.metrics import MetricsPublisher, ProcessMetrics, process_values


def test_counters_add_and_gauges_are_set() -> None:
    """A name that begins with `gauge_` holds the last value, every other one the sum."""
    metrics = ProcessMetrics("auditor", "1")
    meter = metrics.meter("order")
    meter.report({"ordered": 2, "gauge_undecided": 9})
    meter.report({"ordered": 3, "gauge_undecided": 4})
    meter.took("Apply", 0.5, 0.25)
    values = dict(metrics.snapshot(17).values)
    assert values["order.ordered"] == 5
    assert values["order.gauge_undecided"] == 4
    assert values["order.Apply.count"] == 1
    assert values["order.Apply.wall_us"] == 500_000
    assert values["order.Apply.cpu_us"] == 250_000


def test_a_childs_time_and_memory_count() -> None:
    """A child process shows in CPU time and memory while it runs, and its time still when it has ended."""
    before = process_values()
    burn = (
        "import sys,time; x=bytearray(64<<20); e=time.process_time()+0.3\nwhile time.process_time()<e: pass\n"
    )
    code = burn + "print('done',flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    during = process_values()
    child.communicate()
    after = process_values()
    assert during["process.children_cpu_us"] - before["process.children_cpu_us"] >= 250_000
    assert during["process.children_rss_bytes"] - before["process.children_rss_bytes"] >= 64 << 20
    assert after["process.children_cpu_us"] - before["process.children_cpu_us"] >= 250_000
    assert after["process.children_rss_bytes"] < during["process.children_rss_bytes"]


def test_the_processs_own_time_and_memory() -> None:
    """Times and bytes are in their units."""
    before = process_values()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    used_us = process_values()["process.cpu_us"] - before["process.cpu_us"]
    assert 200_000 <= used_us < 5_000_000
    assert 10 << 20 < before["process.rss_bytes"] < 4 << 30
    assert before["process.threads"] >= 1


def test_metrics_are_published() -> None:
    """A framed `Metrics` message with role and instance is on the topic, the last one at the end."""
    log = MemoryLog({"metrics": 1})
    metrics = ProcessMetrics("ledger", str(os.getpid()))
    publisher = MetricsPublisher(metrics, log.writer(), lambda: 42)
    publisher.start()
    metrics.meter("commit").add("committed", 7)
    publisher.close()
    message = Metrics.from_message(log.messages("metrics")[-1].value or b"")
    assert (message.role, message.instance, message.at_ms) == ("ledger", str(os.getpid()), 42)
    assert dict(message.values)["commit.committed"] == 7


class Refusing:
    """A writer whose broker takes what the script says; then it takes all.

    Attributes:
        sent: how many messages it was given.
        all_tried: the script is at its end, and one more message came.
        flushed_after, closed_after: how many there were when it was flushed and closed.
    """

    def __init__(self, *script: LogRefusedError | DeliveryFailure) -> None:
        self._script = list(script)
        self._failures: list[DeliveryFailure] = []
        self.sent = 0
        self.all_tried = threading.Event()
        self.flushed_after = self.closed_after = 0

    def send_nowait(self, message: Outgoing, reference: object) -> bool:
        self.sent += 1
        if not self._script:
            self.all_tried.set()
            return True
        answer = self._script.pop(0)
        if isinstance(answer, LogRefusedError):
            raise answer
        self._failures.append(answer)
        return True

    def take_failures(self, wait_ms: int = 0) -> list[DeliveryFailure]:
        failures, self._failures = self._failures, []
        return failures

    def flush(self, wait_ms: int) -> bool:
        assert wait_ms > 0
        self.flushed_after = self.sent
        return True

    def close(self) -> None:
        assert self.flushed_after == self.sent, "what is unsent is lost"
        self.closed_after = self.sent


REFUSED = DeliveryFailure(None, False, "too large for the topic")
AWAY = DeliveryFailure(None, True, "timed out")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ([LogRefusedError("no right"), LogRefusedError("no right"), REFUSED], "no right"),
        ([REFUSED, LogRefusedError("no right")], "too large for the topic"),
        ([AWAY, AWAY], ""),
    ],
    ids=["at once", "later", "away"],
)
def test_a_refusal_ends_nothing_and_is_told_once(
    script: list[LogRefusedError | DeliveryFailure],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Metrics are for eyes only: what the broker does not take is missing, and the next one is sent all the same."""
    monkeypatch.setattr(metrics_module, "INTERVAL_S", 0.001)
    writer = Refusing(*script)
    publisher = MetricsPublisher(ProcessMetrics("ledger", "1"), writer, lambda: 42)
    publisher.start()
    assert writer.all_tried.wait(10), "it ended"
    publisher.close()
    assert [record.args for record in caplog.records] == ([(told,)] if told else [])


def test_the_last_one_is_refused_and_the_writer_is_closed() -> None:
    """After the last message, and whatever becomes of it: its threads and connections end with the publisher."""
    for script in ((), (LogRefusedError("no right"),)):
        writer = Refusing(*script)
        publisher = MetricsPublisher(ProcessMetrics("ledger", "1"), writer, lambda: 42)
        publisher.start()
        publisher.close()
        assert writer.closed_after == writer.sent > 0


def test_too_much_is_refused_and_less_is_published_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log takes messages up to its limit."""
    monkeypatch.setattr(metrics_module, "INTERVAL_S", 0.001)
    log = MemoryLog({"metrics": 1}, message_bytes_max=2_000)
    metrics = ProcessMetrics("ledger", "1")
    meter = metrics.meter("commit")
    meter.add("n" * 2_000, 1)
    snapshots = threading.Semaphore(0)

    def now_ms() -> int:
        snapshots.release()
        return 42

    publisher = MetricsPublisher(metrics, log.writer(), now_ms)
    publisher.start()
    for _ in range(2):
        assert snapshots.acquire(timeout=10), "it ended at the first refusal"
    meter.values.clear()
    publisher.close()
    assert len(log.messages("metrics")) >= 1
