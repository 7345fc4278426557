"""Reads by key: what is sent for them, and the rows of what is answered."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from storage.model.checking import check_key
from storage.model.data_types import Value
from storage.model.errors import InvalidOperationError
from storage.model.operations import Get, Row
from storage.tables.redis_commands import Packed, bulk, number
from storage.tables.redis_link import Script
from storage.tables.redis_table import ReadPlan, RedisTable

READ = Script("redis_read.lua")


class Reading(NamedTuple):
    """One row to be read.

    Attributes:
        key: its values.
        plan: how the columns are read.
        bucket, name: of the row.
    """

    key: tuple[Value, ...]
    plan: ReadPlan
    bucket: int
    name: bytes


class BucketReading(NamedTuple):
    """Rows to be read together.

    Attributes:
        bucket: where they lie.
        readings: by their places among all that are asked for.
        arguments: of `redis_read.lua`.
    """

    bucket: int
    readings: dict[int, Reading]
    arguments: Packed

    def fill(self, rows: list[Row | None], replies: Sequence[Any]) -> None:
        """Put the rows that were answered in their places."""
        for (place, reading), reply in zip(self.readings.items(), replies, strict=True):
            rows[place] = reading.plan.row(reading.key, reply)


def reading(table: RedisTable, get: Get) -> Reading:
    """Check a read of this table.

    Raises:
        InvalidOperationError: of its key or its projection.
    """
    key, plan = get.key, table.plan(get.projection)
    try:
        bucket, name = table.place(key)
    except InvalidOperationError:
        check_key(table.entry.schema, key)
        raise
    if plan.wants_key and not table.keeps_keys:
        key = check_key(table.entry.schema, key)
    return Reading(key.partition + key.clustering, plan, bucket, name)


def by_bucket(readings: Sequence[Reading]) -> list[BucketReading]:
    """Reads, gathered by the bucket of their rows."""
    buckets: dict[int, dict[int, Reading]] = {}
    for place, each in enumerate(readings):
        buckets.setdefault(each.bucket, {})[place] = each
    return [BucketReading(bucket, own, _arguments(list(own.values()))) for bucket, own in buckets.items()]


def _arguments(readings: Sequence[Reading]) -> Packed:
    names = [bulk(each.name) for each in readings]
    fields = [each.plan.counted_fields for each in readings]
    size = 1 + 2 * len(readings) + sum([len(each.plan.fields) for each in readings])
    return Packed(size, b"".join((number(len(readings)), *names, *fields)))
