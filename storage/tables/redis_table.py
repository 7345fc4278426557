"""How one table lies in Redis or Valkey.

A store is divided into *buckets*; a partition lies whole in one of them. All keys of a bucket share a hash tag, so
that they are on one node of a cluster and one script can change them together. The standalone layout has one bucket
and no tag: there a batch may span the store.

| key | type | holds |
|---|---|---|
| BUCKET `r` TABLE `:` KEY | hash | a row: column number -> stored value, null ones left out; field "" is always there |
| BUCKET `o` TABLE | sorted set, all scores 0 | KEY of every row in the bucket, in order of bytes |
| BUCKET `i` TABLE `:` COLUMN | sorted set, all scores 0 | an index: length u32 and stored value, then KEY |
| BUCKET `v` | hash | TABLE -> the version of its schema; a batch that was made for another one is refused |

BUCKET is the store's prefix, and in the cluster layout `{number}`. KEY is the encoded primary key
(`storage.model.key_encoding`); key columns lie nowhere else. TABLE and COLUMN are numbers that are never used again,
so nothing of a dropped table or column comes back, and a renamed one costs nothing.
"""

from binascii import crc_hqx
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from storage.model.altering import altered
from storage.model.checking import CLUSTERING_KEY_BYTES_MAX, PARTITION_KEY_BYTES_MAX, check_projection
from storage.model.data_types import Value
from storage.model.errors import InvalidOperationError
from storage.model.key_encoding import decode_key
from storage.model.operations import Key, Row
from storage.model.schema import AddColumn, AddIndex, Alteration, DropColumn, RenameColumn, TableSchema
from storage.model.schema_form import read_schema, schema_form
from storage.tables.redis_commands import Packed, bulk, number, packed
from storage.tables.redis_values import LOADED, ONE_FORM_TYPES, key_packer, stored_column

Reply = Sequence[bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CataloguedTable:
    """A table's entry in the catalogue.

    Attributes:
        number: TABLE.
        version: of the schema; every alteration makes the next one.
        columns: COLUMN of each column outside the key.
        next_column: the first number not yet used.
        indexed_since: the version in which each index was added.
        dropped: number of each column that was dropped, and the version in which it was.
    """

    schema: TableSchema
    number: int
    version: int
    columns: Mapping[str, int]
    next_column: int
    indexed_since: Mapping[str, int]
    dropped: tuple[tuple[int, int], ...] = ()

    @classmethod
    def new(cls, schema: TableSchema, number: int) -> Self:
        """The entry of a new table."""
        return cls(
            schema=schema,
            number=number,
            version=1,
            columns={name: number for number, name in enumerate(schema.value_columns, 1)},
            next_column=len(schema.value_columns) + 1,
            indexed_since=dict.fromkeys(schema.indexes, 1),
        )

    def altered(self, alteration: Alteration) -> Self:
        """The entry after an alteration.

        Raises:
            InvalidOperationError: as `storage.model.altering.altered`.
        """
        after = replace(self, schema=altered(self.schema, alteration), version=self.version + 1)
        columns, since = dict(self.columns), dict(self.indexed_since)
        match alteration:
            case AddColumn(name=name):
                columns[name] = self.next_column
                return replace(after, columns=columns, next_column=self.next_column + 1)
            case DropColumn(name=name):
                since.pop(name, None)
                dropped = (*self.dropped, (columns.pop(name), after.version))
                return replace(after, columns=columns, indexed_since=since, dropped=dropped)
            case RenameColumn(name=name, new_name=new_name):
                for numbers in (columns, since):
                    if name in numbers:
                        numbers[new_name] = numbers.pop(name)
                return replace(after, columns=columns, indexed_since=since)
            case AddIndex(column=column):
                return replace(after, indexed_since=since | {column: after.version})
            case _:
                del since[alteration.column]
                return replace(after, indexed_since=since)

    def form(self) -> dict[str, Any]:
        """The entry as plain values."""
        return {
            "schema": schema_form(self.schema),
            "number": self.number,
            "version": self.version,
            "columns": dict(self.columns),
            "next_column": self.next_column,
            "indexed_since": dict(self.indexed_since),
            "dropped": [list(pair) for pair in self.dropped],
        }

    @classmethod
    def read(cls, form: Mapping[str, Any]) -> Self:
        """The entry that `form` made this of."""
        return cls(
            schema=read_schema(form["schema"]),
            number=form["number"],
            version=form["version"],
            columns=form["columns"],
            next_column=form["next_column"],
            indexed_since=form["indexed_since"],
            dropped=tuple((number, version) for number, version in form["dropped"]),
        )


class ReadPlan:
    """How the columns of a projection are read from a row.

    Attributes:
        fields: of the hash, to be asked for; the first is the one that every row has.
        packed_fields: the same as arguments of a command.
        counted_fields: their number, then they.
    """

    def __init__(self, table: "RedisTable", projection: Sequence[str]) -> None:
        schema = table.entry.schema
        names = tuple(projection) or tuple(schema.columns)
        self.fields = (b"", *(table.columns[name].field for name in names if name not in schema.key_columns))
        self.packed_fields = b"".join(map(bulk, self.fields))
        self.counted_fields = number(len(self.fields)) + self.packed_fields
        self._before_name = b"*%d\r\n$5\r\nHMGET\r\n" % (len(self.fields) + 2)
        self._values = [(name, LOADED[schema.columns[name]]) for name in names if name not in schema.key_columns]
        self._keys = [(name, schema.key_columns.index(name)) for name in names if name in schema.key_columns]
        self._names = names

    @property
    def wants_key(self) -> bool:
        """Whether there is a key column among them."""
        return bool(self._keys)

    def command(self, name: bytes) -> bytes:
        """The command that reads the row of this name."""
        return b"%b$%d\r\n%b\r\n%b" % (self._before_name, len(name), name, self.packed_fields)

    def row(self, key: Sequence[Value], reply: Reply) -> Row | None:
        """The row with this key, whose fields were answered with this; None where there is none."""
        if reply[0] is None:
            return None
        row: dict[str, Value | None] = {
            name: None if stored is None else load(stored)
            for (name, load), stored in zip(self._values, reply[1:], strict=True)
        }
        if not self._keys:
            return row
        for name, place in self._keys:
            row[name] = key[place]
        return {name: row[name] for name in self._names}


class RedisTable:
    """A table as it is used: its names and forms worked out once."""

    def __init__(self, entry: CataloguedTable, prefix: bytes, buckets: int) -> None:
        self.entry = entry
        schema = entry.schema
        self.columns = {
            name: stored_column(column_field(place), schema.columns[name], name in schema.indexes)
            for name, place in entry.columns.items()
        }
        self.indexed = [self.columns[name].field for name in schema.indexes]
        self.packed_number = bulk(entry.number)
        self.packed_version = bulk(entry.version)
        self.packed_indexed = number(len(self.indexed)) + b"".join(map(bulk, self.indexed))
        self.row_mark = b"r%d:" % entry.number
        self.in_buckets = buckets > 1
        self.keeps_keys = all(schema.columns[name] in ONE_FORM_TYPES for name in schema.key_columns)
        """Whether every value of a key that it takes is in its one form."""

        self._key_columns = (*schema.partition_columns, *schema.clustering_columns)
        self._partition_packer = key_packer(schema.partition_columns)
        self._clustering_packer = key_packer(schema.clustering_columns)
        self._rows_start = prefix + self.row_mark
        self._buckets = buckets
        self._prefix = prefix
        self._plans: dict[tuple[str, ...], ReadPlan] = {}
        self._sets: dict[int, Packed] = {}

    def bucket(self, partition: bytes) -> int:
        """Number of the bucket of an encoded partition key."""
        return crc_hqx(partition, 0) % self._buckets if self._buckets > 1 else 0

    def bucket_start(self, bucket: int) -> bytes:
        """What all names in a bucket begin with."""
        return bucket_prefix(self._prefix, bucket, self._buckets)

    def place(self, key: Key) -> tuple[int, bytes]:
        """The bucket and the name of a row.

        Raises:
            InvalidOperationError: as `storage.model.checking.check_key`, in fewer words.
        """
        schema = self.entry.schema
        partition, clustering = key
        if len(partition) != len(schema.partition_key) or len(clustering) != len(schema.clustering_key):
            raise InvalidOperationError("key.incomplete", str(schema.name))
        start, encoded = self._rows_start, self._partition_packer(partition)
        ordered = self._clustering_packer(clustering) if clustering else b""
        if len(encoded) > PARTITION_KEY_BYTES_MAX or len(ordered) > CLUSTERING_KEY_BYTES_MAX:
            raise InvalidOperationError("key.too_long", str(schema.name))
        if self._buckets == 1:
            return 0, start + encoded + ordered
        bucket = self.bucket(encoded)
        return bucket, self.rows_prefix(bucket) + encoded + ordered

    def rows_prefix(self, bucket: int) -> bytes:
        """What the names of a bucket's rows begin with."""
        return bucket_prefix(self._prefix, bucket, self._buckets) + self.row_mark

    def order(self, bucket: int) -> bytes:
        """Name of the set of a bucket's rows in order."""
        return bucket_prefix(self._prefix, bucket, self._buckets) + b"o%d" % self.entry.number

    def sets(self, bucket: int) -> Packed:
        """Names of the sets that a batch in a bucket may change: the order, and each index."""
        sets = self._sets.get(bucket)
        if sets is None:
            start = bucket_prefix(self._prefix, bucket, self._buckets)
            indexes = (start + b"i%d:%s" % (self.entry.number, field) for field in self.indexed)
            sets = self._sets[bucket] = packed(self.order(bucket), *indexes)
        return sets

    def index(self, bucket: int, column: str) -> bytes:
        """Name of a bucket's index on a column."""
        start = bucket_prefix(self._prefix, bucket, self._buckets)
        return start + b"i%d:%s" % (self.entry.number, self.columns[column].field)

    def decode(self, encoded: bytes) -> tuple[Value, ...]:
        """The values of an encoded primary key."""
        return decode_key(self._key_columns, encoded)

    def plan(self, projection: tuple[str, ...]) -> ReadPlan:
        """How to read these columns; raises as `storage.model.checking.check_projection`."""
        plan = self._plans.get(projection)
        if plan is None:
            check_projection(self.entry.schema, projection)
            plan = self._plans[projection] = ReadPlan(self, projection)
        return plan


def column_field(number: int) -> bytes:
    """The field of a column in a row."""
    return number.to_bytes(1 if number < 256 else 2, "big")


def bucket_prefix(prefix: bytes, bucket: int, buckets: int) -> bytes:
    """BUCKET of the table above."""
    return prefix + b"{%d}" % bucket if buckets > 1 else prefix
