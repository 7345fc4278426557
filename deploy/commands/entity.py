"""`entity`: who may send requests, and with which keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from deploy.home import Home
from deploy.instructions import DEFAULT_HOME
from deploy.keys import make_key
from deploy.output import HomeOption, JsonOption, Output, run
from deploy.session import DEFAULT_ENTITY, EntityOption, call, newest_key_version, open_client
from protocol.contracts.key_proof import key_proof_input
from protocol.contracts.registry import RIGHTS
from protocol.errors import CountersignError
from protocol.signing import SigningKey
from streams.client import RejectedError
from streams.client_receipts import ContractFailedError
from streams.role_directory import load_key

app = typer.Typer(help="Entities: who may send requests, and with which keys.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the entity.")]


class KeyAlgorithm(StrEnum):
    """What a new key signs with."""

    P256 = "p256"
    ED25519 = "ed25519"


AlgorithmOption = Annotated[KeyAlgorithm, typer.Option(help="What the key signs with.")]


@app.command()
def register(
    name: NameArgument,
    home: HomeOption = DEFAULT_HOME,
    entity: EntityOption = DEFAULT_ENTITY,
    algorithm: AlgorithmOption = KeyAlgorithm.P256,
    right: Annotated[
        list[str] | None, typer.Option(help=f"A right to pass on: {' or '.join(sorted(RIGHTS))}.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and register a new entity with it.

    Example: [bold]countersign entity register alice[/bold].
    """

    def work(output: Output) -> None:
        if unknown := sorted({*(right or ())} - RIGHTS):
            raise typer.BadParameter(f"--right {', '.join(unknown)}: known are {', '.join(sorted(RIGHTS))}")
        file = Home(home).key_file(name, 1)
        with open_client(Home(home), entity) as client, _new_key(file, algorithm) as key:
            argument = {
                "entity": name,
                "rights": sorted({*(right or ())}),
                **_key_fields(client.epochs.ledger_id, name, 1, key),
            }
            receipt = call(output, client, "sys.entity.register", argument)
            value = receipt.output
        output.say(f"{name} is registered at sequence {receipt.sequence}; its key: {escape(str(file))}")
        output.result({**value, "sequence": receipt.sequence})

    run(as_json, work, home)


@app.command()
def rotate(
    name: NameArgument,
    home: HomeOption = DEFAULT_HOME,
    algorithm: AlgorithmOption = KeyAlgorithm.P256,
    as_json: JsonOption = False,
) -> None:
    """Give an entity its next key, signed for with its present one.

    Example: [bold]countersign entity rotate alice[/bold].
    """

    def work(output: Output) -> None:
        version = newest_key_version(Home(home), name) + 1
        file = Home(home).key_file(name, version)
        with open_client(Home(home), name) as client, _new_key(file, algorithm) as key:
            argument = _key_fields(client.epochs.ledger_id, name, version, key)
            receipt = call(output, client, "sys.key.rotate", argument)
            value = receipt.output
        output.say(f"{name} has key {version} from sequence {receipt.sequence} on")
        output.result({**value, "sequence": receipt.sequence})

    run(as_json, work, home)


@app.command()
def revoke(
    name: NameArgument,
    key_version: Annotated[int, typer.Argument(help="Version of the key.", min=1)],
    home: HomeOption = DEFAULT_HOME,
    entity: EntityOption = DEFAULT_ENTITY,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key: from that sequence on no request signed by it is ordered.

    Example: [bold]countersign entity revoke alice 1[/bold].
    """

    def work(output: Output) -> None:
        with open_client(Home(home), entity) as client:
            receipt = call(output, client, "sys.key.revoke", {"entity": name, "key_version": key_version})
            value = receipt.output
        output.say(f"key {key_version} of {name} is revoked from sequence {receipt.sequence} on")
        output.result({**value, "sequence": receipt.sequence})

    run(as_json, work, home)


@contextmanager
def _new_key(file: Path, algorithm: KeyAlgorithm) -> Iterator[SigningKey]:
    """A new key, which gets its file's name when the block has registered it.

    Until then it lies beside it as `.new`. A signed refusal ends it; after an unknown outcome it stays, and the
    next run takes it up again: it may be the registered one, which nobody could replace.

    Raises:
        CountersignError: `file.exists`, there is such a key.
    """
    if file.exists():
        raise CountersignError("file.exists", f"{file.parent.name} has this key already: {file}")
    waiting = file.with_suffix(".new")
    is_again = waiting.exists()
    key = load_key(waiting) if is_again else make_key(waiting, algorithm.value)
    try:
        yield key
    except (RejectedError, ContractFailedError) as error:
        if is_again and error.code == "entity.exists":
            waiting.rename(file)  # the run before this one had come through, unless another's name was meant
        elif not is_again and not error.code.startswith("request."):  # those may be about a copy of it
            waiting.unlink()
        raise
    waiting.rename(file)


def _key_fields(ledger_id: bytes, entity: str, key_version: int, key: SigningKey) -> dict[str, str]:
    """A new public key with the proof that its private half is at hand."""
    algorithm, public = key.public_key
    proof = key.sign(key_proof_input(ledger_id, entity, key_version, algorithm, public))
    return {"algorithm": algorithm, "public_key": public.hex(), "proof": proof.hex()}
