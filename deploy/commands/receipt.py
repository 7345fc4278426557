"""`receipt`: checking receipts without any server."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.home import Home
from deploy.instructions import DEFAULT_HOME
from deploy.output import HomeOption, JsonOption, Output, run
from protocol.errors import CountersignError
from protocol.limits import Limits
from protocol.receipts import verify_receipt

app = typer.Typer(help="Receipts: what both parties signed of a request.", no_args_is_help=True)

LedgerIdOption = Annotated[
    str, typer.Option("--ledger-id", help="The ledger you trust, in hex; by default that of the home.")
]


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A receipt.")],
    home: HomeOption = DEFAULT_HOME,
    ledger_id: LedgerIdOption = "",
    as_json: JsonOption = False,
) -> None:
    """Verify a receipt offline, step by step.

    Example: [bold]countersign receipt verify my.receipt[/bold].
    """

    def work(output: Output) -> None:
        verified = verify_receipt(read_file(file), trusted_ledger(home, ledger_id), None, Limits())
        outcome, statement = verified.outcome, verified.statement
        output.say(
            f"[green]valid[/green]: both parties signed {outcome.contract} by {outcome.entity} at sequence "
            f"{statement.sequence}, index {outcome.index}: {outcome.status} {outcome.code}"
        )
        output.result(
            {
                "valid": True,
                "request_id": outcome.request_id.hex(),
                "sequence": statement.sequence,
                "index": outcome.index,
                "entity": outcome.entity,
                "contract": outcome.contract,
                "status": outcome.status,
                "output": verified.output.decode(),
            }
        )

    run(as_json, work, home)


def read_file(file: Path) -> bytes:
    """The bytes of a file named on the command line.

    Raises:
        CountersignError: `file.unusable`.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise CountersignError("file.unusable", f"{file}: {error.strerror}") from error


def trusted_ledger(home: Path, ledger_id: str) -> bytes:
    """The ledger_id to trust: as given, else the home's.

    Raises:
        CountersignError: `config.missing` or `config.invalid`.
        typer.BadParameter: the given one is not hexadecimal.
    """
    try:
        return bytes.fromhex(ledger_id or Home(home).load("client").ledger_id)
    except ValueError as error:
        raise typer.BadParameter(f"--ledger-id: {error}") from error
