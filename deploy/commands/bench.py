"""`bench`: a whole ledger under load on this machine, every receipt verified by the client; or one of its parts."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from deploy.commands import bench_dispersal, bench_transactions
from deploy.commands.ledger import StoreOfOption, StoreOption, stores_by_namespace
from deploy.deployment import Deployment
from deploy.home import Home
from deploy.initialize import DASHBOARD, VIEWS, NewLedger
from deploy.measuring.circumstances import machine, measured_commit
from deploy.measuring.load import Answers, Call, open_accounts, puts, run_load, transfers
from deploy.measuring.processes import effect_times, measure_usage, per_request, stage_times
from deploy.output import JsonOption, Output, run
from deploy.session import DEFAULT_ENTITY, open_client
from storage.record_stores import StoreKind
from streams.client import Client
from streams.client_options import ClientOptions
from streams.garbage_collection import collect_rarely
from streams.role_directory import PARTITIONS_MAX

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
    store_of: dict[str, StoreKind] | None


Seconds = Annotated[float, typer.Option(min=0.1, help="How long is measured.")]
WarmupSeconds = Annotated[float, typer.Option(min=0, help="Load before it: Kafka compiles its hot code then.")]
Accounts = Annotated[int, typer.Option(min=2, help="Accounts, or keys.")]
Hot = Annotated[bool, typer.Option("--hot", help="Every transfer takes from one account.")]
SignEach = Annotated[bool, typer.Option("--sign-each", help="One signature per request, not per batch.")]
Partitions = Annotated[int, typer.Option(min=1, max=PARTITIONS_MAX, help="Partitions of `requests`.")]
Rate = Annotated[float, typer.Option(min=0, help="Requests/s at a steady pace, for latency; 0: as fast as it goes.")]
InFlight = Annotated[int, typer.Option(min=1, help="Most requests without an answer.")]
HomeOption = Annotated[Path | None, typer.Option("--home", help="Where to run; a temporary place by default.")]
WithViews = Annotated[bool, typer.Option("--views", help="With the live views and the dashboard.")]


def _whole_ledger(workload: Workload) -> Callable[..., None]:
    """The command that measures a whole ledger under a workload."""

    def command(
        seconds: Seconds = 60,
        warmup_seconds: WarmupSeconds = 10,
        accounts: Accounts = 100_000,
        hot: Hot = False,
        sign_each: SignEach = False,
        partitions: Partitions = 4,
        rate: Rate = 0,
        in_flight: InFlight = 4000,
        home: HomeOption = None,
        views: WithViews = False,
        store: StoreOption = None,
        store_of: StoreOfOption = None,
        as_json: JsonOption = False,
    ) -> None:
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
            store_of=stores_by_namespace(store_of),
        )

        def work(output: Output) -> None:
            collect_rarely()
            if home is not None:
                _run(output, plan, Home(home))
                return
            with tempfile.TemporaryDirectory(prefix="countersign-bench-") as directory:
                _run(output, plan, Home(Path(directory)))

        run(as_json, work)

    return command


def _run(output: Output, plan: Plan, home: Home) -> None:
    deployment = Deployment(home, store=plan.store, store_of=plan.store_of)
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
        "commit": measured_commit(),
        "machine": machine(),
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


class _TransferUnlessNamed(TyperGroup):
    """`bench`, alone or with options, is `bench transfer`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Name the workload that is meant."""
        is_named = bool(args) and (not args[0].startswith("-") or args[0] == "--help")
        return super().parse_args(ctx, args if is_named else [Workload.TRANSFER, *args])


group = typer.Typer(
    cls=_TransferUnlessNamed,
    help="""Measure a whole ledger under load, or parts of it; without a name: `transfer`.

    Example: [bold]countersign bench transfer --seconds 20 --json[/bold]
    """,
    rich_markup_mode="rich",
)
_HELP = """Requests/s, latency, CPU per request and memory of a whole ledger: {what}.

Example: [bold]countersign bench {name} --seconds 20 --json[/bold]
"""
_WHAT = {Workload.TRANSFER: "transfers between accounts", Workload.PUT: "writes of 100 bytes"}

for _workload, _what in _WHAT.items():
    group.command(_workload.value, help=_HELP.format(what=_what, name=_workload.value))(_whole_ledger(_workload))
bench_dispersal.register(group)
bench_transactions.register(group)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="bench")
