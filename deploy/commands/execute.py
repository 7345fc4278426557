"""`execute`, `get`, `history`: calling contracts."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape

from deploy.home import Home
from deploy.instructions import DEFAULT_HOME
from deploy.output import EXIT_REFUSED, HomeOption, JsonOption, Output, file_code, run
from deploy.session import DEFAULT_ENTITY, EntityOption, call, open_client, receipt_file
from protocol.contracts.names import is_contract
from protocol.errors import CountersignError
from protocol.limits import Limits
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

    run(as_json, work, home)


def get(
    key: Annotated[str, typer.Argument(help="Key of an object.")],
    home: HomeOption = DEFAULT_HOME,
    entity: EntityOption = DEFAULT_ENTITY,
    as_json: JsonOption = False,
) -> None:
    """Read an object through the ledger: both parties sign what it is.

    Example: [bold]countersign get color[/bold].
    """
    nothing = f"no value is stored under {key}"

    def work(output: Output) -> int:
        return _call(output, Home(home), entity, "object.get", {"key": key}, without_value=nothing)

    run(as_json, work, home)


def history(
    key: Annotated[str, typer.Argument(help="Key of an object.")],
    limit: Annotated[int, typer.Option(help="How many versions, from the newest.", min=1)] = 10,
    home: HomeOption = DEFAULT_HOME,
    entity: EntityOption = DEFAULT_ENTITY,
    as_json: JsonOption = False,
) -> None:
    """Read an object's versions through the ledger.

    Example: [bold]countersign history color --limit 3[/bold].
    """
    argument = {"key": key, "limit": limit}
    run(as_json, lambda output: _call(output, Home(home), entity, "object.history", argument), home)


def _parse(argument: str) -> Any:
    text = sys.stdin.read() if argument == "-" else argument
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CountersignError("argument.not_json", f"{error}") from error


def _call(
    output: Output,
    home: Home,
    entity: str,
    contract: str,
    argument: Any,
    keep: Path | None = None,
    *,
    without_value: str = "done; the contract gave no value",
) -> int:
    name, slash, version = contract.partition("/")
    if slash and not is_contract(contract, Limits()):
        raise typer.BadParameter(f"{contract} is no NAME/N with a version from 1 on")
    if keep is not None:
        _check_place(keep)
    with open_client(home, entity) as client:
        received = call(output, client, name, argument, version=int(version or 1))
    file = _kept(output, received.to_bytes(), keep, receipt_file(home, received.request_id))
    _show(output, received, file, without_value)
    return 0 if received.ok else EXIT_REFUSED


def _check_place(file: Path) -> None:
    """Before anything is decided: whether a receipt can be written there.

    Raises:
        CountersignError: `file.unusable`.
    """
    if file.is_dir():
        raise CountersignError("file.unusable", f"{file} is a directory")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise CountersignError("file.unusable", f"{file} cannot be written")


def _kept(output: Output, receipt: bytes, wanted: Path | None, usual: Path) -> Path | None:
    """Where the receipt was written: where it was wanted, else where receipts usually are, else nowhere."""
    for file in (usual,) if wanted is None else (wanted, usual):
        try:
            if file is usual:
                file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(receipt)
            return file
        except OSError as error:
            output.explain(file_code(error), f"the receipt is not in {file}: {error.strerror}")
    return None


def _show(output: Output, received: ClientReceipt, file: Path | None, without_value: str) -> None:
    value = received.output if received.ok else None
    explained: dict[str, str] = {}
    if not received.ok:
        explained = output.explain(received.code, received.fail_text)
    elif value is None:
        output.say(escape(without_value))
    else:
        output.console.print(orjson.dumps(value, option=_PRETTY).decode(), markup=False, soft_wrap=True)
    place = "nowhere" if file is None else escape(str(file))
    output.say(f"[dim]sequence {received.sequence}, index {received.index}, signed by both; receipt: {place}[/dim]")
    output.result(
        {
            "request_id": received.request_id.hex(),
            "sequence": received.sequence,
            "index": received.index,
            "status": received.status,
            "code": received.code,
            "text": received.fail_text,
            "output": value,
            "receipt": None if file is None else str(file),
            **explained,
        }
    )


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (execute, get, history):
        app.command()(command)
