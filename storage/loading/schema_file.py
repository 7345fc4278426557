"""Schema files, in TOML or JSON: which tables there are to be.

    [tables."bank.accounts"]
    columns = { branch = "text", opened = "date", number = "bigint", balance = "decimal" }
    partition_key = ["branch"]
    clustering_key = ["opened desc", "number"]
    indexes = ["balance"]
    transactional = true                     # the default
    renames = { amount = "balance" }         # for `alter`: old name = "new name"

JSON has the same structure. A name that is not known is an error, never ignored.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.schema import ClusteringColumn, Order, TableName, TableSchema

SCHEMA_FILE_BYTES_MAX = 2**20
TABLES_MAX = 10_000

_FIELDS = ("columns", "partition_key", "clustering_key", "indexes", "transactional", "renames")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTable:
    """A table of a schema file.

    Attributes:
        schema: as users know it.
        transactional: whether the transaction manager's columns belong to it.
        renames: old column -> new column, for a table that still has the old one.
    """

    schema: TableSchema
    transactional: bool = True
    renames: Mapping[str, str] = field(default_factory=dict)


def read_schema_file(content: bytes) -> tuple[WantedTable, ...]:
    """The tables of a file, in its order.

    Raises:
        InvalidOperationError: `schema.file_invalid`, `schema.invalid`.
    """
    document = parse_document(content)
    tables = document.get("tables")
    if document.keys() != {"tables"} or not isinstance(tables, dict) or len(tables) > TABLES_MAX:
        raise _wrong("it has one part, `tables`, with a part for each table")
    return tuple(_table(name, form) for name, form in tables.items())


def parse_document(content: bytes) -> dict[str, Any]:
    """The structure of a JSON or TOML file; it is JSON if it begins with a brace.

    Raises:
        InvalidOperationError: `schema.file_invalid`: it is too long, or neither.
    """
    if len(content) > SCHEMA_FILE_BYTES_MAX:
        raise _wrong(f"{len(content)} bytes, at most {SCHEMA_FILE_BYTES_MAX}")
    try:
        text = content.decode()
        document = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(str(error)) from error
    assert isinstance(document, dict), "what begins with a brace is an object, and a TOML file is a table"
    return document


def table_name(text: str) -> TableName:
    """The name that is written `namespace.table`.

    Raises:
        InvalidOperationError: `schema.file_invalid`.
    """
    namespace, dot, name = text.partition(".")
    if not dot:
        raise _wrong(f"{text!r} is not namespace.table")
    return TableName(namespace, name)


def file_form(table: WantedTable) -> dict[str, Any]:
    """What a file says of a table; the reverse of reading it."""
    schema = table.schema
    return {
        "columns": {name: kind.value for name, kind in schema.columns.items()},
        "partition_key": list(schema.partition_key),
        "clustering_key": [f"{name} {order.value}" for name, order in schema.clustering_key],
        "indexes": list(schema.indexes),
        "transactional": table.transactional,
    }


def _table(name: str, form: object) -> WantedTable:
    if not isinstance(form, dict):
        raise _wrong(f"{name} is no table")
    unknown = sorted(form.keys() - set(_FIELDS))
    if unknown:
        raise _wrong(f"{name}: {', '.join(unknown)}: not known")
    columns = _texts(name, "columns", form.get("columns"))
    transactional = form.get("transactional", True)
    if not isinstance(transactional, bool):
        raise _wrong(f"{name}: transactional is true or false")
    clustering = _list(name, "clustering_key", form.get("clustering_key"))
    schema = TableSchema(
        name=table_name(name),
        columns={column: _data_type(name, column, kind) for column, kind in columns.items()},
        partition_key=_list(name, "partition_key", form.get("partition_key")),
        clustering_key=tuple(_clustering(name, text) for text in clustering),
        indexes=_list(name, "indexes", form.get("indexes")),
    )
    renames = _texts(name, "renames", form.get("renames", {}))
    for new in renames.values():
        if new not in schema.columns:
            raise _wrong(f"{name}: {new} is to be a column's new name, and there is no such column")
    return WantedTable(schema=schema, transactional=transactional, renames=renames)


def _data_type(table: str, column: str, kind: str) -> DataType:
    try:
        return DataType(kind)
    except ValueError as error:
        known = ", ".join(DataType)
        raise _wrong(f"{table}: {column} cannot be {kind!r}; types are {known}") from error


def _clustering(table: str, text: str) -> ClusteringColumn:
    name, *order = text.split()
    if order not in ([], ["asc"], ["desc"]):
        raise _wrong(f"{table}: {text!r} is not a column, then asc or desc")
    return ClusteringColumn(name, Order(order[0]) if order else Order.ASC)


def _texts(table: str, what: str, found: object) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _wrong(f"{table}: {what} is a table of texts")
    return found


def _list(table: str, what: str, found: object) -> tuple[str, ...]:
    listed = [] if found is None else found
    if not isinstance(listed, list) or not all(isinstance(each, str) and each for each in listed):
        raise _wrong(f"{table}: {what} is a list of names")
    return tuple(listed)


def _wrong(detail: str) -> InvalidOperationError:
    return InvalidOperationError("schema.file_invalid", detail)
