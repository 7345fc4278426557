"""`bench`: a whole ledger under load on this machine, every receipt verified by the client."""

import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.commands.ledger import StoreOption
from deploy.deployment import Deployment
from deploy.home import Home
from deploy.initialize import DASHBOARD, VIEWS, NewLedger
from deploy.measuring.load import Answers, Call, open_accounts, puts, run_load, transfers
from deploy.measuring.processes import effect_times, measure_usage, per_request, stage_times
from deploy.output import JsonOption, Output, run
from deploy.session import DEFAULT_ENTITY, open_client
from storage.record_stores import StoreKind
from streams.client import Client, ClientOptions
from streams.garbage_collection import collect_rarely

_ROWS = 24


class Workload(StrEnum):
    """What is sent."""

    TRANSFER = "transfer"
    PUT = "put"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of the benchmark."""

    workload: str
    seconds: float
    warmup_seconds: float
    accounts: int
    hot: bool
    sign_each: bool
    partitions: int
    rate: float
    in_flight: int
    views: bool
    store: StoreKind | None


def bench(
    workload: Annotated[Workload, typer.Argument(help="What is sent.")] = Workload.TRANSFER,
    seconds: Annotated[float, typer.Option(help="How long is measured.")] = 60,
    warmup_seconds: Annotated[float, typer.Option(help="Load before it: Kafka compiles its hot code then.")] = 10,
    accounts: Annotated[int, typer.Option(help="Accounts, or keys.")] = 100_000,
    hot: Annotated[bool, typer.Option("--hot", help="Every transfer takes from one account.")] = False,
    sign_each: Annotated[bool, typer.Option("--sign-each", help="One signature per request, not per batch.")] = False,
    partitions: Annotated[int, typer.Option(help="Partitions of `requests`.")] = 4,
    rate: Annotated[float, typer.Option(help="Requests/s at a steady pace, for latency; 0: as fast as it goes.")] = 0,
    in_flight: Annotated[int, typer.Option(help="Most requests without an answer.")] = 4000,
    home: Annotated[Path | None, typer.Option("--home", help="Where to run; a temporary place by default.")] = None,
    views: Annotated[bool, typer.Option("--views", help="With the live views and the dashboard.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure requests/s, latency, CPU per request and memory of a whole ledger.

    Example: [bold]countersign bench transfer --seconds 20 --json[/bold]
    """
    plan = Plan(
        workload=workload,
        seconds=seconds,
        warmup_seconds=warmup_seconds,
        accounts=accounts,
        hot=hot,
        sign_each=sign_each,
        partitions=partitions,
        rate=rate,
        in_flight=in_flight,
        views=views,
        store=store,
    )

    def work(output: Output) -> None:
        collect_rarely()
        if home is not None:
            _run(output, plan, Home(home))
            return
        with tempfile.TemporaryDirectory(prefix="countersign-bench-") as directory:
            _run(output, plan, Home(Path(directory)))

    run(as_json, work)


def _run(output: Output, plan: Plan, home: Home) -> None:
    deployment = Deployment(home, store=plan.store)
    deployment.up(output.say, NewLedger(partitions=plan.partitions), without=() if plan.views else (VIEWS, DASHBOARD))
    try:
        options = ClientOptions(signed_together=1 if plan.sign_each else 500, in_flight=plan.in_flight)
        with open_client(home, DEFAULT_ENTITY, options) as client:
            result = _measure(output, plan, deployment, client)
    finally:
        deployment.down(output.say)
    output.result(result)


def _calls(plan: Plan) -> Iterator[Call]:
    if plan.workload == Workload.PUT:
        return puts(plan.accounts, seed=1)
    return transfers(plan.accounts, hot=plan.hot, seed=1)


def _measure(output: Output, plan: Plan, deployment: Deployment, client: Client) -> dict[str, Any]:
    calls = _calls(plan)
    with output.progress() as bars:
        if plan.workload == Workload.TRANSFER:
            opening = bars.add_task("opening accounts", total=plan.accounts)
            open_accounts(client, plan.accounts, lambda count: bars.advance(opening, count))
        warming = bars.add_task("warming up", total=None)
        run_load(client, calls, plan.warmup_seconds, lambda count: bars.advance(warming, count), plan.rate)
        usage, stages = measure_usage(deployment), stage_times(deployment)
        loading = bars.add_task("measuring", total=None)
        answers = run_load(client, calls, plan.seconds, lambda count: bars.advance(loading, count), plan.rate)
    after, stages_after = measure_usage(deployment), stage_times(deployment)
    cpu = per_request(usage.cpu_s, after.cpu_s, answers.decided)
    rows = effect_times(stages, stages_after, answers.decided)
    _show(output, answers, cpu, after.rss_mib, rows)
    return {
        "plan": asdict(plan),
        "requests_per_second": round(answers.decided / answers.seconds, 1),
        "latency_ms": answers.latency(),
        "decided": answers.decided,
        "failed": answers.failed,
        "rejected": answers.rejected,
        "seconds": round(answers.seconds, 2),
        "cpu_us_per_request": cpu,
        "cpu_us_per_request_total": round(sum(cpu.values()), 1),
        "rss_mib": {name: round(value) for name, value in after.rss_mib.items()},
        "stages": [dict(zip(("role", "work", "cpu_us", "wall_us"), row, strict=True)) for row in rows],
        "commit": _commit(),
        "machine": {"python": platform.python_version(), "cores": len(os.sched_getaffinity(0))},
    }


def _show(
    output: Output,
    answers: Answers,
    cpu: dict[str, float],
    rss_mib: Any,
    rows: list[tuple[str, str, float, float]],
) -> None:
    latency = answers.latency()
    output.table(
        "CPU per request",
        ("process", "us", "MiB"),
        [(n, v, round(rss_mib.get(n, 0))) for n, v in cpu.items()],
    )
    output.table("stages, per request", ("role", "work", "cpu us", "wall us"), rows[:_ROWS])
    output.say(
        f"[bold]{answers.decided / answers.seconds:,.0f} requests/s[/bold], p50 {latency['p50']} ms, "
        f"p99 {latency['p99']} ms; {answers.decided:,} decided, {answers.failed} failed, {answers.rejected} rejected"
    )


def _commit() -> str:
    """The commit that was measured, where this is a checkout."""
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "unknown"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)
