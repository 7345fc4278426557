"""Avro's binary encoding after its specification (Apache Avro 1.12, "Binary Encoding"), word by word; and values to
encode. Slow, for tests only, and apart from fastavro and from our own encoders.
"""

import struct
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import count
from typing import Any

from hypothesis import strategies as st

Schema = Any
"""As `json` reads it: a name, a union's list, or an object."""

LONGS = (0, -1, 1, 63, 64, -65, 300, 2**31, 2**53 - 1, 2**63 - 1, -(2**63))
TEXTS = ("", "a", "Grüße", "\U0001f680", "object.put", "\0", "x" * 70)
LENGTHS = (0, 1, 5, 64, 130)
ITEMS = 3
"""An array has fewer."""
DOUBLES = (0.0, -1.5, 1e300)


def named_types(schema: Schema) -> dict[str, Schema]:
    """Every record, enum and fixed of a schema by its name."""
    match schema:
        case list():
            return {name: found for each in schema for name, found in named_types(each).items()}
        case {"type": "record", "name": name, "fields": fields}:
            inner = [named_types(field["type"]) for field in fields]
            return {name: schema, **{key: found for types in inner for key, found in types.items()}}
        case {"type": "array", "items": items}:
            return named_types(items)
        case {"type": "enum" | "fixed", "name": name}:
            return {name: schema}
        case _:
            return {}


def encode(schema: Schema, value: Any, types: Mapping[str, Schema]) -> bytes:
    """A value's bytes; arrays are a single block."""
    match schema:
        case "null":
            return b""
        case "boolean":
            return b"\1" if value else b"\0"
        case "long":
            return _long(value)
        case "double":
            return struct.pack("<d", value)
        case "bytes":
            return _long(len(value)) + bytes(value)
        case "string":
            return encode("bytes", value.encode(), types)
        case str():
            return encode(types[schema], value, types)
        case list():
            place = next(i for i, branch in enumerate(schema) if (branch == "null") is (value is None))
            return _long(place) + encode(schema[place], value, types)
        case {"type": "record"}:
            return b"".join(encode(field["type"], value[field["name"]], types) for field in schema["fields"])
        case {"type": "array"}:
            items = b"".join(encode(schema["items"], item, types) for item in value)
            return (_long(len(value)) + items if value else b"") + _long(0)
        case {"type": "enum"}:
            return _long(schema["symbols"].index(value))
        case {"type": "fixed"}:
            return bytes(value)
    raise AssertionError(f"no type of ours: {schema}")


def _long(number: int) -> bytes:
    """Zigzag, then groups of seven bits, the least significant first, a high bit on all but the last."""
    zigzag = (number << 1) ^ (number >> 63)
    groups: list[int] = []
    while True:
        zigzag, group = zigzag >> 7, zigzag & 0x7F
        if not zigzag:
            return bytes((*groups, group))
        groups.append(group | 0x80)


def sample(schema: Schema, types: Mapping[str, Schema], numbers: Iterator[int] | None = None) -> Any:
    """A value in which every kind of number, text and array comes in turn."""
    numbers = count() if numbers is None else numbers
    match schema:
        case "null":
            return None
        case "boolean":
            return next(numbers) % 2 == 1
        case "long":
            return LONGS[next(numbers) % len(LONGS)]
        case "double":
            return DOUBLES[next(numbers) % len(DOUBLES)]
        case "bytes":
            number = next(numbers)
            return noise(number, LENGTHS[number % len(LENGTHS)])
        case "string":
            return TEXTS[next(numbers) % len(TEXTS)]
        case str():
            return sample(types[schema], types, numbers)
        case list():
            return sample(schema[next(numbers) % len(schema)], types, numbers)
        case {"type": "record"}:
            return {field["name"]: sample(field["type"], types, numbers) for field in schema["fields"]}
        case {"type": "array"}:
            return [sample(schema["items"], types, numbers) for _ in range(noise(next(numbers), 1)[0] % ITEMS)]
        case {"type": "enum"}:
            return schema["symbols"][next(numbers) % len(schema["symbols"])]
        case {"type": "fixed"}:
            return noise(next(numbers), schema["size"])
    raise AssertionError(f"no type of ours: {schema}")


def noise(number: int, size: int) -> bytes:
    """SHA-256 in counter mode."""
    blocks = (sha256(bytes((number % 256, index))).digest() for index in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def values(schema: Schema, types: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    """Any value of a schema."""
    match schema:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "long":
            return st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2)
        case "double":
            return st.floats(allow_nan=False)
        case "bytes":
            return st.binary(max_size=70)
        case "string":
            return st.text(st.characters(exclude_categories=["Cs"]), max_size=70)
        case str():
            return values(types[schema], types)
        case list():
            return st.one_of([values(branch, types) for branch in schema])
        case {"type": "record"}:
            names = [field["name"] for field in schema["fields"]]
            each = st.tuples(*[values(field["type"], types) for field in schema["fields"]])
            return each.map(lambda made: dict(zip(names, made, strict=True)))  # in the order of the schema
        case {"type": "array"}:
            return st.lists(values(schema["items"], types), max_size=2)
        case {"type": "enum"}:
            return st.sampled_from(schema["symbols"])
        case {"type": "fixed"}:
            return st.binary(min_size=schema["size"], max_size=schema["size"])
    raise AssertionError(f"no type of ours: {schema}")
