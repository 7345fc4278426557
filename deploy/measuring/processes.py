"""CPU time and memory of a deployment's processes, as the system and the processes themselves tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from deploy.deployment import Deployment
from schemas.feed import Metrics
from schemas.topics import METRICS
from streams.kafka_log import KafkaLogReader

_METRICS_LOOKED_AT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the processes had used at one moment.

    Attributes:
        cpu_s: per process, its children included.
        rss_mib: per process, its children included.
    """

    cpu_s: Mapping[str, float]
    rss_mib: Mapping[str, float]


def measure_usage(deployment: Deployment) -> Usage:
    """Look at every process of a deployment, and at this one (the load generator: "client")."""
    cpu_s: dict[str, float] = {}
    rss_mib: dict[str, float] = {}
    pids: dict[str, int | None] = {each.name: each.pid for each in deployment.stack.status()}
    pids["client"] = psutil.Process().pid
    for name, pid in pids.items():
        if pid is None:
            continue
        process = psutil.Process(pid)
        family = [process] if name == "client" else [process, *process.children(recursive=True)]
        cpu_s[name] = sum(_cpu_s(member) for member in family)
        rss_mib[name] = sum(member.memory_info().rss for member in family) / 2**20
    return Usage(cpu_s=cpu_s, rss_mib=rss_mib)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def stage_times(deployment: Deployment) -> dict[str, dict[str, float]]:
    """The newest metrics of each role, as they stand on the topic: name -> value since its start."""
    reader = KafkaLogReader(deployment.home.load("client").connection())
    try:
        messages = reader.read_tail(METRICS, _METRICS_LOOKED_AT)
    finally:
        reader.close()
    newest: dict[str, dict[str, float]] = {}
    for message in messages:
        metrics = Metrics.from_message(message.value or b"")
        newest[metrics.role] = {measure.name: measure.value for measure in metrics.values}
    return newest


def per_request(
    before: Mapping[str, float], after: Mapping[str, float], requests: int, unit: float = 1e6
) -> dict[str, float]:
    """What was used per request, in microseconds when the values are seconds."""
    return {
        name: round((value - before.get(name, 0.0)) * unit / max(1, requests), 1)
        for name, value in after.items()
        if value - before.get(name, 0.0) > 0
    }


def effect_times(
    before: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]], requests: int
) -> list[tuple[str, str, float, float]]:
    """Per role and effect: microseconds of CPU and of wall time per request, the most expensive first."""
    rows: list[tuple[str, str, float, float]] = []
    for role, values in after.items():
        for name, value in values.items():
            if not name.endswith(".wall_us"):
                continue
            effect = name.removesuffix(".wall_us")
            wall = value - before.get(role, {}).get(name, 0.0)
            cpu_name = f"{effect}.cpu_us"
            cpu = values.get(cpu_name, 0.0) - before.get(role, {}).get(cpu_name, 0.0)
            rows.append((role, effect, round(cpu / max(1, requests), 1), round(wall / max(1, requests), 1)))
    return sorted(rows, key=lambda row: -row[2])


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the sorted values lies."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0
