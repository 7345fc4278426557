"""How a table lies in an SQL database: a native column for each of its columns, and one more for its encoded key.

1. The column `$key` holds the whole key as `storage.model.key_encoding` encodes it. It is the primary key: its order
   is the model's to the last bit, ascending and descending columns alike, whatever the database thinks of texts,
   zeros and decimals. The key's columns hold the same values for people.
2. A name that was used and given up (a dropped table, a dropped or renamed column) is never used again: its next
   bearer has a number behind it. So a statement made for an old schema finds no column at all, rather than another's.
3. What a table is called is kept beside its schema, as JSON, in the database itself.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Self

from storage.model.altering import altered
from storage.model.key_encoding import encode_key
from storage.model.operations import Key
from storage.model.schema import AddColumn, Alteration, DropColumn, RenameColumn, TableSchema
from storage.model.schema_form import read_schema, schema_form

KEY_COLUMN = '"$key"'


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTable:
    """A table and what its parts are called in the database.

    Attributes:
        schema: the table.
        generation: how many tables of this name there were, this one included.
        columns: column -> its name in the database.
        indexes: indexed column -> number of its index.
        used: names of columns in the database that were ever used.
        numbered: number of the next index.
    """

    schema: TableSchema
    generation: int
    columns: dict[str, str]
    indexes: dict[str, int] = field(default_factory=dict)
    used: frozenset[str]
    numbered: int = 0

    @classmethod
    def new(cls, schema: TableSchema, generation: int) -> Self:
        """A table that is to be made."""
        names = {name: name for name in schema.columns}
        indexes = {name: number for number, name in enumerate(schema.indexes)}
        return cls(
            schema=schema,
            generation=generation,
            columns=names,
            indexes=indexes,
            used=frozenset(names.values()),
            numbered=len(indexes),
        )

    @classmethod
    def read(cls, text: str) -> Self:
        """The table that `text` made this of."""
        form = json.loads(text)
        return cls(
            schema=read_schema(form["schema"]),
            generation=form["generation"],
            columns=form["columns"],
            indexes=form["indexes"],
            used=frozenset(form["used"]),
            numbered=form["numbered"],
        )

    def text(self) -> str:
        """The table as it is kept."""
        form = {
            "schema": schema_form(self.schema),
            "generation": self.generation,
            "columns": self.columns,
            "indexes": self.indexes,
            "used": sorted(self.used),
            "numbered": self.numbered,
        }
        return json.dumps(form)

    @property
    def name(self) -> str:
        """The table's name in the database, without its namespace."""
        return _numbered(self.schema.name.name, self.generation)

    def altered(self, alteration: Alteration) -> Self:
        """The table after an alteration.

        Raises:
            InvalidOperationError: as `storage.model.altering.altered`.
        """
        schema = altered(self.schema, alteration)
        columns = dict(self.columns)
        match alteration:
            case AddColumn(name=name):
                columns[name] = self._unused(name)
            case DropColumn(name=name):
                del columns[name]
            case RenameColumn(name=name, new_name=new_name):
                del columns[name]
                columns[new_name] = self._unused(new_name)
        indexes, numbered = {}, self.numbered
        for name in schema.indexes:
            old = alteration.name if isinstance(alteration, RenameColumn) and name == alteration.new_name else name
            if old in self.indexes:
                indexes[name] = self.indexes[old]
            else:
                indexes[name] = numbered
                numbered += 1
        used = self.used | frozenset(columns.values())
        return replace(self, schema=schema, columns=columns, indexes=indexes, used=used, numbered=numbered)

    def _unused(self, name: str) -> str:
        number = 1
        while _numbered(name, number) in self.used:
            number += 1
        return _numbered(name, number)


class KeyEncoder:
    """Encodes the keys of one table."""

    def __init__(self, schema: TableSchema) -> None:
        self._partition = schema.partition_columns
        self._clustering = schema.clustering_columns

    def key(self, key: Key) -> bytes:
        """The whole key."""
        partition = encode_key(self._partition, key.partition)
        return partition + encode_key(self._clustering, key.clustering) if self._clustering else partition

    def partition(self, values: tuple[object, ...]) -> bytes:
        """The key of a partition, with which those of its rows begin."""
        return encode_key(self._partition, values)  # type: ignore[arg-type]  # checked values


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}${number}"
