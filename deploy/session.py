"""A client for one command: the entity's newest key in the home, and the ledger it trusts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.home import Home
from deploy.initialize import ADMINISTRATOR, CLIENT
from deploy.output import Output
from deploy.presence import require_deciding, require_running
from protocol.errors import CountersignError
from streams.client import Client
from streams.client_options import ClientOptions
from streams.client_receipts import ClientReceipt

EntityOption = Annotated[str, typer.Option("--as", metavar="ENTITY", help="Which entity signs.")]
DEFAULT_ENTITY = ADMINISTRATOR
_USUAL_S = 5.0
"""Longer than any ledger that works takes for a receipt."""


def newest_key_version(home: Home, entity: str) -> int:
    """The greatest version of an entity's keys in the home.

    Raises:
        CountersignError: `entity.no_key`; `name.refused`.
    """
    names = (file.stem.removeprefix("key-") for file in home.key_file(entity, 1).parent.glob("key-*.pem"))
    versions = [int(name) for name in names if name.isdecimal()]  # others are somebody's copies
    if not versions:
        raise CountersignError("entity.no_key", f"no key of {entity} in {home.client}")
    return max(versions)


def open_client(home: Home, entity: str, options: ClientOptions | None = None) -> Client:
    """A client that signs as an entity.

    Raises:
        CountersignError: `config.missing`, `config.invalid`, `entity.no_key`, `stack.down`, `broker.unreachable`.
    """
    home.load(CLIENT)
    version = newest_key_version(home, entity)
    require_running(home)
    return Client.open(home.client, entity, key_version=version, options=options)


def call(output: Output, client: Client, contract: str, argument: Any, *, version: int = 1) -> ClientReceipt:
    """Call a contract and wait for the verified receipt; who waits for long is told what to look at.

    Raises:
        RejectedError, NoReceiptError: it was not decided.
        CountersignError: as `Client.submit`; what a party halted with meanwhile.
    """
    future = client.submit(contract, argument, version=version)
    try:
        return future.result(_USUAL_S)
    except TimeoutError:
        output.say(output.told(f"no receipt within {_USUAL_S:.0f} s, still waiting; see `countersign status`"))
    while True:
        require_deciding(Home(output.home))
        try:
            return future.result(_USUAL_S)
        except TimeoutError:
            continue



def receipt_file(home: Home, request_id: bytes) -> Path:
    """Where a receipt is kept by default."""
    return home.client / "receipts" / f"{request_id.hex()}.receipt"
