"""`execute`, `get`, `history`: calling contracts."""

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from deploy.home import Home
from deploy.output import DEFAULT_HOME, EXIT_REFUSED, HomeOption, JsonOption, Output, run
from deploy.session import DEFAULT_ENTITY, EntityOption, open_client, receipt_file
from protocol.errors import CountersignError
from streams.client_receipts import ClientReceipt

_PRETTY = orjson.OPT_INDENT_2


def execute(
    contract: Annotated[str, typer.Argument(help="Name of a registered contract; NAME/N for a version.")],
    argument: Annotated[str, typer.Argument(help="Its argument as JSON, or - for standard input.")] = "null",
    home: HomeOption = DEFAULT_HOME,
    entity: EntityOption = DEFAULT_ENTITY,
    receipt: Annotated[
        Path | None, typer.Option(help="Where to keep the receipt.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Call a contract, wait for the receipt and verify it.

    Example: [bold]countersign execute object.put '{"key":"color","value":"blue"}'[/bold]
    """

    def work(output: Output) -> int:
        return _call(output, Home(home), entity, contract, _parse(argument), receipt)

    run(as_json, work)


def get(
    key: Annotated[str, typer.Argument(help="Key of an object.")],
    home: HomeOption = DEFAULT_HOME,
    entity: EntityOption = DEFAULT_ENTITY,
    as_json: JsonOption = False,
) -> None:
    """Read an object through the ledger: both parties sign what it is.

    Example: [bold]countersign get color[/bold].
    """
    run(as_json, lambda output: _call(output, Home(home), entity, "object.get", {"key": key}, None))


def history(
    key: Annotated[str, typer.Argument(help="Key of an object.")],
    limit: Annotated[int, typer.Option(help="How many versions, from the newest.")] = 10,
    home: HomeOption = DEFAULT_HOME,
    entity: EntityOption = DEFAULT_ENTITY,
    as_json: JsonOption = False,
) -> None:
    """Read an object's versions through the ledger.

    Example: [bold]countersign history color --limit 3[/bold].
    """
    argument = {"key": key, "limit": limit}
    run(as_json, lambda output: _call(output, Home(home), entity, "object.history", argument, None))


def _parse(argument: str) -> Any:
    text = sys.stdin.read() if argument == "-" else argument
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CountersignError("argument.not_canonical", f"{error}") from error


def _call(output: Output, home: Home, entity: str, contract: str, argument: Any, keep: Path | None) -> int:
    name, _, version = contract.partition("/")
    with open_client(home, entity) as client:
        received = client.submit(name, argument, version=int(version or 1)).result()
    file = keep or receipt_file(home, received.request_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(received.to_bytes())
    _show(output, received, file)
    return 0 if received.ok else EXIT_REFUSED


def _show(output: Output, received: ClientReceipt, file: Path) -> None:
    value = received.output if received.ok else None
    if received.ok:
        output.console.print(orjson.dumps(value, option=_PRETTY).decode(), markup=False)
    else:
        output.say(f"[red]{received.code}[/red]: {received.fail_text}")
    output.say(
        f"[dim]sequence {received.sequence}, index {received.index}, signed by both; receipt: {file}[/dim]"
    )
    output.result(
        {
            "request_id": received.request_id.hex(),
            "sequence": received.sequence,
            "index": received.index,
            "status": received.status,
            "code": received.code,
            "text": received.fail_text,
            "output": value,
            "receipt": str(file),
        }
    )


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (execute, get, history):
        app.command()(command)
