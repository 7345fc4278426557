"""What a process measures of itself, published once a second; for eyes only, nothing depends on it.

Names, with their units:

- `STAGE.EFFECT.wall_us`, `.cpu_us` and `.count` for every kind of effect, and for the machine's own steps:
  `decode` where it takes what came in, `encode` where it takes what was executed, `step` for the others;
- `STAGE.messages_in`, `.bytes_in`, `.messages_out`, `.bytes_out`, `STAGE.restarts`, `STAGE.alarm.CODE`;
- `STAGE.halted.CODE`, and `STAGE.ended.CODE` where another stage of the process follows;
- `STAGE.NAME` for what a machine reports: names that begin with `gauge_` are set, others added up;
- `process.cpu_us`, `.children_cpu_us`, `.rss_bytes`, `.children_rss_bytes`, `.threads`.
"""

import logging
import os
import resource
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from protocol.errors import CountersignError
from schemas.feed import Measure, Metrics
from schemas.topics import METRICS
from storage.effects import Outgoing
from streams.log import NowaitWriter

INTERVAL_S = 1.0
GAUGE = "gauge_"
_LAST_MS = 500

_PAGE_BYTES = resource.getpagesize()
_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")

_log = logging.getLogger("countersign.metrics")


class StageMeter:
    """Counters of one stage. One thread writes, others may read."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.values: dict[str, float] = {}

    def add(self, name: str, value: float) -> None:
        """Add to a counter."""
        self.values[name] = self.values.get(name, 0.0) + value

    def report(self, metrics: Mapping[str, float]) -> None:
        """Take over what a machine reports."""
        for name, value in metrics.items():
            if name.startswith(GAUGE):
                self.values[name] = value
            else:
                self.add(name, value)

    def took(self, what: str, wall_s: float, cpu_s: float) -> None:
        """Count one piece of work and its times."""
        self.add(f"{what}.count", 1)
        self.add(f"{what}.wall_us", wall_s * 1e6)
        self.add(f"{what}.cpu_us", cpu_s * 1e6)


class ProcessMetrics:
    """Everything one process measures.

    Args:
        role: of the process.
        instance: which of several of that role.
    """

    def __init__(self, role: str, instance: str) -> None:
        self.role = role
        self.instance = instance
        self._meters: list[StageMeter] = []

    def meter(self, stage: str) -> StageMeter:
        """New counters for a stage of this process."""
        self._meters.append(made := StageMeter(stage))
        return made

    def snapshot(self, now_ms: int) -> Metrics:
        """All values as they are now."""
        values = process_values()
        for meter in self._meters:
            values.update((f"{meter.stage}.{name}", value) for name, value in meter.values.copy().items())
        measures = tuple(Measure(name, value) for name, value in sorted(values.items()))
        return Metrics(role=self.role, instance=self.instance, at_ms=now_ms, values=measures)


class MetricsPublisher:
    """Publishes a process's metrics from a thread of its own; a broker that is away, or refuses, loses some.

    Args:
        metrics: what to publish.
        writer: the publisher's own, which it closes.
        now_ms: the clock.
    """

    def __init__(self, metrics: ProcessMetrics, writer: NowaitWriter, now_ms: Callable[[], int]) -> None:
        self._metrics = metrics
        self._writer = writer
        self._now_ms = now_ms
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._is_refusal_told = False

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def close(self) -> None:
        """Publish once more, and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.wait(INTERVAL_S):
                self._publish()
            self._publish()
            self._writer.flush(_LAST_MS)
        finally:
            self._writer.close()

    def _publish(self) -> None:
        """Send what there is now; nothing of it may end the process, or this thread."""
        message = self._metrics.snapshot(self._now_ms()).to_message()
        try:
            self._writer.send_nowait(Outgoing(METRICS, 0, self._metrics.role.encode(), message), None)
            failures = self._writer.take_failures()
        except CountersignError as error:
            self._tell_refusal(error.detail)
            return
        for failure in failures:
            if not failure.retriable:
                self._tell_refusal(failure.text)

    def _tell_refusal(self, text: str) -> None:
        """Say that metrics are not taken; once, for every later second would bring the same."""
        if not self._is_refusal_told:
            self._is_refusal_told = True
            _log.warning("metrics are refused, and some will be missing: %s", text)


def process_values() -> dict[str, float]:
    """CPU time and memory of this process, and of its children and theirs."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    children = [_read_process(pid) for pid in _descendants(os.getpid())]
    return {
        "process.cpu_us": (own.ru_utime + own.ru_stime) * 1e6,
        "process.children_cpu_us": (ended.ru_utime + ended.ru_stime) * 1e6 + sum(cpu for cpu, _ in children),
        "process.rss_bytes": _read_process(os.getpid())[1] or own.ru_maxrss * 1024,
        "process.children_rss_bytes": sum(rss for _, rss in children),
        "process.threads": threading.active_count(),
    }


def _read_process(pid: int) -> tuple[float, int]:
    """Microseconds of CPU time and resident bytes, 0 where they cannot be read."""
    try:
        # The name in brackets may hold anything; what follows it are numbers.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0
    return (int(fields[11]) + int(fields[12])) * _TICK_US, int(fields[21]) * _PAGE_BYTES


def _descendants(pid: int) -> Iterator[int]:
    try:
        tasks = list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from _descendants(child)
