"""`entity`: who may send requests, and with which keys."""

from typing import Annotated, cast

import typer

from deploy.home import Home
from deploy.keys import make_key
from deploy.output import DEFAULT_HOME, HomeOption, JsonOption, Output, run
from deploy.session import DEFAULT_ENTITY, EntityOption, newest_key_version, open_client
from protocol.contracts.key_proof import key_proof_input
from protocol.signing import Algorithm, SigningKey

app = typer.Typer(help="Entities: who may send requests, and with which keys.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the entity.")]
AlgorithmOption = Annotated[str, typer.Option(help="p256 or ed25519.")]


@app.command()
def register(
    name: NameArgument,
    home: HomeOption = DEFAULT_HOME,
    entity: EntityOption = DEFAULT_ENTITY,
    algorithm: AlgorithmOption = "p256",
    right: Annotated[
        list[str] | None, typer.Option(help="A right to pass on, such as contract.register.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and register a new entity with it.

    Example: [bold]countersign entity register alice[/bold].
    """

    def work(output: Output) -> None:
        key = make_key(Home(home).key_file(name, 1), cast(Algorithm, algorithm))
        with open_client(Home(home), entity) as client:
            argument = {
                "entity": name,
                "rights": sorted(right or []),
                **_key_fields(client.epochs.ledger_id, name, 1, key),
            }
            receipt = client.execute("sys.entity.register", argument)
            value = receipt.output
        output.say(
            f"{name} is registered at sequence {receipt.sequence}; its key: {Home(home).key_file(name, 1)}"
        )
        output.result({**value, "sequence": receipt.sequence})

    run(as_json, work)


@app.command()
def rotate(
    name: NameArgument,
    home: HomeOption = DEFAULT_HOME,
    algorithm: AlgorithmOption = "p256",
    as_json: JsonOption = False,
) -> None:
    """Give an entity its next key, signed for with its present one.

    Example: [bold]countersign entity rotate alice[/bold].
    """

    def work(output: Output) -> None:
        version = newest_key_version(Home(home), name) + 1
        with open_client(Home(home), name) as client:
            key = make_key(Home(home).key_file(name, version), cast(Algorithm, algorithm))
            receipt = client.execute(
                "sys.key.rotate", _key_fields(client.epochs.ledger_id, name, version, key)
            )
            value = receipt.output
        output.say(f"{name} has key {version} from sequence {receipt.sequence} on")
        output.result({**value, "sequence": receipt.sequence})

    run(as_json, work)


@app.command()
def revoke(
    name: NameArgument,
    key_version: Annotated[int, typer.Argument(help="Version of the key.")],
    home: HomeOption = DEFAULT_HOME,
    entity: EntityOption = DEFAULT_ENTITY,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key: from that sequence on no request signed by it is ordered.

    Example: [bold]countersign entity revoke alice 1[/bold].
    """

    def work(output: Output) -> None:
        with open_client(Home(home), entity) as client:
            receipt = client.execute("sys.key.revoke", {"entity": name, "key_version": key_version})
            value = receipt.output
        output.say(f"key {key_version} of {name} is revoked from sequence {receipt.sequence} on")
        output.result({**value, "sequence": receipt.sequence})

    run(as_json, work)


def _key_fields(ledger_id: bytes, entity: str, key_version: int, key: SigningKey) -> dict[str, str]:
    """A new public key with the proof that its private half is at hand."""
    algorithm, public = key.public_key
    proof = key.sign(key_proof_input(ledger_id, entity, key_version, algorithm, public))
    return {"algorithm": algorithm, "public_key": public.hex(), "proof": proof.hex()}
