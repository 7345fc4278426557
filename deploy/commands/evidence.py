"""`evidence`: proofs of misbehaviour, listed and checked."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from deploy.commands.receipt import LedgerIdOption, read_file, trusted_ledger
from deploy.home import Home
from deploy.instructions import DEFAULT_HOME
from deploy.judge import collect_evidence, judge
from deploy.output import EXIT_CHECK, HomeOption, JsonOption, Output, run

app = typer.Typer(help="Evidence: checkable proof that some party misbehaved.", no_args_is_help=True)


@app.command("list")
def list_evidence(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Fetch what is on the topic `evidence`, judge it and keep it.

    Example: [bold]countersign evidence list[/bold].
    """

    def work(output: Output) -> None:
        found = collect_evidence(Home(home))
        rows = [
            (each.kind, str(each.verdict.finding), str(each.verdict.culprit or "-"), str(each.file))
            for each in found
        ]
        output.table("evidence", ("kind", "finding", "culprit", "file"), rows)
        output.result({"evidence": [each.to_json() for each in found]})

    run(as_json, work, home)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A piece of evidence.")],
    home: HomeOption = DEFAULT_HOME,
    ledger_id: LedgerIdOption = "",
    as_json: JsonOption = False,
) -> None:
    """Judge a piece of evidence offline. Exit code 5 where it proves nothing.

    Example: [bold]countersign evidence verify evidence/0.evidence[/bold]
    """

    def work(output: Output) -> int:
        trusted = trusted_ledger(home, ledger_id)
        verdict = judge(read_file(file), trusted.ledger_id, trusted.known)
        output.say(f"[red]{escape(str(verdict))}[/red]" if verdict.convicts else escape(str(verdict)))
        output.result(
            {
                "finding": str(verdict.finding),
                "culprit": str(verdict.culprit) if verdict.culprit else None,
                "explanation": verdict.explanation,
            }
        )
        return 0 if verdict.convicts else EXIT_CHECK

    run(as_json, work, home)
