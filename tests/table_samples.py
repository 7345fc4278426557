"""Tables and values for the tests of table stores: some of every type, the smallest and the greatest among them."""

from collections.abc import Hashable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from storage.model.data_types import DataType, Value
from storage.model.operations import Insert, Key, Row
from storage.model.schema import ClusteringColumn, Order, TableName, TableSchema
from storage.tables.batches import unit
from storage.tables.port import TableStore

ACCOUNTS = TableName("bank", "accounts")

ASCENDING: Mapping[DataType, tuple[Value, ...]] = {
    DataType.BOOLEAN: (False, True),
    DataType.INT: (-(2**31), -256, -1, 0, 1, 255, 65_536, 2**31 - 1),
    DataType.BIGINT: (-(2**63), -(2**31) - 1, -1, 0, 1, 2**53 + 1, 2**63 - 1),
    DataType.FLOAT: (
        -3.4028234663852886e38,
        -1.5,
        -1.401298464324817e-45,
        0.0,
        1.1754943508222875e-38,
        0.5,
        16_777_216.0,
    ),
    DataType.DOUBLE: (-1.7976931348623157e308, -1.1, -5e-324, 0.0, 2.2250738585072014e-308, 0.1, 2.0**60, 1e308),
    DataType.TEXT: (
        "",
        "\t",
        "%",
        "A",
        "Z",
        "_",
        "a",
        "a b",
        "ab",
        "é",
        "\ud7ff",
        "\uffff",
        "\U00010000",
        "\U0010ffff",
    ),
    DataType.BLOB: (b"", b"\0", b"\0\0", b"\0\1", b"\0\xff", b"\1", b"a", b"a\0", b"a\0b", b"ab", b"\xff", b"\xff\xff"),
    DataType.DATE: (date.min, date(1582, 10, 15), date(1969, 12, 31), date(1970, 1, 1), date(2024, 2, 29), date.max),
    DataType.TIME: (time.min, time(0, 0, 0, 1), time(11, 59, 59, 999_999), time(12), time.max),
    DataType.TIMESTAMP: (
        datetime(1, 1, 1),  # noqa: DTZ001
        datetime(1969, 12, 31, 23, 59, 59, 999_999),  # noqa: DTZ001
        datetime(1970, 1, 1),  # noqa: DTZ001
        datetime(2026, 3, 29, 2, 30, 0, 1),  # noqa: DTZ001
        datetime(9999, 12, 31, 23, 59, 59, 999_999),  # noqa: DTZ001
    ),
    DataType.TIMESTAMPTZ: (
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ),
    DataType.DECIMAL: (
        Decimal("-9.9999999999999999999999999999999999999E+60"),
        Decimal("-12.5"),
        Decimal("-12.05"),
        Decimal("-1E-60"),
        Decimal(0),
        Decimal("1E-60"),
        Decimal("0.1"),
        Decimal("0.11"),
        Decimal("0.2"),
        Decimal(9),
        Decimal(10),
        Decimal("12345678901234567890123456789012345678"),
        Decimal("1E+60"),
    ),
}
"""Values of every type, in order."""

OTHER_FORMS: Mapping[DataType, tuple[tuple[Value, Value], ...]] = {
    DataType.FLOAT: ((0.1, 0.10000000149011612), (-0.0, 0.0)),
    DataType.DOUBLE: ((-0.0, 0.0),),
    DataType.TIMESTAMPTZ: (
        (datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 1, 1, 10, tzinfo=UTC)),
    ),
    DataType.DECIMAL: (
        (Decimal("1.500"), Decimal("1.5")),
        (Decimal("-0"), Decimal(0)),
        (Decimal("1E+2"), Decimal(100)),
    ),
}
"""Values that are given, and the form that is stored."""

REFUSED: tuple[tuple[DataType, Any, str], ...] = (
    (DataType.BOOLEAN, 1, "value.wrong_type"),
    (DataType.INT, True, "value.wrong_type"),
    (DataType.INT, 2**31, "value.out_of_range"),
    (DataType.INT, -(2**31) - 1, "value.out_of_range"),
    (DataType.BIGINT, 2**63, "value.out_of_range"),
    (DataType.FLOAT, 1, "value.wrong_type"),
    (DataType.FLOAT, 1e39, "value.out_of_range"),
    (DataType.FLOAT, float("nan"), "value.out_of_range"),
    (DataType.DOUBLE, float("inf"), "value.out_of_range"),
    (DataType.TEXT, b"bytes", "value.wrong_type"),
    (DataType.TEXT, "nul \0", "value.out_of_range"),
    (DataType.TEXT, "half \ud800", "value.out_of_range"),
    (DataType.BLOB, "text", "value.wrong_type"),
    (DataType.BLOB, bytearray(b"a"), "value.wrong_type"),
    (DataType.DATE, datetime(2026, 1, 1, tzinfo=UTC), "value.wrong_type"),
    (DataType.TIME, time(1, tzinfo=UTC), "value.out_of_range"),
    (DataType.TIMESTAMP, datetime(2026, 1, 1, tzinfo=UTC), "value.out_of_range"),
    (DataType.TIMESTAMPTZ, datetime(2026, 1, 1), "value.out_of_range"),  # noqa: DTZ001
    (DataType.TIMESTAMPTZ, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "value.out_of_range"),
    (DataType.DECIMAL, 1.5, "value.wrong_type"),
    (DataType.DECIMAL, Decimal("NaN"), "value.out_of_range"),
    (DataType.DECIMAL, Decimal("1E+61"), "value.out_of_range"),
    (DataType.DECIMAL, Decimal(10**38 + 1), "value.out_of_range"),
)
"""What no column of a type takes, and the code that says so."""


def accounts(*, indexes: tuple[str, ...] = ()) -> TableSchema:
    """A table without a clustering key."""
    return TableSchema(
        name=ACCOUNTS,
        columns={"id": DataType.INT, "owner": DataType.TEXT, "balance": DataType.BIGINT, "note": DataType.BLOB},
        partition_key=("id",),
        indexes=indexes,
    )


def account(number: int) -> Key:
    """The key of an account."""
    return Key((number,))


def opened(number: int, **values: Value | None) -> Insert:
    """A new account."""
    return Insert(table=ACCOUNTS, key=account(number), values=values)


def every_type() -> TableSchema:
    """A table with a column of every type outside its key."""
    return TableSchema(
        name=TableName("kinds", "every"),
        columns={"id": DataType.INT, **{f"a_{data_type}": data_type for data_type in DataType}},
        partition_key=("id",),
    )


def ordered(*columns: tuple[DataType, Order]) -> TableSchema:
    """A table with one partition column and these clustering columns: c0, c1, ..."""
    clustering = [(f"c{i}", data_type, order) for i, (data_type, order) in enumerate(columns)]
    return TableSchema(
        name=TableName("kinds", "ordered"),
        columns={"p": DataType.TEXT, **{name: data_type for name, data_type, _ in clustering}, "v": DataType.INT},
        partition_key=("p",),
        clustering_key=tuple(ClusteringColumn(name, order) for name, _, order in clustering),
    )


def filled(schema: TableSchema, keys: Iterable[Key]) -> list[Insert]:
    """A row for every key, v counting them."""
    return [Insert(table=schema.name, key=key, values={"v": number}) for number, key in enumerate(keys)]


def insert_all(store: TableStore, inserts: Iterable[Insert]) -> None:
    """Insert rows in batches as large as the store's unit of atomicity allows."""
    batches: dict[Hashable, list[Insert]] = {}
    for insert in inserts:
        batches.setdefault(unit(insert, store.capabilities.atomicity), []).append(insert)
    size = min(200, store.capabilities.batch_mutations_max or 200)
    for batch in batches.values():
        for start in range(0, len(batch), size):
            store.apply(batch[start : start + size])


def column(rows: Iterable[Row], name: str) -> list[Value | None]:
    """One column of some rows."""
    return [row[name] for row in rows]
