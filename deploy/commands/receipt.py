"""`receipt`: checking receipts without any server."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deploy.home import Home
from deploy.initialize import CLIENT
from deploy.instructions import DEFAULT_HOME
from deploy.output import HomeOption, JsonOption, Output, run
from protocol.configuration import ConfigurationError
from protocol.errors import CountersignError
from protocol.hashing import HASH_SIZE
from protocol.limits import Limits
from protocol.receipts import verify_receipt
from streams.role_directory import RoleConfiguration

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
        trusted = trusted_ledger(home, ledger_id)
        verified = verify_receipt(read_file(file), trusted.ledger_id, None, Limits(), trusted.known)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedLedger:
    """What a reader brings himself.

    Attributes:
        ledger_id: of the ledger that he means.
        known: the `SignedConfiguration`s that he knows of it, which may be more than a file has.
    """

    ledger_id: bytes
    known: tuple[bytes, ...]


def trusted_ledger(home: Path, ledger_id: str) -> TrustedLedger:
    """The ledger to trust: as given, else the home's; with the configurations in the home, where it is of that ledger.

    Raises:
        CountersignError: `config.missing`, `config.invalid`, or a code of `protocol.configuration`.
        typer.BadParameter: the given one is no ledger_id.
    """
    if not ledger_id:
        configuration = Home(home).load(CLIENT)
        return TrustedLedger(ledger_id=bytes.fromhex(configuration.ledger_id), known=configuration.epochs().signed)
    if re.fullmatch(f"[0-9a-fA-F]{{{2 * HASH_SIZE}}}", ledger_id) is None:
        raise typer.BadParameter(f"--ledger-id: {2 * HASH_SIZE} hexadecimal digits are needed")
    trusted = bytes.fromhex(ledger_id)
    return TrustedLedger(ledger_id=trusted, known=_known(Home(home), trusted))


def _known(home: Home, ledger_id: bytes) -> tuple[bytes, ...]:
    """The configurations in a home; none where it is of another ledger, or nothing is there."""
    if not home.exists:
        return ()
    try:
        return RoleConfiguration(directory=home.client, ledger_id=ledger_id.hex(), public="../public").epochs().signed
    except ConfigurationError as error:
        if error.code != "genesis.untrusted":
            raise
        return ()
