"""Keys as bytes: in the order of the values, no two alike, and back.

Rules:

1. Bytes compare as the values do (`storage.model.data_types`); in a descending column every bit is inverted, so they
   compare the other way round.
2. No value's form is the beginning of another's of the same type, so the forms of a composite key's columns simply
   follow one another: (a, b) orders by a, then by b, and different keys have different bytes.
3. Only values in their column's one form (`check_value`) are encoded.

| type | form |
|---|---|
| boolean | 0 or 1 |
| int, bigint | big-endian, the sign bit inverted |
| float, double | IEEE 754 big-endian, the sign bit inverted, all bits of a negative one |
| text | UTF-8, then 0 (no text holds NUL) |
| blob | each 0 as 0 255, then 0 0 |
| date | u32 days since 0001-01-01 |
| time, timestamp, timestamptz | u64 microseconds since midnight, or since 0001-01-01 |
| decimal | 0, 1 or 2 (negative, zero, positive), then, but for zero: first digit's place + 128, each digit + 1, 0 |

In a negative decimal, all that follows the first byte is inverted, too.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from storage.model.data_types import DataType, Value
from storage.model.schema import KeyColumn, Order

_EPOCH = datetime.min.replace(tzinfo=UTC).replace(tzinfo=None)
_EPOCH_UTC = datetime.min.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PLACE_BIAS = 128
_INVERTED = bytes(255 - byte for byte in range(256))


def encode_key(columns: Iterable[KeyColumn], values: Iterable[Value]) -> bytes:
    """Encode the values of a key, or of its first columns: that is how the encoded key begins."""
    encoded = b""
    for (data_type, order), value in zip(columns, values, strict=False):
        part = ENCODERS[data_type](value)
        encoded += part if order is Order.ASC else part.translate(_INVERTED)
    return encoded


def decode_key(columns: Sequence[KeyColumn], encoded: bytes) -> tuple[Value, ...]:
    """The values of a whole key.

    Raises:
        ValueError: these bytes are no such key.
    """
    values: list[Value] = []
    at = 0
    for data_type, order in columns:
        rest = encoded[at:] if order is Order.ASC else encoded[at:].translate(_INVERTED)
        length = _LENGTHS[data_type](rest)
        if length > len(rest):
            raise ValueError("a key ends early")
        values.append(DECODERS[data_type](rest[:length]))
        at += length
    if at != len(encoded):
        raise ValueError("a key goes on after its last column")
    return tuple(values)


def successor(encoded: bytes) -> bytes | None:
    """The first bytes that are above all that begin with these; None: there are none."""
    kept = encoded.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,)) if kept else None


def _encode_signed(bits: int) -> Callable[[int], bytes]:
    length, offset = bits // 8, 1 << (bits - 1)
    return lambda value: (value + offset).to_bytes(length, "big")


def _decode_signed(bits: int) -> Callable[[bytes], int]:
    offset = 1 << (bits - 1)
    return lambda encoded: int.from_bytes(encoded, "big") - offset


def _encode_real(form: str, bits: int) -> Callable[[float], bytes]:
    pack, sign, mask = struct.Struct(form).pack, 1 << (bits - 1), (1 << bits) - 1

    def encode(value: float) -> bytes:
        number = int.from_bytes(pack(value), "big")
        return (number ^ (mask if number & sign else sign)).to_bytes(bits // 8, "big")

    return encode


def _decode_real(form: str, bits: int) -> Callable[[bytes], float]:
    unpack, sign, mask = struct.Struct(form).unpack, 1 << (bits - 1), (1 << bits) - 1

    def decode(encoded: bytes) -> float:
        number = int.from_bytes(encoded, "big")
        number ^= sign if number & sign else mask
        value: float = unpack(number.to_bytes(bits // 8, "big"))[0]
        return value

    return decode


def _encode_blob(value: bytes) -> bytes:
    return value.replace(b"\0", b"\0\xff") + b"\0\0"


def _decode_blob(encoded: bytes) -> bytes:
    return encoded[:-2].replace(b"\0\xff", b"\0")


def _blob_length(encoded: bytes) -> int:
    at = encoded.find(b"\0")
    while 0 <= at < len(encoded) - 1 and encoded[at + 1] == 0xFF:
        at = encoded.find(b"\0", at + 2)
    if at < 0:
        raise ValueError("a blob does not end")
    return at + 2


def _text_length(encoded: bytes) -> int:
    return encoded.index(b"\0") + 1


def _encode_time(value: time) -> bytes:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return (seconds * 1_000_000 + value.microsecond).to_bytes(8, "big")


def _decode_time(encoded: bytes) -> time:
    seconds, microsecond = divmod(int.from_bytes(encoded, "big"), 1_000_000)
    return time(seconds // 3600, seconds // 60 % 60, seconds % 60, microsecond)


def _microseconds(since: timedelta) -> bytes:
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds).to_bytes(8, "big")


def _encode_decimal(value: Decimal) -> bytes:
    if not value:
        return b"\1"
    sign, digits, _ = value.as_tuple()
    significant = bytes(digit + 1 for digit in digits).rstrip(b"\1")
    body = bytes((value.adjusted() + _PLACE_BIAS,)) + significant + b"\0"
    return b"\0" + body.translate(_INVERTED) if sign else b"\2" + body


def _decode_decimal(encoded: bytes) -> Decimal:
    if encoded == b"\1":
        return Decimal(0)
    negative = encoded[0] == 0
    body = encoded[1:].translate(_INVERTED) if negative else encoded[1:]
    digits = [byte - 1 for byte in body[1:-1]]
    lowest = body[0] - _PLACE_BIAS - len(digits) + 1
    digits += [0] * lowest
    return Decimal((int(negative), tuple(digits), min(lowest, 0)))


def _decimal_length(encoded: bytes) -> int:
    if encoded[:1] == b"\1":
        return 1
    return encoded.index(b"\xff" if encoded[:1] == b"\0" else b"\0", 2) + 1


ENCODERS: Mapping[DataType, Callable[[Any], bytes]] = {
    DataType.BOOLEAN: lambda value: b"\1" if value else b"\0",
    DataType.INT: _encode_signed(32),
    DataType.BIGINT: _encode_signed(64),
    DataType.FLOAT: _encode_real(">f", 32),
    DataType.DOUBLE: _encode_real(">d", 64),
    DataType.TEXT: lambda value: value.encode() + b"\0",
    DataType.BLOB: _encode_blob,
    DataType.DATE: lambda value: value.toordinal().to_bytes(4, "big"),
    DataType.TIME: _encode_time,
    DataType.TIMESTAMP: lambda value: _microseconds(value - _EPOCH),
    DataType.TIMESTAMPTZ: lambda value: _microseconds(value - _EPOCH_UTC),
    DataType.DECIMAL: _encode_decimal,
}
"""The form of one value of each type, in ascending order."""

DECODERS: Mapping[DataType, Callable[[bytes], Value]] = {
    DataType.BOOLEAN: lambda encoded: encoded == b"\1",
    DataType.INT: _decode_signed(32),
    DataType.BIGINT: _decode_signed(64),
    DataType.FLOAT: _decode_real(">f", 32),
    DataType.DOUBLE: _decode_real(">d", 64),
    DataType.TEXT: lambda encoded: encoded[:-1].decode(),
    DataType.BLOB: _decode_blob,
    DataType.DATE: lambda encoded: date.fromordinal(int.from_bytes(encoded, "big")),
    DataType.TIME: _decode_time,
    DataType.TIMESTAMP: lambda encoded: _EPOCH + int.from_bytes(encoded, "big") * _MICROSECOND,
    DataType.TIMESTAMPTZ: lambda encoded: _EPOCH_UTC + int.from_bytes(encoded, "big") * _MICROSECOND,
    DataType.DECIMAL: _decode_decimal,
}
"""The value of each form."""

_LENGTHS: Mapping[DataType, Callable[[bytes], int]] = {
    DataType.BOOLEAN: lambda _: 1,
    DataType.INT: lambda _: 4,
    DataType.BIGINT: lambda _: 8,
    DataType.FLOAT: lambda _: 4,
    DataType.DOUBLE: lambda _: 8,
    DataType.TEXT: _text_length,
    DataType.BLOB: _blob_length,
    DataType.DATE: lambda _: 4,
    DataType.TIME: lambda _: 8,
    DataType.TIMESTAMP: lambda _: 8,
    DataType.TIMESTAMPTZ: lambda _: 8,
    DataType.DECIMAL: _decimal_length,
}
"""How long the first value is of bytes that begin with one."""
