"""A client for one command: the entity's newest key in the home, and the ledger it trusts."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.home import Home
from deploy.initialize import ADMINISTRATOR
from protocol.errors import CountersignError
from streams.client import Client, ClientOptions

EntityOption = Annotated[str, typer.Option("--as", metavar="ENTITY", help="Which entity signs.")]
DEFAULT_ENTITY = ADMINISTRATOR


def newest_key_version(home: Home, entity: str) -> int:
    """The greatest version of an entity's keys in the home.

    Raises:
        CountersignError: `entity.no_key`; `name.refused`.
    """
    versions = [
        int(file.stem.removeprefix("key-")) for file in home.key_file(entity, 1).parent.glob("key-*.pem")
    ]
    if not versions:
        raise CountersignError("entity.no_key", f"no key of {entity} in {home.client}")
    return max(versions)


def open_client(home: Home, entity: str, options: ClientOptions | None = None) -> Client:
    """A client that signs as an entity.

    Raises:
        CountersignError: `config.missing`, `config.invalid`, `entity.no_key`, `broker.unreachable`.
    """
    home.load("client")
    version = newest_key_version(home, entity)
    return Client.open(home.client, entity, key_version=version, options=options)


def receipt_file(home: Home, request_id: bytes) -> Path:
    """Where a receipt is kept by default."""
    return home.client / "receipts" / f"{request_id.hex()}.receipt"
