"""The first steps with transactions: money moves between accounts that live in two different stores.

Needs no server: `.venv/bin/python examples/transfer.py [DIRECTORY]`. In the same directory again it goes on with
the money that is there.
"""

import sys
import tempfile
from pathlib import Path

from countersign.transactions import (
    DataType,
    Key,
    TableName,
    TableSchema,
    Transaction,
    TransactionManager,
    open_table_store,
)

directory = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
directory.mkdir(parents=True, exist_ok=True)
stores = {
    "north": open_table_store("sqlite", {"file": str(directory / "north.sqlite")}),
    "south": open_table_store("sqlite", {"file": str(directory / "south.sqlite")}),
}
places = {"oslo": "north", "rome": "south"}
manager = TransactionManager(stores, home="north", namespaces=places)
manager.create_coordinator()
for namespace, place in places.items():
    schema = TableSchema(
        name=TableName(namespace, "accounts"),
        columns={"id": DataType.INT, "balance": DataType.BIGINT},
        partition_key=("id",),
    )
    if schema.name not in stores[place].tables():
        manager.create_table(schema)


def open_accounts(transaction: Transaction) -> None:
    """An account in each store, both or none."""
    if transaction.get("oslo.accounts", Key((1,))) is not None:
        return
    transaction.insert("oslo.accounts", Key((1,)), {"balance": 100})
    transaction.insert("rome.accounts", Key((1,)), {"balance": 0})


def transfer(transaction: Transaction) -> None:
    """Read both, write both."""
    giver, taker = transaction.get_many([("oslo.accounts", Key((1,))), ("rome.accounts", Key((1,)))])
    transaction.update("oslo.accounts", Key((1,)), {"balance": giver["balance"] - 10})
    transaction.update("rome.accounts", Key((1,)), {"balance": taker["balance"] + 10})


manager.run(open_accounts)
manager.run(transfer)  # tries again after conflicts
with manager.begin(read_only=True) as transaction:
    for namespace in places:
        row = transaction.get(f"{namespace}.accounts", Key((1,)))
        print(namespace, row and row["balance"])
manager.close()
for store in stores.values():
    store.close()
