"""`simulate`: the same machines in memory, with seeded faults and a checker after every step."""

import time
from typing import Annotated

import typer

from deploy.output import EXIT_CHECK, JsonOption, Output, run
from streams.simulation.run import STEPS, Report, SimulationFailure
from streams.simulation.run import simulate as simulate_seeds


def simulate(
    seeds: Annotated[int, typer.Option(help="How many seeds, from --first on.")] = 50,
    first: Annotated[int, typer.Option(help="The first seed.")] = 0,
    seed: Annotated[int | None, typer.Option(help="One seed alone, to see a failure again.")] = None,
    steps: Annotated[int, typer.Option(help="Half-steps under faults.")] = STEPS,
    planted: Annotated[str, typer.Option(help="A bug to plant, to see it found.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Run clients, parties, replicas and learners in memory under crashes, losses and duplicates.

    Exit code 5 where an invariant broke; the failure says how to see it again.

    Example: [bold]countersign simulate --seeds 200[/bold]
    """

    def work(output: Output) -> int:
        chosen = [seed] if seed is not None else range(first, first + seeds)
        started = time.perf_counter()
        reports: list[Report] = []
        try:
            with output.progress() as bars:
                task = bars.add_task("seeds", total=len(chosen))

                def note(report: Report) -> None:
                    reports.append(report)
                    bars.advance(task)

                simulate_seeds(chosen, note, steps=steps, planted=planted or None)
        except SimulationFailure as failure:
            output.console.print(f"[red]seed {failure.seed}[/red]: ", end="")
            output.console.print(str(failure), markup=False, soft_wrap=True)
            output.result({"failed_seed": failure.seed, "what": failure.what})
            return EXIT_CHECK
        _show(output, reports, time.perf_counter() - started)
        return 0

    run(as_json, work)


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


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)
