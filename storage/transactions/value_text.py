"""Column values, keys and write sets as compact text, for before-images and the coordinator's rows.

JSON, in which texts, integers, floats, booleans and nulls stand for themselves, and any other value is a list of a
letter and a text. What is read here was written by a transaction manager of the same house, behind the store's own
protection.
"""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from storage.model.data_types import Value
from storage.model.operations import Key
from storage.model.schema import TableName

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def plain(value: Value | None) -> Any:
    """A value as JSON knows it."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return ["b", value.hex()]
        case datetime():
            return ["z" if value.tzinfo else "m", value.replace(tzinfo=None).isoformat()]
        case date():
            return ["d", value.isoformat()]
        case time():
            return ["t", value.isoformat()]
        case Decimal():
            return ["n", str(value)]


def value_of(plain_value: Any) -> Value | None:
    """The value again."""
    if not isinstance(plain_value, list):
        value: Value | None = plain_value
        return value
    letter, text = plain_value
    match letter:
        case "b":
            return bytes.fromhex(text)
        case "z":
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        case "m":
            return datetime.fromisoformat(text)
        case "d":
            return date.fromisoformat(text)
        case "t":
            return time.fromisoformat(text)
        case _:
            return Decimal(text)


def dumps(structure: Any) -> bytes:
    """The bytes of a JSON structure."""
    return _encoder.encode(structure).encode("utf-8", "surrogatepass")


def loads(encoded: bytes) -> Any:
    """The structure again."""
    return json.loads(encoded)


def dump_records(records: Iterable[tuple[TableName, Key]]) -> bytes:
    """A write set: keys only."""
    return dumps(
        [
            [
                table.namespace,
                table.name,
                [plain(value) for value in key.partition],
                [plain(value) for value in key.clustering],
            ]
            for table, key in records
        ]
    )


def load_records(encoded: bytes) -> list[tuple[TableName, Key]]:
    """The write set again."""
    return [
        (TableName(namespace, name), Key(tuple(map(value_of, partition)), tuple(map(value_of, clustering))))  # type: ignore[arg-type]
        for namespace, name, partition, clustering in loads(encoded)
    ]
