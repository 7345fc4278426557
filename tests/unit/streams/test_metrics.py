"""What a process measures is what it took, children included, and reaches the topic."""

import os
import subprocess
import sys
import time

from schemas.feed import Metrics
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
