"""The commands of the command line, put together."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from deploy.commands import contract, data, demo, entity, evidence, execute, learn, ledger, receipt, schema, sql
from deploy.usage import Commands

OFTEN = frozenset(
    {
        "init", "up", "down", "status", "execute", "get", "history", "sql", "learn", "storage", "demo",
        "entity", "contract", "receipt", "evidence", "schema", "data",
    }
)  # fmt: skip
"""What is called time and again. The other commands bring every store and the simulation with them, and take longer to
load than these take to answer."""


def application(words: Sequence[str] = ()) -> typer.Typer:
    """The command line.

    Args:
        words: what it is called with; where they are of one that is called often, the others are left out.
    """
    app = typer.Typer(
        name="countersign",
        cls=Commands,
        help="A tamper-evident ledger of two parties, run as a stream-processing pipeline over Kafka.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback()(_everywhere)
    for module in (ledger, execute, sql, learn, demo):
        module.register(app)
    for group in (entity, contract, receipt, evidence, schema, data):
        app.add_typer(group.app, name=group.__name__.rpartition(".")[2])
    if not words or words[0] not in OFTEN:
        from deploy.commands import bench, simulate

        bench.register(app)
        simulate.register(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"countersign {version('countersign')}")
        raise typer.Exit


def _everywhere(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the command line itself."""
