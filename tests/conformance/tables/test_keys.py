"""What every table store promises of keys: each type is one, rows come in their order, ranges cut where they say."""

import random
from itertools import product

import pytest

from storage.model.checking import CLUSTERING_KEY_BYTES_MAX, INDEXED_VALUE_BYTES_MAX, PARTITION_KEY_BYTES_MAX
from storage.model.data_types import DataType, Value
from storage.model.errors import InvalidOperationError
from storage.model.operations import Bound, Get, Insert, Key, Scan, ScanByIndex
from storage.model.schema import ClusteringColumn, Order, TableName, TableSchema
from storage.tables.port import TableStore
from tests.table_samples import ASCENDING, column, filled, insert_all, ordered

ORDERED = TableName("kinds", "ordered")


def fill(store: TableStore, schema: TableSchema, keys: list[Key]) -> None:
    store.create_table(schema)
    insert_all(store, filled(schema, keys))


@pytest.mark.parametrize("data_type", DataType)
def test_every_type_is_a_partition_key(store: TableStore, data_type: DataType) -> None:
    """No two values are taken for one, in a composite key neither."""
    schema = TableSchema(
        name=ORDERED,
        columns={"a": data_type, "b": data_type, "v": DataType.INT},
        partition_key=("a", "b"),
    )
    keys = [Key(pair) for pair in product(ASCENDING[data_type][:4], ASCENDING[data_type][-4:])]
    fill(store, schema, keys)
    rows = store.get_many([Get(table=ORDERED, key=key) for key in keys])
    assert rows == [{"a": key.partition[0], "b": key.partition[1], "v": number} for number, key in enumerate(keys)]


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("data_type", DataType)
def test_every_type_orders_rows(store: TableStore, data_type: DataType, order: Order) -> None:
    """Ascending or descending, forwards or in reverse, within any bounds, inclusive or not."""
    values = ASCENDING[data_type]
    fill(store, ordered((data_type, order)), [Key(("p",), (value,)) for value in values[::-1]])
    down = order is Order.DESC

    def scanned(lower: Bound | None, upper: Bound | None, reverse: bool) -> list[Value | None]:
        scan = Scan(table=ORDERED, partition=("p",), lower=lower, upper=upper, reverse=reverse)
        return column(store.scan(scan), "c0")

    for reverse in (False, True):
        assert scanned(None, None, reverse) == list(values[::-1] if down != reverse else values)
    at, to = len(values) // 4, 3 * len(values) // 4
    for from_inclusive, to_inclusive, reverse in product((False, True), repeat=3):
        expected = list(values[at + (not from_inclusive) : to + to_inclusive])
        given = scanned(Bound(values[at], from_inclusive), Bound(values[to], to_inclusive), reverse)
        assert given == (expected[::-1] if down != reverse else expected)
    assert scanned(Bound(values[to]), None, False) == list(values[to:][::-1] if down else values[to:])
    assert scanned(None, Bound(values[at], inclusive=False), True) == list(values[:at] if down else values[:at][::-1])
    assert scanned(Bound(values[-1], inclusive=False), None, False) == []
    assert scanned(Bound(values[-1]), Bound(values[0]), False) == ([] if len(values) > 1 else [values[0]])


@pytest.mark.parametrize("orders", list(product(Order, repeat=2)))
@pytest.mark.parametrize(
    "types", [(DataType.TEXT, DataType.INT), (DataType.BLOB, DataType.TEXT), (DataType.DECIMAL, DataType.DOUBLE)]
)
def test_composite_keys_order_column_by_column(
    store: TableStore, types: tuple[DataType, DataType], orders: tuple[Order, Order]
) -> None:
    """Each column by its own order; a prefix picks out its rows, whatever the other values are."""
    firsts, seconds = ASCENDING[types[0]][:6], ASCENDING[types[1]][:5]
    pairs = list(
        product(firsts[:: -1 if orders[0] is Order.DESC else 1], seconds[:: -1 if orders[1] is Order.DESC else 1])
    )
    fill(store, ordered(*zip(types, orders, strict=True)), [Key(("p",), pair) for pair in pairs[::-1]])

    def scanned(scan: Scan) -> list[tuple[Value | None, Value | None]]:
        return [(row["c0"], row["c1"]) for row in store.scan(scan)]

    assert scanned(Scan(table=ORDERED, partition=("p",))) == pairs
    assert scanned(Scan(table=ORDERED, partition=("p",), reverse=True)) == pairs[::-1]
    for first in firsts:
        group = [pair for pair in pairs if pair[0] == first]
        assert scanned(Scan(table=ORDERED, partition=("p",), prefix=(first,))) == group
        lower = Bound(seconds[2], inclusive=False)
        within = [pair for pair in group if pair[1] > seconds[2]]  # type: ignore[operator]
        assert scanned(Scan(table=ORDERED, partition=("p",), prefix=(first,), lower=lower)) == within
    upper = Bound(firsts[3])
    below = [pair for pair in pairs if pair[0] <= firsts[3]]  # type: ignore[operator]
    assert scanned(Scan(table=ORDERED, partition=("p",), upper=upper)) == below


def test_partitions_are_apart(store: TableStore) -> None:
    """Even where one's key begins with the other's, or holds what could pass for a separator."""
    names = ("", "a", "a:", "a:b", "ab", "{a}", "}", "%", "a\t", "é")
    fill(store, ordered((DataType.INT, Order.ASC)), [Key((name,), (n,)) for name in names for n in (1, 2)])
    for number, name in enumerate(names):
        rows = store.scan(Scan(table=ORDERED, partition=(name,)))
        assert column(rows, "v") == [2 * number, 2 * number + 1]
    assert not list(store.scan(Scan(table=ORDERED, partition=("b",))))


class TestRefusals:
    @pytest.fixture(autouse=True)
    def table(self, store: TableStore) -> None:
        store.create_table(ordered((DataType.TEXT, Order.ASC), (DataType.INT, Order.DESC)))

    @pytest.mark.parametrize(
        ("key", "code"),
        [
            (Key(("p",), ("a",)), "key.incomplete"),
            (Key(("p",)), "key.incomplete"),
            (Key(("p", "q"), ("a", 1)), "key.incomplete"),
            (Key((), ("a", 1)), "key.incomplete"),
            (Key((None,), ("a", 1)), "key.incomplete"),  # type: ignore[arg-type]
            (Key(("p",), ("a", None)), "key.incomplete"),  # type: ignore[arg-type]
            (Key((1,), ("a", 1)), "value.wrong_type"),
            (Key(("p",), ("a", 2**31)), "value.out_of_range"),
            (Key(("p" * 1032,), ("a", 1)), "key.too_long"),
            (Key(("p",), ("é" * 514, 1)), "key.too_long"),
        ],
    )
    def test_a_key_is_whole_typed_and_bounded(self, store: TableStore, key: Key, code: str) -> None:
        """Reads and writes refuse what is no key of the table."""
        with pytest.raises(InvalidOperationError) as refused:
            store.get(Get(table=ORDERED, key=key))
        assert refused.value.code == code
        with pytest.raises(InvalidOperationError) as refused:
            store.apply(filled(store.schema(ORDERED), [key]))
        assert refused.value.code == code

    def test_the_longest_keys_are_taken(self, store: TableStore) -> None:
        """Up to the limit, partition and clustering key at once."""
        key = Key(("p" * 1031,), ("é" * 513 + "a", -1))
        store.apply(filled(store.schema(ORDERED), [key]))
        assert column(store.scan(Scan(table=ORDERED, partition=key.partition)), "c0") == ["é" * 513 + "a"]

    @pytest.mark.parametrize(
        ("scan", "code"),
        [
            (Scan(table=ORDERED, partition=()), "key.incomplete"),
            (Scan(table=ORDERED, partition=("p",), prefix=("a", 1), lower=Bound(1)), "key.incomplete"),
            (Scan(table=ORDERED, partition=("p",), prefix=("a", 1, 2)), "key.incomplete"),
            (Scan(table=ORDERED, partition=("p",), lower=Bound(1)), "value.wrong_type"),
            (Scan(table=ORDERED, partition=("p",), prefix=("a",), upper=Bound("a")), "value.wrong_type"),
            (Scan(table=ORDERED, partition=("p",), limit=0), "value.out_of_range"),
            (Scan(table=ORDERED, partition=("p",), projection=("x",)), "column.unknown"),
        ],
    )
    def test_a_range_is_one_of_the_key(self, store: TableStore, scan: Scan, code: str) -> None:
        """Said at once, not at the first row."""
        with pytest.raises(InvalidOperationError) as refused:
            store.scan(scan)
        assert refused.value.code == code


def test_the_longest_keys_and_indexed_value_at_once(store: TableStore) -> None:
    """Of bytes that no database makes shorter: they stand together in an entry of an index."""
    schema = TableSchema(
        name=ORDERED,
        columns={"p": DataType.BLOB, "c": DataType.BLOB, "v": DataType.BLOB},
        partition_key=("p",),
        clustering_key=(ClusteringColumn("c"),),
        indexes=("v",),
    )
    store.create_table(schema)
    noise = random.Random(1)
    partition, clustering, value = (
        bytes(noise.randrange(1, 256) for _ in range(bytes_max - 2))
        for bytes_max in (PARTITION_KEY_BYTES_MAX, CLUSTERING_KEY_BYTES_MAX, INDEXED_VALUE_BYTES_MAX)
    )
    store.apply([Insert(table=ORDERED, key=Key((partition,), (clustering,)), values={"v": value})])
    found = store.scan(ScanByIndex(table=ORDERED, column="v", value=value))
    assert list(found) == [{"p": partition, "c": clustering, "v": value}]
