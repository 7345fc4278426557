"""`sql`: asking the learner."""

from typing import Annotated

import typer

from deploy.home import Home
from deploy.initialize import LEARNER
from deploy.instructions import DEFAULT_HOME
from deploy.output import HomeOption, JsonOption, Output, run
from deploy.roles.entry import RoleStatus
from protocol.errors import CountersignError
from streams.query_client import QueryClient

_NULL = "NULL"


def query_client(home: Home) -> QueryClient:
    """The client of the home's learner.

    Raises:
        CountersignError: `config.missing`, or `sql.unreachable` where no learner runs.
    """
    home.load(LEARNER)
    address = RoleStatus(home.role(LEARNER)).read().get("address")
    if not address:
        raise CountersignError("sql.unreachable", "no learner was started")
    return QueryClient(str(address))


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT over records, history, requests and blocks.")],
    home: HomeOption = DEFAULT_HOME,
    as_of: Annotated[
        int | None, typer.Option(help="Show the views as they were behind this sequence.")
    ] = None,
    wait_for: Annotated[int | None, typer.Option(help="Answer when this sequence was learned.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Query the learner's views.

    Example: [bold]countersign sql 'SELECT key, value FROM records LIMIT 5'[/bold].
    """

    def work(output: Output) -> None:
        answer = query_client(Home(home)).query(query, as_of=as_of, wait_for=wait_for)
        output.table("", answer.columns, ([_NULL if cell is None else cell for cell in row] for row in answer.rows))
        count = len(answer.rows)
        output.say(f"[dim]{count:,} {'row' if count == 1 else 'rows'}, as of sequence {answer.sequence}[/dim]")
        if not count and as_of is None and wait_for is None:
            output.say("[dim]The learner is half a second behind: --wait-for SEQUENCE answers when it has that.[/dim]")
        output.result({"columns": answer.columns, "rows": answer.rows, "sequence": answer.sequence})

    run(as_json, work, home)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sql)
