"""The commands of the command line, put together."""

import typer

from deploy.commands import (
    bench,
    contract,
    data,
    demo,
    entity,
    evidence,
    execute,
    learn,
    ledger,
    receipt,
    schema,
    simulate,
    sql,
)

app = typer.Typer(
    name="countersign",
    help="A tamper-evident ledger of two parties, run as a stream-processing pipeline over Kafka.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
ledger.register(app)
execute.register(app)
sql.register(app)
learn.register(app)
demo.register(app)
bench.register(app)
simulate.register(app)
app.add_typer(entity.app, name="entity")
app.add_typer(contract.app, name="contract")
app.add_typer(receipt.app, name="receipt")
app.add_typer(evidence.app, name="evidence")
app.add_typer(schema.app, name="schema")
app.add_typer(data.app, name="data")
