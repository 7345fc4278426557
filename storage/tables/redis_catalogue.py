"""The tables of a store on Redis or Valkey: which there are, and how they come to be, change and go.

| key | type | holds |
|---|---|---|
| PREFIX `{catalogue}layout` | string | version of the layout, number of buckets |
| PREFIX `{catalogue}tables` | hash | full name -> the table's entry as JSON |
| PREFIX `{catalogue}dropped` | hash | TABLE -> entry of a table that was dropped, until the last of its rows is gone |
| PREFIX `{catalogue}number` | string | the last TABLE that was given away |

An alteration is done when its entry is in the catalogue. The buckets follow, each in one step of its own; whoever
meets one that is behind brings it up first (`redis_upgrade.lua`). So a process that dies between two buckets leaves
nothing half altered, and a batch that was made for the old entry is refused wherever the new one has arrived.
"""

import json
from collections.abc import Sequence
from contextlib import suppress

from storage.model.errors import InvalidOperationError
from storage.model.schema import Alteration, TableName, TableSchema
from storage.tables.errors import StoreContendedError
from storage.tables.redis_commands import Argument, packed
from storage.tables.redis_link import Script
from storage.tables.redis_nodes import CATALOGUE, RedisNodes
from storage.tables.redis_table import CataloguedTable, bucket_prefix, column_field

LAYOUT = 1
"""Version of how everything lies."""

DROPPED = 2**53
"""The version of a dropped table in every bucket; no table is altered this often."""

ROWS_PER_STEP = 1_000
"""How many rows a dropped table loses at once."""

_SWAP = Script("redis_swap.lua")
_UPGRADE = Script("redis_upgrade.lua")
_DROP = Script("redis_drop.lua")


class RedisCatalogue:
    """The tables of one store.

    Args:
        nodes: the servers.
        prefix: what every key of the store begins with.
        buckets: into how many the store is divided, for ever.

    Raises:
        InvalidOperationError: `schema.mismatch`: the store that is there is divided otherwise, or of another layout.
    """

    def __init__(self, nodes: RedisNodes, prefix: bytes, buckets: int) -> None:
        self._nodes = nodes
        self._prefix = prefix
        self._buckets = buckets
        wanted = b"%d %d" % (LAYOUT, buckets)
        layout = self._key("layout")
        _, found = nodes.ask(CATALOGUE, ("SET", layout, wanted, "NX"), ("GET", layout))
        if found != wanted:
            raise InvalidOperationError(
                "schema.mismatch", f"the store's layout and buckets are {found.decode()}, not {wanted.decode()}"
            )

    def names(self) -> tuple[TableName, ...]:
        """All tables, in order."""
        [names] = self._nodes.ask(CATALOGUE, ("HKEYS", self._key("tables")))
        return tuple(sorted(TableName(*name.decode().split(".")) for name in names))

    def entry(self, table: TableName) -> CataloguedTable:
        """A table's entry as it is now.

        Raises:
            InvalidOperationError: `table.unknown`.
        """
        return CataloguedTable.read(json.loads(self._stored(table)))

    def create(self, schema: TableSchema) -> CataloguedTable:
        """Enter a new table.

        Raises:
            InvalidOperationError: `table.exists`.
        """
        self._finish_dropping()
        [number] = self._nodes.ask(CATALOGUE, ("INCR", self._key("number")))
        entry = CataloguedTable.new(schema, number)
        if not self._swap(schema.name, b"", _bytes(entry)):
            raise InvalidOperationError("table.exists", str(schema.name))
        self._upgrade_all(entry)
        return entry

    def alter(self, table: TableName, alteration: Alteration) -> CataloguedTable:
        """Change a table; raises as `storage.model.altering.altered`.

        Raises:
            StoreContendedError: somebody else alters it at this moment.
        """
        stored = self._stored(table)
        entry = CataloguedTable.read(json.loads(stored)).altered(alteration)
        if not self._swap(table, stored, _bytes(entry)):
            raise StoreContendedError(f"{table} is being altered")
        self._upgrade_all(entry)
        return entry

    def drop(self, table: TableName) -> None:
        """Drop a table."""
        stored = self._stored(table)
        number = str(json.loads(stored)["number"])
        if not self._swap(table, stored, b"", number):
            raise StoreContendedError(f"{table} is being altered")
        self._finish_dropping()

    def upgrade(self, bucket: int, entry: CataloguedTable) -> None:
        """Bring a bucket to a table's version, if it is behind."""
        columns = {number: name for name, number in entry.columns.items()}
        indexed = {entry.columns[name]: since for name, since in entry.indexed_since.items()}
        plain = [column_field(number) for number in range(1, entry.next_column) if number not in indexed]
        assert indexed.keys() <= columns.keys(), "every indexed column is there"
        start = bucket_prefix(self._prefix, bucket, self._buckets)
        keys = _keys(start, entry, (*plain, *map(column_field, indexed)))
        call: list[Argument] = [*keys, start, entry.number, entry.version, len(plain), *plain]
        for pairs in (tuple(indexed.items()), entry.dropped):
            call.append(len(pairs))
            for number, version in pairs:
                call += (column_field(number), version)
        self._nodes.ask_script(bucket, _UPGRADE, packed(*call))

    def _upgrade_all(self, entry: CataloguedTable) -> None:
        """Bring all buckets to a table's version; one that is being moved, and those after it, when they are met."""
        with suppress(StoreContendedError):
            for bucket in range(self._buckets):
                self.upgrade(bucket, entry)

    def _finish_dropping(self) -> None:
        """Delete what is left of dropped tables, also of those whose process died over it, or met a moving bucket."""
        with suppress(StoreContendedError):
            self._delete_dropped()

    def _delete_dropped(self) -> None:
        [flat] = self._nodes.ask(CATALOGUE, ("HGETALL", self._key("dropped")))
        for number, stored in zip(flat[::2], flat[1::2], strict=True):
            entry = CataloguedTable.read(json.loads(stored))
            fields = [column_field(entry.columns[name]) for name in entry.indexed_since]
            for bucket in range(self._buckets):
                start = bucket_prefix(self._prefix, bucket, self._buckets)
                keys = _keys(start, entry, fields)
                call: list[Argument] = [*keys, start, entry.number, DROPPED, ROWS_PER_STEP, *fields]
                while self._nodes.ask_script(bucket, _DROP, packed(*call)) != 0:
                    pass
            self._nodes.ask(CATALOGUE, ("HDEL", self._key("dropped"), number))

    def _stored(self, table: TableName) -> bytes:
        [stored] = self._nodes.ask(CATALOGUE, ("HGET", self._key("tables"), str(table)))
        if stored is None:
            raise InvalidOperationError("table.unknown", str(table))
        assert isinstance(stored, bytes)
        return stored

    def _swap(self, table: TableName, expected: bytes, entry: bytes, dropped: str = "") -> bool:
        keys = (2, self._key("tables"), self._key("dropped"))
        return bool(self._nodes.call_script(CATALOGUE, _SWAP, packed(*keys, str(table), expected, entry, dropped)))

    def _key(self, name: str) -> bytes:
        return self._prefix + b"{catalogue}" + name.encode()


def _keys(start: bytes, entry: CataloguedTable, fields: Sequence[bytes]) -> list[Argument]:
    """How many keys a script touches beside rows in a bucket, and these: versions, the order, an index of each field.

    A node of a cluster that is moving the bucket's slot runs it only if all of them are there.
    """
    sets = [start + b"i%d:%s" % (entry.number, field) for field in fields]
    return [2 + len(sets), start + b"v", start + b"o%d" % entry.number, *sets]


def _bytes(entry: CataloguedTable) -> bytes:
    return json.dumps(entry.form(), separators=(",", ":")).encode()
