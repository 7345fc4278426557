"""Tables on Redis or Valkey.

1. One script makes each batch (`redis_apply.lua`): it runs alone, and reaches the append-only file as a whole.
2. A store lies on one server, and its unit of atomicity is the store; or on a cluster, in buckets, and the unit is
   the partition (`storage.tables.redis_table`, `storage.tables.redis_cluster`). Which it is is fixed when it is made.
3. What an acknowledged batch survives is what the server's settings say; every new connection looks whether they
   still do. A failover to a replica can lose what was acknowledged, whatever they say.
4. Reads go to the primary. A row is read whole at one moment, and so are the rows of one `get_many` in a bucket.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from storage.model.checking import check_scan
from storage.model.errors import InvalidOperationError
from storage.model.operations import AnyScan, Get, Mutation, Row
from storage.model.schema import Alteration, TableName, TableSchema
from storage.tables.batches import check_size
from storage.tables.errors import ConditionFailedError, StoreContendedError
from storage.tables.port import Atomicity, Capabilities
from storage.tables.redis_awaited_tables import RedisAwaitedTables
from storage.tables.redis_batches import APPLY, STALE_TRIES, batch_call
from storage.tables.redis_catalogue import RedisCatalogue
from storage.tables.redis_cluster import ClusterNodes, open_nodes
from storage.tables.redis_known_tables import KnownTables
from storage.tables.redis_link import Script
from storage.tables.redis_nodes import RedisNodes
from storage.tables.redis_reads import READ, by_bucket, reading
from storage.tables.redis_scans import PAGE_ROWS, BucketRange, RedisScan
from storage.tables.redis_table import RedisTable
from storage.tables.store_settings import check_settings

PREFIX = "t:"
"""What the keys of a store begin with, if nothing else is said."""

BUCKETS = 256
"""Into how many buckets a store on a cluster is divided, if nothing else is said."""

BATCH_MUTATIONS_MAX = 10_000
"""A batch stops every other client of its server for as long as it takes."""

_SCAN = Script("redis_scan.lua")


class RedisTables:
    """A store of tables. See `storage.tables.port.TableStore` for what each method promises.

    Args:
        nodes: where it lies.
        prefix: what its keys begin with; so several stores can share a server.
        buckets: 1 for one server, more for a cluster.

    Raises:
        InvalidOperationError: `schema.mismatch`: the store that is there is divided otherwise.
    """

    def __init__(self, nodes: RedisNodes, *, prefix: str = PREFIX, buckets: int = 1) -> None:
        if "{" in prefix or buckets < 1:
            raise InvalidOperationError("config.invalid", "no brace in a prefix, at least one bucket")
        self._nodes = nodes
        self._prefix = prefix.encode()
        self._buckets = buckets
        self._catalogue = RedisCatalogue(nodes, self._prefix, buckets)
        self._known = KnownTables(self._catalogue, self._prefix, buckets)
        self._capabilities = Capabilities(
            atomicity=Atomicity.STORE if buckets == 1 else Atomicity.PARTITION,
            batch_mutations_max=BATCH_MUTATIONS_MAX,
            durability=nodes.durability,
            checks_absence=True,
            reads_at_one_moment=True,
            scan_page_rows=PAGE_ROWS,
        )

    @property
    def name(self) -> str:
        """The adapter's name and the servers."""
        return f"redis {self._nodes.address}"

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._capabilities

    def create_table(self, schema: TableSchema) -> None:
        """Create a table."""
        self._known.use(self._catalogue.create(schema))

    def alter_table(self, table: TableName, alteration: Alteration) -> TableSchema:
        """Change a table."""
        return self._known.use(self._catalogue.alter(table, alteration)).entry.schema

    def drop_table(self, table: TableName) -> None:
        """Drop a table."""
        self._known.forget(table)
        self._catalogue.drop(table)

    def tables(self) -> tuple[TableName, ...]:
        """All tables, in order."""
        return self._catalogue.names()

    def schema(self, table: TableName) -> TableSchema:
        """A table's schema."""
        return self._known.table(table).entry.schema

    def get(self, get: Get) -> Row | None:
        """Return one row."""
        one = reading(self._known.table(get.table), get)
        return one.plan.row(one.key, self._nodes.read(one.bucket, one.plan.command(one.name)))

    def get_many(self, gets: Sequence[Get]) -> list[Row | None]:
        """Return rows, in one round trip to each server that is concerned."""
        if len(gets) < 2:
            return [self.get(get) for get in gets]
        rows: list[Row | None] = [None] * len(gets)
        reads = {each.bucket: each for each in by_bucket([reading(self._known.table(get.table), get) for get in gets])}
        calls = {bucket: together.arguments for bucket, together in reads.items()}
        for bucket, replies in self._nodes.ask_scripts(READ, calls).items():
            reads[bucket].fill(rows, replies)
        return rows

    def scan(self, scan: AnyScan) -> Iterator[Row]:
        """Give rows, page by page."""
        table = self._known.table(scan.table)
        checked = check_scan(table.entry.schema, scan)
        return self._scanned(RedisScan(table, checked, self._prefix, self._buckets), checked.limit)

    def apply(self, batch: Sequence[Mutation]) -> None:
        """Do all of it, or nothing."""
        check_size(batch, self._capabilities)
        for _ in range(STALE_TRIES):
            call = batch_call(batch, self._known.table)
            answer = self._nodes.call_script(call.bucket, APPLY, call.arguments)
            if answer is None:
                return
            if isinstance(answer, int):
                raise ConditionFailedError(answer)
            self._known.renew(call.tables[answer[0] - 1], call.bucket)
        raise StoreContendedError("a table of the batch is being altered")

    def awaited(self) -> RedisAwaitedTables | None:
        """The side for coroutines; None: the connections are encrypted, or the store lies on a cluster."""
        link = self._nodes.awaited()
        return None if link is None else RedisAwaitedTables(self._known, self._capabilities, link)

    def close(self) -> None:
        """Give back the connections."""
        self._nodes.close()

    def _scanned(self, scan: RedisScan, limit: int | None) -> Iterator[Row]:
        left = limit
        for within in scan.ranges():
            for page in self._pages(scan, within, limit):
                for row in scan.rows(within, page):
                    yield row
                    if left is not None:
                        left -= 1
                        if left == 0:
                            return

    def _pages(self, scan: RedisScan, within: BucketRange, limit: int | None) -> Iterator[list[Any]]:
        last: bytes | None = None
        size = PAGE_ROWS if limit is None else min(limit, PAGE_ROWS)
        while True:
            page = self._nodes.ask_script(within.bucket, _SCAN, scan.page(within, last, size))
            if page and page[0] == 1:
                self._follow(scan.table, within.bucket)
                continue
            yield page
            if len(page) < 2 * size:
                return
            last = page[-2]
            size = PAGE_ROWS

    def _follow(self, table: RedisTable, bucket: int) -> None:
        """Bring a bucket that is behind up to the version that a scan reads.

        Raises:
            InvalidOperationError: `schema.mismatch`: the table was altered meanwhile.
        """
        if self._known.renew(table, bucket).entry != table.entry:
            raise InvalidOperationError("schema.mismatch", f"{table.entry.schema.name} was altered")


def open_store(settings: Mapping[str, str]) -> RedisTables:
    """Open a store on one server, or on the cluster that it is a node of.

    Settings: `url`, with several hosts between commas if any of them may be away; `prefix` of its keys; `buckets` of
    the cluster layout: on one server 1 if nothing else is said, on a cluster `BUCKETS`.
    """
    check_settings(settings, needed=("url",), optional=("prefix", "buckets"))
    said = settings.get("buckets")
    if said is not None and not said.isdecimal():
        raise InvalidOperationError("config.invalid", f"buckets is a number, not {said}")
    nodes = open_nodes(settings["url"])
    try:
        buckets = int(said) if said is not None else BUCKETS if isinstance(nodes, ClusterNodes) else 1
        if buckets == 1 and isinstance(nodes, ClusterNodes):
            raise InvalidOperationError("config.invalid", "a store on a cluster has more than one bucket")
        return RedisTables(nodes, prefix=settings.get("prefix", PREFIX), buckets=buckets)
    except BaseException:
        nodes.close()
        raise
