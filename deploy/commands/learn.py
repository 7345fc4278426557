"""`learn` and `storage`: the whole journal from pieces alone, and what that costs."""

from typing import Annotated

import typer
from rich.markup import escape

from deploy.home import Home
from deploy.initialize import LEARNER
from deploy.instructions import DEFAULT_HOME
from deploy.judge import judge
from deploy.learning import (
    BLOCK_COLUMNS,
    REPLICA_COLUMNS,
    STORAGE_COLUMNS,
    TOTAL_COLUMNS,
    block_rows,
    block_values,
    journal_values,
    learn_home,
    replica_rows,
    running_learner,
    storage_rows,
    storage_values,
    total_rows,
)
from deploy.output import EXIT_CHECK, HomeOption, JsonOption, Output, run
from schemas.evidence import Evidence
from streams.learn_once import LearnedJournal


def learn(
    home: HomeOption = DEFAULT_HOME,
    report: Annotated[
        bool, typer.Option("--report", help="Show what it cost, beside the theorems' bounds.")
    ] = False,
    running: Annotated[
        bool, typer.Option("--running", help="Ask the learner that runs instead: what it measured since it started.")
    ] = False,
    blocks: Annotated[int, typer.Option(help="So many of the newest blocks are shown one by one.", min=0)] = 20,
    check_clients: Annotated[
        bool, typer.Option("--check-clients", help="Verify every client's signature as well.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild and check the whole journal from pieces alone, with a learner that is thrown away.

    Exit code 5 where it is not what both parties signed, or costs more than the theorems allow.

    Example: [bold]countersign learn --report[/bold]
    """

    def work(output: Output) -> int:
        place = Home(home)
        if running:
            return _show_running(output, place)
        found = _learn(output, place, check_clients)
        _show(output, place, found)
        if report:
            _show_costs(output, found, blocks)
        shown = found.report.kept[-blocks:] if report and blocks else ()
        output.result({**journal_values(found), "block_costs": block_values(shown)})
        return 0 if found.halt is None and found.report.is_within_bounds() else EXIT_CHECK

    run(as_json, work, home)


def _learn(output: Output, home: Home, check_clients: bool) -> LearnedJournal:
    """Learn, with a bar."""
    with output.progress() as bars:
        task = bars.add_task("pieces", total=None)
        return learn_home(
            home,
            lambda read, messages: bars.update(task, completed=read, total=messages),
            check_clients=check_clients,
        )


def _show(output: Output, home: Home, found: LearnedJournal) -> None:
    """What was learned, and what is wrong."""
    report = found.report
    output.say(
        f"{report.updates:,} updates in {report.blocks:,} blocks, to sequence {found.sequence}, "
        f"rebuilt from pieces and checked"
    )
    if found.halt is not None:
        output.say(f"[red]stopped[/red] {found.halt.code}: {escape(found.halt.text)}")
    for topic in found.away:
        output.say(f"[yellow]cannot be read[/yellow] {topic}")
    if not found.evidence:
        return
    epochs = home.load(LEARNER).epochs()
    for message in found.evidence:
        verdict = judge(Evidence.body_of(message), epochs.ledger_id, epochs.signed)
        output.say(f"[red]evidence[/red] {escape(str(verdict))}")


def _show_costs(output: Output, found: LearnedJournal, blocks: int) -> None:
    report = found.report
    output.table("what it cost, in total", TOTAL_COLUMNS, total_rows(report))
    output.table("by replica", REPLICA_COLUMNS, replica_rows(report))
    if blocks:
        shown = report.kept[-blocks:]
        output.table(f"by block, the newest {len(shown)}", BLOCK_COLUMNS, block_rows(shown))
    verdict = "within" if report.is_within_bounds() else "[red]above[/red]"
    output.say(f"everything is {verdict} what the theorems allow" if report.blocks else "there is no block yet")


def _show_running(output: Output, home: Home) -> int:
    """What the learner that runs has measured."""
    epochs = home.load(LEARNER).epochs()
    learner = running_learner(home)
    output.table(f"learner {learner.instance}, since it started", TOTAL_COLUMNS, learner.rows(epochs))
    columns = ("replica", "lag", "missing", "wrong", "blamed")
    output.table("by replica", columns, learner.replica_rows(epochs))
    output.result({"instance": learner.instance, "at_ms": learner.at_ms, "values": dict(learner.values)})
    return 0


def storage(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show what each replica stores, against the whole journal and against 1/k of it.

    Example: [bold]countersign storage[/bold]
    """

    def work(output: Output) -> int:
        place = Home(home)
        found = _learn(output, place, check_clients=False)
        epochs = place.load(LEARNER).epochs()
        values = storage_values(found.report, epochs)
        output.table("storage by replica, in bytes", STORAGE_COLUMNS, storage_rows(values))
        output.say(
            f"|J| is {values['journal_bytes']:,} bytes in {values['blocks']:,} blocks; "
            f"k = {values['k']} of {values['n']} pieces give it back, so |J|/k is {values['share_bytes']:,}"
        )
        output.result(values)
        return 0 if found.halt is None else EXIT_CHECK

    run(as_json, work, home)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(learn)
    app.command()(storage)
