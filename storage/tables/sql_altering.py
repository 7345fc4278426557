"""The statements that alter a table."""

from storage.model.schema import AddColumn, AddIndex, Alteration, DropColumn, DropIndex, RenameColumn
from storage.tables.sql_statements import TableStatements


def alter_statements(before: TableStatements, after: TableStatements, alteration: Alteration, schema: str) -> list[str]:
    """What turns one into the other.

    Args:
        schema: what an index's name is qualified with, or nothing.
    """
    match alteration:
        case AddColumn(name=name):
            return [after.add_column(name)]
        case DropColumn(name=name):
            dropped = [f"DROP INDEX {schema}{before.index_name(name)}"] if name in before.schema.indexes else []
            return [*dropped, f"ALTER TABLE {before.place} DROP COLUMN {before.column(name)}"]
        case RenameColumn(name=name, new_name=new_name):
            return [f"ALTER TABLE {before.place} RENAME COLUMN {before.column(name)} TO {after.column(new_name)}"]
        case AddIndex(column=column):
            return [after.create_index(column)]
        case DropIndex(column=column):
            return [f"DROP INDEX {schema}{before.index_name(column)}"]
