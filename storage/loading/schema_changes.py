"""What turns the table there is into the table that is wanted."""

from collections.abc import Mapping, Sequence
from functools import reduce

from storage.loading.schema_file import WantedTable
from storage.model.altering import altered
from storage.model.errors import InvalidOperationError
from storage.model.schema import AddColumn, AddIndex, Alteration, DropColumn, DropIndex, RenameColumn, TableSchema
from storage.transactions.layout import next_column, transactional, visible


def stored_schema(table: WantedTable) -> TableSchema:
    """The schema that the store is to have, with the transaction manager's columns if it is transactional."""
    return transactional(table.schema) if table.transactional else table.schema


def changes(present: TableSchema, table: WantedTable, *, drops: bool) -> tuple[Alteration, ...]:
    """The alterations, in order: renames, then what is new, then what goes.

    Args:
        present: the schema in the store.
        drops: whether columns may go, and with them their values. Indexes may always.

    Raises:
        InvalidOperationError: `schema.not_alterable`: the key or a type is another; `schema.would_drop`.
    """
    wanted = stored_schema(table)
    renames = _renames(present, table.renames)
    renamed = reduce(altered, renames, present)
    _check_alterable(renamed, wanted)
    going = [name for name in renamed.columns if name not in wanted.columns]
    losing = [name for name in going if not name.startswith("_next_")]  # hidden, and empty while nobody writes
    if losing and not drops:
        raise InvalidOperationError("schema.would_drop", f"{wanted.name}: {', '.join(losing)}")
    return (
        *renames,
        *additions(renamed, wanted),
        *(DropIndex(column=name) for name in renamed.indexes if name not in wanted.indexes and name not in going),
        *(DropColumn(name=name) for name in going),
    )


def additions(present: TableSchema, wanted: TableSchema) -> tuple[Alteration, ...]:
    """The columns and indexes that are missing; nothing goes."""
    columns = [
        AddColumn(name=name, data_type=kind) for name, kind in wanted.columns.items() if name not in present.columns
    ]
    return (*columns, *(AddIndex(column=name) for name in wanted.indexes if name not in present.indexes))


def repairs(present: TableSchema, table: WantedTable) -> tuple[Alteration, ...]:
    """What is missing of a table, for example after an alteration that was interrupted.

    Raises:
        InvalidOperationError: `schema.not_alterable`.
    """
    wanted = stored_schema(table)
    _check_alterable(present, wanted)
    return additions(present, wanted)


def shown(present: TableSchema) -> WantedTable:
    """A table of a store as a schema file would have it."""
    hidden = any(name.startswith("_") for name in present.columns)
    return WantedTable(schema=visible(present) if hidden else present, transactional=hidden)


def _renames(present: TableSchema, renames: Mapping[str, str]) -> Sequence[Alteration]:
    """Those that were not made yet, with the hidden column of each."""
    found: list[Alteration] = []
    for old, new in renames.items():
        if old in present.columns and new not in present.columns:
            found.append(RenameColumn(name=old, new_name=new))
            if next_column(old) in present.columns:
                found.append(RenameColumn(name=next_column(old), new_name=next_column(new)))
    return found


def _check_alterable(present: TableSchema, wanted: TableSchema) -> None:
    if (present.partition_key, present.clustering_key) != (wanted.partition_key, wanted.clustering_key):
        raise InvalidOperationError("schema.not_alterable", f"{wanted.name} has another key")
    for name, kind in wanted.columns.items():
        before = present.columns.get(name, kind)
        if before is not kind:
            raise InvalidOperationError("schema.not_alterable", f"{wanted.name}: {name} is {before}, not {kind}")
