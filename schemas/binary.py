"""Avro's binary encoding by hand, for the few messages that are made and read once per request.

fastavro stays the reference: every function here has a property test beside it. What is gained is speed, and a reader
that accepts only the one form by itself, where fastavro's has to be checked by encoding again.

Avro 1.12, "Binary encoding": a long is a zigzag varint, least significant group first; text and bytes have their length
before them; an array is blocks of a count and its items, then a zero; an enum is its symbol's place.

The one form: no varint is longer than needed or exceeds 64 bits, and an array with items is one block.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from schemas.errors import MalformedMessageError

_SMALL: Final = 1 << 14
_CONTINUED: Final = 0x80
_GROUP: Final = 0x7F
_LONG_BITS: Final = 64
_END: Final = b"\0"


def _varint(number: int) -> bytes:
    zigzag = number << 1 if number >= 0 else (-number << 1) - 1
    if zigzag >> _LONG_BITS:
        raise ValueError("a number beyond 64 bits")
    encoded = bytearray()
    while zigzag > _GROUP:
        encoded.append(zigzag & _GROUP | _CONTINUED)
        zigzag >>= 7
    encoded.append(zigzag)
    return bytes(encoded)


_LONGS: Final = tuple(_varint(number) for number in range(_SMALL))


def encode_long(number: int) -> bytes:
    """A long.

    Raises:
        ValueError: it is beyond 64 bits.
    """
    return _LONGS[number] if 0 <= number < _SMALL else _varint(number)


def encode_bytes(data: bytes) -> bytes:
    """Bytes, with their length before them."""
    return encode_long(len(data)) + data


def encode_text(text: str) -> bytes:
    """A string."""
    data = text.encode()
    return encode_long(len(data)) + data


def encode_bytes_array(items: Sequence[bytes]) -> bytes:
    """An array of bytes."""
    if not items:
        return _END
    sizes = map(len, items)
    heads = [_LONGS[size] if size < _SMALL else _varint(size) for size in sizes]
    pairs = zip(heads, items, strict=True)
    return b"".join((encode_long(len(items)), *chain.from_iterable(pairs), _END))


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """A long at a place, and the place behind it.

    Raises:
        MalformedMessageError: it is longer than needed, or too great.
        IndexError: the bytes end within it.
    """
    byte = data[at]
    at += 1
    if byte < _CONTINUED:
        return (byte >> 1) ^ -(byte & 1), at
    value = byte & _GROUP
    shift = 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & _GROUP) << shift
        if byte < _CONTINUED:
            break
        shift += 7
    if byte == 0 or value >> _LONG_BITS:
        raise MalformedMessageError("a number that is not in its one form")
    return (value >> 1) ^ -(value & 1), at


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes at a place, and the place behind them.

    Raises:
        MalformedMessageError: their length is negative, or goes beyond the end.
        IndexError: the bytes end within the length.
    """
    size = data[at]
    if size < _CONTINUED and not size & 1:  # nearly always
        at += 1
        end = at + (size >> 1)
    else:
        size, at = read_long(data, at)
        end = at + size
    if size < 0 or end > len(data):
        raise MalformedMessageError("a length that goes beyond the end")
    return data[at:end], end


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """A string at a place, and the place behind it.

    Raises:
        MalformedMessageError: as `read_bytes`.
        UnicodeDecodeError: it is not UTF-8.
        IndexError: the bytes end within the length.
    """
    size = data[at]
    end = at + 1 + (size >> 1)
    if size < _CONTINUED and not size & 1 and end <= len(data):  # nearly always, and several times in each request
        return data[at + 1 : end].decode(), end
    raw, end = read_bytes(data, at)
    return raw.decode(), end


def read_count(data: bytes, at: int) -> tuple[int, int]:
    """How many items an array has at a place, and the place of the first; a zero stands behind the last.

    Raises:
        MalformedMessageError: the count is negative (Avro's other form), or greater than the bytes that are left.
        IndexError: the bytes end within it.
    """
    count, at = read_long(data, at)
    if not 0 <= count <= len(data) - at:
        raise MalformedMessageError("an array that is not in its one form")
    return count, at


def end_array(data: bytes, at: int, count: int) -> int:
    """The place behind an array whose items end here: an array with items has a zero there.

    Raises:
        MalformedMessageError: a further block follows.
        IndexError: the bytes end here.
    """
    if not count:
        return at
    if data[at]:
        raise MalformedMessageError("an array in more than one block")
    return at + 1


def read_bytes_array(data: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """An array of bytes at a place, and the place behind it.

    Lengths of one and two bytes are read here and not by `read_long`: a batch has thousands of them.

    Raises:
        MalformedMessageError: it is not in its one form, or goes beyond the end.
        IndexError: the bytes end within it.
    """
    count, at = read_count(data, at)
    items: list[bytes] = []
    for _ in range(count):
        size = data[at]
        at += 1
        if size >= _CONTINUED:
            high = data[at]
            if 0 < high < _CONTINUED:
                size += (high - 1) << 7
                at += 1
            else:
                size, at = read_long(data, at - 1)
                if size > len(data):
                    raise MalformedMessageError("a length that goes beyond the end")
                size <<= 1
        if size & 1 or size < 0:
            raise MalformedMessageError("a length that is negative")
        end = at + (size >> 1)
        items.append(data[at:end])
        at = end
    return tuple(items), end_array(data, at, count)
