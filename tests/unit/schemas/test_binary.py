"""Avro's binary encoding by hand: one form of every number, length and array, and every other form refused."""

from collections.abc import Callable

import pytest

from schemas.binary import (
    encode_bytes,
    encode_bytes_array,
    encode_long,
    encode_text,
    end_array,
    read_bytes,
    read_bytes_array,
    read_count,
    read_long,
    read_text,
)
from schemas.errors import MalformedMessageError

LONGS = {
    0: "00",
    -1: "01",
    1: "02",
    63: "7e",
    -64: "7f",
    64: "8001",
    -65: "8101",
    8191: "fe7f",
    8192: "808001",
    16383: "feff01",
    16384: "808002",
    2**63 - 1: "feffffffffffffffff01",
    -(2**63): "ffffffffffffffffff01",
}


def refused(read: Callable[[bytes, int], object], data: bytes, at: int = 0) -> None:
    """Require that there is nothing to read here."""
    with pytest.raises((MalformedMessageError, IndexError)):
        read(data, at)


# --- Longs ---


@pytest.mark.parametrize(("number", "encoded"), LONGS.items())
def test_longs(number: int, encoded: str) -> None:
    """Zigzag and groups of seven bits, as Avro 1.12 says; read from any place, up to its end."""
    data = bytes.fromhex(encoded)
    assert encode_long(number) == data
    assert read_long(b"\xff" + data + b"\xff", 1) == (number, 1 + len(data))
    for size in range(len(data)):
        with pytest.raises(IndexError):
            read_long(data[:size], 0)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**40, -(10**40)])
def test_longs_beyond_64_bits(number: int) -> None:
    """They have no bytes."""
    with pytest.raises(ValueError, match="64 bits"):
        encode_long(number)


@pytest.mark.parametrize(
    "encoded",
    [
        "8000",
        "818000",
        "ff8000",
        "80808080808080808000",
        "80808080808080808002",
        "ffffffffffffffffff03",
        "80" * 30 + "01",
    ],
)
def test_longs_in_another_form(encoded: str) -> None:
    """Longer than needed, or of more than 64 bits."""
    with pytest.raises(MalformedMessageError, match="one form"):
        read_long(bytes.fromhex(encoded), 0)


# --- Bytes and text ---


@pytest.mark.parametrize("size", [0, 1, 63, 64, 8191, 8192, 16384])
def test_bytes_and_text(size: int) -> None:
    """With their length before them; read from any place, and not a byte further."""
    data = b"x" * size
    encoded = encode_long(size) + data
    assert encode_bytes(data) == encode_text("x" * size) == encoded
    for before, behind in ((b"", b""), (b"\xff\xff", b"\xff"), (b"", bytes(40))):
        at, end = len(before), len(before) + len(encoded)
        assert read_bytes(before + encoded + behind, at) == (data, end)
        assert read_text(before + encoded + behind, at) == ("x" * size, end)
    for short in {*range(min(3, len(encoded))), len(encoded) - 1}:
        refused(read_bytes, encoded[:short])
        refused(read_text, encoded[:short])


@pytest.mark.parametrize("length", [-1, -64, -65, -(2**63), 3, 63, 64, 2**62, 2**63 - 1])
@pytest.mark.parametrize("read", [read_bytes, read_text])
def test_lengths_that_lead_nowhere(read: Callable[[bytes, int], object], length: int) -> None:
    """Negative ones, and those that go beyond the end, by one or by more than all memory."""
    with pytest.raises(MalformedMessageError):
        read(encode_long(length) + b"xx", 0)


def test_a_length_in_another_form() -> None:
    """One byte would do."""
    for read in (read_bytes, read_text):
        with pytest.raises(MalformedMessageError):
            read(b"\x84\x00xx", 0)


@pytest.mark.parametrize("raw", [b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
def test_text_that_is_none(raw: bytes) -> None:
    """Cut short, overlong, a lone surrogate, beyond Unicode; also behind a long length."""
    for data in (raw, b"x" * 64 + raw):
        with pytest.raises(UnicodeDecodeError):
            read_text(encode_bytes(data), 0)


def test_text_is_utf_8() -> None:
    """Lengths count bytes, not characters."""
    assert encode_text("é😀") == b"\x0c" + "é😀".encode()
    assert read_text(encode_text("é" * 64), 0) == ("é" * 64, 130)


# --- Arrays ---


def test_the_count_of_an_array() -> None:
    """No more items than there are bytes left, since each takes one; a negative count is Avro's other form."""
    for count in (0, 1, 5):
        assert read_count(b"\xff" + encode_long(count) + bytes(5), 1) == (count, 2)
    for count in (6, 7, -1, -5, 2**62, 2**63 - 1, -(2**63)):
        with pytest.raises(MalformedMessageError):
            read_count(b"\xff" + encode_long(count) + bytes(5), 1)
    with pytest.raises(IndexError):
        read_count(b"", 0)


def test_the_end_of_an_array() -> None:
    """A zero behind items; an empty array's count was its end."""
    assert end_array(b"\x07", 0, 0) == 0
    assert end_array(b"\x07\x00\x07", 1, 3) == 2
    for further in (1, 2, 3, 0x80):
        with pytest.raises(MalformedMessageError):
            end_array(bytes((further, 0)), 0, 1)
    with pytest.raises(IndexError):
        end_array(b"\x00", 1, 1)


ITEMS: tuple[tuple[bytes, ...], ...] = (
    (),
    (b"",),
    (b"", b""),
    (b"a", b"", b"bc"),
    (b"x" * 63, b"x" * 64, b"x" * 8191, b"x" * 8192, b"x" * 16384, b"x"),
    (b"x",) * 70,
)


@pytest.mark.parametrize("items", ITEMS, ids=len)
def test_arrays_of_bytes(items: tuple[bytes, ...]) -> None:
    """Count, each item behind its length, and a zero; lengths of one, two and three bytes."""
    encoded = encode_bytes_array(items)
    expected = b"".join(encode_bytes(item) for item in items)
    assert encoded == (encode_long(len(items)) + expected + b"\0" if items else b"\0")
    assert read_bytes_array(b"\xff" + encoded + b"\xff", 1) == (items, 1 + len(encoded))
    for short in {*range(min(6, len(encoded))), len(encoded) - 1}:
        refused(read_bytes_array, encoded[:short])


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x02\x01\x00",  # an item of length -1
        b"\x02\x83\x01\x00" + bytes(80),  # of length -66
        b"\x02\x81\x80\x01\x00" + bytes(80),  # a negative one of three bytes
        b"\x02" + encode_long(-(2**63)) + bytes(80),
        b"\x02\x80\x00\x00",  # a length of none in two bytes
        b"\x02\x82\x00x\x00",  # of one
        b"\x02\x82\x80\x00x\x00",  # of one in three bytes
        b"\x01\x02\x00\x00",  # a block with its size before it
        b"\x02\x02a\x02\x02b\x00",  # two blocks
        b"\x02\x02a\x01\x04\x02b\x00",  # the second with its size before it
        b"\x80\x00",  # none, in two bytes
        b"\x02\x02a",  # without an end
        b"\x04\x02a\x00",  # an item too few
        b"\x02" + encode_long(-8193) + bytes(9000),
        b"\x02" + encode_long(-8194) + bytes(9000),
        b"\x02" + encode_long(2**62) + bytes(80),
        b"\x02" + encode_long(2**63 - 1) + bytes(80),
        b"\x02" + encode_long(200) + bytes(80),
        encode_long(2**62) + bytes(80),
    ],
    ids=lambda encoded: encoded[:6].hex(),
)
def test_arrays_in_another_form(encoded: bytes) -> None:
    """Negative and overlong lengths, several blocks, counts and lengths beyond the end."""
    refused(read_bytes_array, encoded)
