"""Schema files: both notations say the same, what is written is read again, and nothing unknown passes."""

import json

import pytest

from storage.loading.schema_file import SCHEMA_FILE_BYTES_MAX, file_form, read_schema_file
from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.schema import ClusteringColumn, Order, TableName

TOML = b"""
[tables."bank.accounts"]
columns = { branch = "text", opened = "date", number = "bigint", balance = "decimal" }
partition_key = ["branch"]
clustering_key = ["opened desc", "number"]
indexes = ["balance"]
renames = { amount = "balance" }

[tables."bank.notes"]
columns = { id = "int" }
partition_key = ["id"]
transactional = false
"""


def test_a_toml_file_says_which_tables_there_are() -> None:
    """Names, types, keys with their order, indexes, renames, and whether it is transactional."""
    accounts, notes = read_schema_file(TOML)
    assert accounts.schema.name == TableName("bank", "accounts")
    assert accounts.schema.columns["balance"] is DataType.DECIMAL
    assert accounts.schema.clustering_key == (
        ClusteringColumn("opened", Order.DESC),
        ClusteringColumn("number", Order.ASC),
    )
    assert (accounts.transactional, accounts.renames) == (True, {"amount": "balance"})
    assert (notes.transactional, notes.schema.indexes) == (False, ())


def test_json_says_the_same_as_toml() -> None:
    """What is shown of a table, as JSON, is read as the same table."""
    tables = read_schema_file(TOML)
    form = {"tables": {str(table.schema.name): file_form(table) for table in tables}}
    again = read_schema_file(json.dumps(form).encode())
    assert [(table.schema, table.transactional) for table in again] == [
        (table.schema, table.transactional) for table in tables
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff", "utf-8"),
        (b"tables = 1", "`tables`"),
        (b"{", "Expecting"),
        (b'{"tables": {}, "more": 1}', "`tables`"),
        (b"[" * 100_000, ""),
        (b'{"a":' * 100_000, ""),
        (b" " * (SCHEMA_FILE_BYTES_MAX + 1), "at most"),
        (b'[tables.accounts]\ncolumns = {id = "int"}\npartition_key = ["id"]', "namespace.table"),
        (b'[tables."a.b"]\ncolumns = {id = "uuid"}\npartition_key = ["id"]', "'uuid'"),
        (b'[tables."a.b"]\ncolumns = {id = 1}\npartition_key = ["id"]', "columns"),
        (b'[tables."a.b"]\ncolumns = {id = "int"}\npartition_key = "id"', "partition_key"),
        (b'[tables."a.b"]\ncolumns = {id = "int"}\npartition_key = ["id"]\nttl = 3', "ttl"),
        (b'[tables."a.b"]\ncolumns = {id = "int"}\npartition_key = ["id"]\ntransactional = 1', "transactional"),
        (b'[tables."a.b"]\ncolumns = {id = "int"}\npartition_key = ["id"]\nclustering_key = ["x up"]', "'x up'"),
        (b'[tables."a.b"]\ncolumns = {id = "int"}\npartition_key = ["id"]\nrenames = {a = "b"}', "new name"),
    ],
)
def test_what_is_no_schema_file_is_refused_by_name(content: bytes, words: str) -> None:
    """One code for all of it, and a detail that says where to look."""
    with pytest.raises(InvalidOperationError) as caught:
        read_schema_file(content)
    assert caught.value.code == "schema.file_invalid"
    assert words in caught.value.detail
