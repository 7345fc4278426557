"""`contract`: registering contracts, and namespaces for them to write."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.home import Home
from deploy.output import DEFAULT_HOME, HomeOption, JsonOption, Output, run
from deploy.session import DEFAULT_ENTITY, EntityOption, open_client
from protocol.errors import CountersignError

app = typer.Typer(help="Contracts, and the namespaces they write.", no_args_is_help=True)


@app.command()
def register(
    name: Annotated[str, typer.Argument(help="Name of the contract.")],
    source: Annotated[
        Path, typer.Argument(help="File with its Starlark source: it defines execute(argument).")
    ],
    version: Annotated[int, typer.Option(help="1, then 2, 3 ...: a version never changes.")] = 1,
    home: HomeOption = DEFAULT_HOME,
    entity: EntityOption = DEFAULT_ENTITY,
    as_json: JsonOption = False,
) -> None:
    """Register a contract's source.

    Example: [bold]countersign contract register greet greet.star[/bold].
    """

    def work(output: Output) -> None:
        try:
            text = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CountersignError("config.invalid", f"{source}: {error}") from error
        with open_client(Home(home), entity) as client:
            argument = {"contract": name, "version": version, "source": text}
            receipt = client.execute("sys.contract.register", argument)
            value = receipt.output
        output.say(f"{name}/{version} is registered at sequence {receipt.sequence}")
        output.result({**value, "sequence": receipt.sequence})

    run(as_json, work)


@app.command()
def namespace(
    name: Annotated[str, typer.Argument(help="Name of the namespace.")],
    home: HomeOption = DEFAULT_HOME,
    entity: EntityOption = DEFAULT_ENTITY,
    as_json: JsonOption = False,
) -> None:
    """Create a namespace; only its owner's contracts write to it.

    Example: [bold]countersign contract namespace parts[/bold].
    """

    def work(output: Output) -> None:
        with open_client(Home(home), entity) as client:
            receipt = client.execute("sys.namespace.create", {"namespace": name})
            value = receipt.output
        output.say(f"{name} belongs to {entity} from sequence {receipt.sequence} on")
        output.result({**value, "sequence": receipt.sequence})

    run(as_json, work)
