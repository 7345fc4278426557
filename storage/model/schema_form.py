"""A schema as plain values, for stores that keep it as JSON.

Columns are a list, because their order is part of the schema and JSON objects have none.
"""

from collections.abc import Mapping
from typing import Any

from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.schema import ClusteringColumn, Order, TableName, TableSchema


def schema_form(schema: TableSchema) -> dict[str, Any]:
    """The schema as strings, lists and dictionaries."""
    return {
        "namespace": schema.name.namespace,
        "name": schema.name.name,
        "columns": [[name, str(data_type)] for name, data_type in schema.columns.items()],
        "partition_key": list(schema.partition_key),
        "clustering_key": [[name, str(order)] for name, order in schema.clustering_key],
        "indexes": list(schema.indexes),
    }


def read_schema(form: Mapping[str, Any]) -> TableSchema:
    """The schema that `schema_form` made this of.

    Raises:
        InvalidOperationError: `schema.invalid`: it is none.
    """
    try:
        return TableSchema(
            name=TableName(form["namespace"], form["name"]),
            columns={name: DataType(data_type) for name, data_type in form["columns"]},
            partition_key=tuple(form["partition_key"]),
            clustering_key=tuple(ClusteringColumn(name, Order(order)) for name, order in form["clustering_key"]),
            indexes=tuple(form["indexes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InvalidOperationError):
            raise
        raise InvalidOperationError("schema.invalid", f"not the form of a schema: {error!r}") from error
