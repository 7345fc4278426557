"""`simulate`: the same machines in memory, with seeded faults and a checker after every step."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, TypeVar

import typer

from deploy.output import EXIT_CHECK, JsonOption, Output, run
from streams.simulation.planted import PLANTED
from streams.simulation.run import STEPS, Report, SimulationFailure
from streams.simulation.run import simulate as simulate_seeds
from streams.transaction_simulation.planted import PLANTED as PLANTED_IN_TRANSACTIONS
from streams.transaction_simulation.run import Report as TransactionReport
from streams.transaction_simulation.run import TransactionSimulationFailure
from streams.transaction_simulation.run import simulate as simulate_transactions

AnyReport = TypeVar("AnyReport", Report, TransactionReport)

_PLANTED_HELP = (
    f"A bug to plant, to see it found. In a ledger: {', '.join(PLANTED)}. "
    f"With --transactions: {', '.join(PLANTED_IN_TRANSACTIONS)}."
)


def simulate(
    seeds: Annotated[int, typer.Option(help="How many seeds, from --first on.", min=1)] = 50,
    first: Annotated[int, typer.Option(help="The first seed.")] = 0,
    seed: Annotated[int | None, typer.Option(help="One seed alone, to see a failure again.")] = None,
    steps: Annotated[int, typer.Option(help="Half-steps under faults.", min=1)] = STEPS,
    planted: Annotated[str, typer.Option(help=_PLANTED_HELP)] = "",
    transactions: Annotated[
        bool, typer.Option(help="Clients of the transaction manager over simulated stores, instead of a ledger.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a whole ledger in memory under crashes, losses and duplicates; or clients of the transaction manager.

    The latter with --transactions: their histories are checked for their isolation levels.

    Exit code 5 where an invariant broke; the failure says how to see it again.

    Example: [bold]countersign simulate --seeds 200[/bold]
    """

    def work(output: Output) -> int:
        _check_planted(planted, PLANTED_IN_TRANSACTIONS if transactions else PLANTED)
        chosen = [seed] if seed is not None else range(first, first + seeds)
        started = time.perf_counter()
        reports: list[Report] = []
        histories: list[TransactionReport] = []
        try:
            with output.progress() as bars:
                task = bars.add_task("seeds", total=len(chosen))

                advance = partial(bars.advance, task)
                if transactions:
                    simulate_transactions(chosen, _noting(histories, advance), planted=planted or None)
                else:
                    simulate_seeds(chosen, _noting(reports, advance), steps=steps, planted=planted or None)
        except (SimulationFailure, TransactionSimulationFailure) as failure:
            output.console.print(f"[red]seed {failure.seed}[/red]: ", end="")
            output.console.print(str(failure), markup=False, soft_wrap=True)
            output.result({"failed_seed": failure.seed, "what": failure.what})
            return EXIT_CHECK
        seconds = time.perf_counter() - started
        if transactions:
            _show_transactions(output, histories, seconds)
        else:
            _show(output, reports, seconds)
        return 0

    run(as_json, work)


def _check_planted(planted: str, known: Iterable[str]) -> None:
    """Require that there is such a bug, or that none is asked for.

    Raises:
        typer.BadParameter: there is none.
    """
    if planted and planted not in known:
        raise typer.BadParameter(f"--planted {planted}: known are {', '.join(known)}")


def _noting(reports: list[AnyReport], advance: Callable[[], None]) -> Callable[[AnyReport], None]:
    """What takes down a report and moves the progress bar."""

    def note(report: AnyReport) -> None:
        reports.append(report)
        advance()

    return note


def _show(output: Output, reports: list[Report], seconds: float) -> None:
    troubles: dict[str, int] = {}
    for report in reports:
        for name, count in report.troubles.items():
            troubles[name] = troubles.get(name, 0) + count
    decided = sum(report.decided for report in reports)
    output.table("troubles", ("what", "times"), sorted(troubles.items()))
    output.say(
        f"{len(reports)} seeds in {seconds:.1f} s: {decided:,} requests decided, "
        f"{sum(report.rejected for report in reports):,} rejected, every invariant held"
    )
    output.result({"seeds": len(reports), "decided": decided, "troubles": troubles, "seconds": round(seconds, 1)})


def _show_transactions(output: Output, reports: list[TransactionReport], seconds: float) -> None:
    troubles: dict[str, int] = {}
    for report in reports:
        for name, count in report.troubles.items():
            troubles[name] = troubles.get(name, 0) + count
    committed = sum(report.committed for report in reports)
    unknown = sum(report.unknown for report in reports)
    output.table("storage calls", ("trouble", "times"), sorted(troubles.items()))
    output.say(
        f"{len(reports)} seeds in {seconds:.1f} s: {committed:,} transactions committed, "
        f"{sum(report.aborted for report in reports):,} aborted, {unknown:,} given up by clients that died or heard "
        "nothing; every history is what its isolation level promises"
    )
    output.result({"seeds": len(reports), "committed": committed, "troubles": troubles, "seconds": round(seconds, 1)})


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)
