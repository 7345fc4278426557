"""`contract`: registering contracts, and namespaces for them to write."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.home import Home
from deploy.instructions import DEFAULT_HOME
from deploy.output import HomeOption, JsonOption, Output, run
from deploy.session import DEFAULT_ENTITY, EntityOption, call, open_client
from protocol.contracts.engine import ContractError
from protocol.contracts.host import Host
from protocol.contracts.source_scan import scan_source
from protocol.errors import CountersignError
from protocol.limits import Limits

app = typer.Typer(help="Contracts, and the namespaces they write.", no_args_is_help=True)


@app.command()
def register(
    name: Annotated[str, typer.Argument(help="Name of the contract.")],
    source: Annotated[
        Path, typer.Argument(help="File with its Starlark source: it defines execute(argument).")
    ],
    version: Annotated[int, typer.Option(help="1, then 2, 3 ...: a version never changes.", min=1)] = 1,
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
            raise CountersignError("file.unusable", f"{source}: {error}") from error
        with open_client(Home(home), entity) as client:
            check_source(text, client.epochs.limits, source)
            argument = {"contract": name, "version": version, "source": text}
            receipt = call(output, client, "sys.contract.register", argument)
            value = receipt.output
        output.say(f"{name}/{version} is registered at sequence {receipt.sequence}")
        output.result({**value, "sequence": receipt.sequence})

    run(as_json, work, home)


def check_source(text: str, limits: Limits, file: Path) -> None:
    """Compile a source here as the ledger will, which signs only that it refused it, and not why.

    Raises:
        CountersignError: `contract.source_refused`, with the engine's words, line and column.
    """
    scan_source(text, limits)
    try:
        Host(limits).compile(text)
    except ContractError as error:
        words = str(error.__context__).strip()  # the error itself has none: they must not reach an outcome
        detail = words.replace("--> contract:", f"--> {file}:")
        raise CountersignError("contract.source_refused", detail) from error


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
            receipt = call(output, client, "sys.namespace.create", {"namespace": name})
            value = receipt.output
        output.say(f"{name} belongs to {entity} from sequence {receipt.sequence} on")
        output.result({**value, "sequence": receipt.sequence})

    run(as_json, work, home)
