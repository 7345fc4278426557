"""What a table's schema becomes when it is altered."""

from dataclasses import replace
from functools import partial

from storage.model.errors import InvalidOperationError
from storage.model.schema import (
    AddColumn,
    AddIndex,
    Alteration,
    ClusteringColumn,
    DropColumn,
    DropIndex,
    RenameColumn,
    TableSchema,
)


def altered(schema: TableSchema, alteration: Alteration) -> TableSchema:
    """The schema after an alteration.

    Raises:
        InvalidOperationError: `column.unknown`, `column.key` (a key column cannot be dropped), `index.missing`, or
            `schema.invalid`: the column or index is there already, or the new schema is none.
    """
    columns = dict(schema.columns)
    match alteration:
        case AddColumn(name=name, data_type=data_type):
            _check_new(schema, name)
            return replace(schema, columns=columns | {name: data_type})
        case DropColumn(name=name):
            _check_value_column(schema, name)
            del columns[name]
            return replace(schema, columns=columns, indexes=tuple(i for i in schema.indexes if i != name))
        case RenameColumn(name=name, new_name=new_name):
            return _renamed(schema, name, new_name)
        case AddIndex(column=column):
            _check_value_column(schema, column)
            return replace(schema, indexes=(*schema.indexes, column))
        case DropIndex(column=column):
            if column not in schema.indexes:
                raise InvalidOperationError("index.missing", f"{schema.name}: {column} has no index")
            return replace(schema, indexes=tuple(i for i in schema.indexes if i != column))


def _renamed(schema: TableSchema, name: str, new_name: str) -> TableSchema:
    if name not in schema.columns:
        raise InvalidOperationError("column.unknown", f"{schema.name} has no column {name}")
    _check_new(schema, new_name)
    called = partial(_called, name, new_name)
    return replace(
        schema,
        columns={called(column): data_type for column, data_type in schema.columns.items()},
        partition_key=tuple(map(called, schema.partition_key)),
        clustering_key=tuple(ClusteringColumn(called(column), order) for column, order in schema.clustering_key),
        indexes=tuple(map(called, schema.indexes)),
    )


def _called(name: str, new_name: str, column: str) -> str:
    return new_name if column == name else column


def _check_new(schema: TableSchema, name: str) -> None:
    if name in schema.columns:
        raise InvalidOperationError("schema.invalid", f"{schema.name} has a column {name} already")


def _check_value_column(schema: TableSchema, name: str) -> None:
    if name not in schema.columns:
        raise InvalidOperationError("column.unknown", f"{schema.name} has no column {name}")
    if name in schema.key_columns:
        raise InvalidOperationError("column.key", f"{schema.name}: {name} is part of the key")
