"""`bench transactions`: the transaction manager on a real store, beside the same work written by hand for it."""

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.measuring.transactions.comparing import Figures, compare
from deploy.measuring.transactions.places import MeasuredStore
from deploy.measuring.transactions.plan import Driver, Plan, usual_driver, usual_processes
from deploy.measuring.transactions.workloads import Workload
from deploy.output import EXIT_CHECK, JsonOption, Output, run
from storage.transactions.settings import Isolation
from streams.garbage_collection import collect_rarely

Store = Annotated[MeasuredStore, typer.Option(help="What is measured; servers are started and stopped.")]


def transactions(
    store: Store = MeasuredStore.VALKEY,
    workload: Annotated[Workload, typer.Option(help="What each transaction does.")] = Workload.TRANSFER,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Concurrent transactions.")] = 16,
    processes: Annotated[
        int, typer.Option(min=0, max=64, help="Client processes that share them; 0: one per core where that helps.")
    ] = 0,
    driver: Annotated[
        Driver | None, typer.Option(help="Threads, or coroutines (tasks) of one loop per process; by hand: threads.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long is measured; by hand as long again.")] = 20,
    warmup_seconds: Annotated[float, typer.Option(min=0, help="Load before it.")] = 2,
    accounts: Annotated[int, typer.Option(min=100, help="Accounts, or records; an even number.")] = 100_000,
    hot: Annotated[bool, typer.Option("--hot", help="Every transfer takes from one account.")] = False,
    two_phase: Annotated[bool, typer.Option("--two-phase", help="Two phases even where one would do.")] = False,
    isolation: Annotated[Isolation, typer.Option(help="Of every transaction.")] = Isolation.SERIALIZABLE,
    home: Annotated[Path | None, typer.Option("--home", help="Where to run; a temporary place by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Transactions/s, latency, conflicts and storage calls of the transaction manager on a real store, and the same
    work by hand against the store's own transactions: same threads, same data, same run.

    After transfers all the money is counted; exit code 5 where any is missing.

    Example: [bold]countersign bench transactions --store postgresql --threads 16 --seconds 20 --json[/bold]
    """
    plan = Plan(
        store=store,
        workload=workload,
        threads=threads,
        processes=processes or usual_processes(store, threads=threads, hot=hot, cores=os.cpu_count() or 1),
        driver=driver or usual_driver(store, hot=hot),
        seconds=seconds,
        warmup_seconds=warmup_seconds,
        accounts=accounts,
        hot=hot,
        two_phase=two_phase,
        isolation=isolation,
    )
    _check(plan)

    def work(output: Output) -> int:
        collect_rarely()
        if home is not None:
            home.mkdir(parents=True, exist_ok=True)
            return _run(output, plan, home)
        with tempfile.TemporaryDirectory(prefix="countersign-bench-") as directory:
            return _run(output, plan, Path(directory))

    run(as_json, work)


def _check(plan: Plan) -> None:
    """Refuse what makes no sense, as wrong usage."""
    if plan.hot and plan.workload is not Workload.TRANSFER:
        raise typer.BadParameter("--hot is for transfers")
    if plan.accounts % 2:
        raise typer.BadParameter("--accounts must be even")
    if plan.store is MeasuredStore.MEMORY and plan.processes > 1:
        raise typer.BadParameter("--processes: memory is one process's own")
    if plan.processes > plan.threads:
        raise typer.BadParameter("--processes: there are fewer threads")


def _run(output: Output, plan: Plan, directory: Path) -> int:
    with output.progress() as bars:
        figures = compare(plan, directory, bars)
    _show(output, plan, figures)
    result: dict[str, Any] = figures.mapping(plan)
    output.result(result)
    return 0 if figures.is_balanced else EXIT_CHECK


def _show(output: Output, plan: Plan, figures: Figures) -> None:
    managed, by_hand = figures.managed, figures.by_hand
    rows = [
        (name, run.done.per_second, *run.done.latency().values(), *run.cpu_cells())
        for name, run in (("manager", managed), ("by hand", by_hand))
    ]
    title = (
        f"{plan.workload.value} on {plan.store.value}, {plan.threads} {plan.driver.value} in {plan.processes} processes"
    )
    output.table(title, ("", "per second", "p50 ms", "p99 ms", "client us", "servers us"), rows)
    output.say(
        f"{figures.storage_calls:.2f} storage calls per transaction, {figures.conflicts:,} conflicts, "
        f"{figures.retries:,} retries, {sum(managed.done.errors.values()):,} errors to the caller; us: CPU time per "
        "transaction"
    )
    if not figures.by_hand_is_atomic:
        output.say("by hand a crash tears a transaction in two: these stores have no transaction in common")
    if not figures.is_balanced:
        output.say("[red]money is missing, or was made[/red]")


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command()(transactions)
