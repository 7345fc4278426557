"""A client process that moves money until it is told to end, or is killed: `python -m tests.transaction_client`.

Its journal has a line for each transaction before its commit (`try`), and one after (`done`, `gone`, `unknown`).
"""

import json
import os
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from protocol.errors import CountersignError
from storage.model.data_types import DataType
from storage.model.operations import Key
from storage.model.schema import TableName, TableSchema
from storage.tables.registry import open_table_store
from storage.transactions.errors import TransactionUnknownError
from storage.transactions.settings import TransactionSettings
from storage.transactions.transaction_manager import TransactionManager

ACCOUNTS = 20
OPENING = 1_000
SETTINGS = TransactionSettings(lease_ms=500, read_wait_ms=1_000, unknown_wait_ms=200)


def tables(stores: Mapping[str, Mapping[str, object]]) -> tuple[TableName, ...]:
    """One table of accounts in each store, in the namespace of its name."""
    return tuple(TableName(name, "accounts") for name in stores)


def schema(table: TableName) -> TableSchema:
    """A table of accounts."""
    return TableSchema(name=table, columns={"id": DataType.INT, "balance": DataType.BIGINT}, partition_key=("id",))


def manager(stores: Mapping[str, Mapping[str, object]]) -> TransactionManager:
    """The manager over these stores, each of a `kind` and with its settings."""
    opened = {}
    for name, place in stores.items():
        settings = {key: str(value) for key, value in place.items() if key != "kind"}
        opened[name] = open_table_store(str(place["kind"]), settings)
    namespaces = {name: name for name in opened}
    return TransactionManager(opened, home=next(iter(opened)), namespaces=namespaces, settings=SETTINGS)


def transfer(transactions: TransactionManager, names: tuple[TableName, ...], note: int, rng: random.Random) -> None:
    """Move money once, and say so."""
    transaction = transactions.begin()
    try:
        source, target = ((rng.choice(names), Key((rng.randrange(ACCOUNTS),))) for _ in range(2))
        if source == target:
            return
        rows = transaction.get_many((source, target))
        amount = rng.randint(1, 9)
        for (table, key), row, sign in zip((source, target), rows, (-1, 1), strict=True):
            assert row is not None
            balance = row["balance"]
            assert isinstance(balance, int)
            transaction.update(table, key, {"balance": balance + sign * amount})
        os.write(note, f"try {transaction.id}\n".encode())
        transaction.commit()
    except TransactionUnknownError:
        os.write(note, f"unknown {transaction.id}\n".encode())
    except CountersignError:
        os.write(note, f"gone {transaction.id}\n".encode())
        time.sleep(0.005 * rng.random())
    else:
        os.write(note, f"done {transaction.id}\n".encode())


def main(stores_file: str, journal: str) -> None:
    """Move money for ever."""
    stores = json.loads(Path(stores_file).read_text())
    note = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    rng = random.Random()
    transactions = None
    while transactions is None:
        try:
            transactions = manager(stores)
        except CountersignError:
            time.sleep(0.05)  # the server comes up again
    os.write(note, b"up\n")
    while True:
        transfer(transactions, tables(stores), note, rng)


if __name__ == "__main__":
    main(*sys.argv[1:])
