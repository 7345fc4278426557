"""The tables of the simulated workloads, each record with a stamp that says which write it is from.

- `bank.accounts`: records that are there from the beginning to the end, with a balance.
- `shop.items`: records that come and go, ordered on shelves, with an indexed colour.
"""

from collections.abc import Mapping

from storage.model.data_types import DataType, Value
from storage.model.operations import Key
from storage.model.schema import ClusteringColumn, TableName, TableSchema

ACCOUNTS = TableSchema(
    name=TableName("bank", "accounts"),
    columns={"id": DataType.TEXT, "balance": DataType.BIGINT, "stamp": DataType.TEXT},
    partition_key=("id",),
)
ITEMS = TableSchema(
    name=TableName("shop", "items"),
    columns={
        "shelf": DataType.TEXT,
        "number": DataType.INT,
        "colour": DataType.TEXT,
        "weight": DataType.INT,
        "stamp": DataType.TEXT,
    },
    partition_key=("shelf",),
    clustering_key=(ClusteringColumn("number"),),
    indexes=("colour",),
)
SCHEMAS = {schema.name: schema for schema in (ACCOUNTS, ITEMS)}
COLUMNS = {name: schema.value_columns for name, schema in SCHEMAS.items()}

SHELVES = ("left", "right")
COLOURS = ("red", "green", "blue")


def account(number: int) -> Key:
    """The key of an account."""
    return Key((f"a{number}",))


def place(shelf: str, number: int) -> Key:
    """The key of an item."""
    return Key((shelf,), (number,))


def key_of(table: TableName, row: Mapping[str, Value | None]) -> Key:
    """The key of a row that has its key columns."""
    schema = SCHEMAS[table]
    values = tuple(value for name in schema.key_columns if (value := row[name]) is not None)
    count = len(schema.partition_key)
    return Key(values[:count], values[count:])
