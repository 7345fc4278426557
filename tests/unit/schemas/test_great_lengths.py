"""Lengths and counts greater than any place in bytes: one named error, whether the reader is compiled or not."""

from collections.abc import Callable

import pytest

from schemas.binary import encode_long, read_bytes_array
from schemas.errors import MalformedMessageError
from schemas.request_values import read_body, read_envelope
from schemas.slices import slice_argument, slice_outcome

HASH = bytes(32)

# What stands before the first length of each, and the reader.
READERS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "array": (b"\x02", lambda data: read_bytes_array(data, 0)),
    "body": (b"\x02" + HASH, read_body),
    "envelope": (b"", read_envelope),
    "outcome": (b"\0" + HASH, slice_outcome),
    "argument": (b"\0\x02\x02\x02" + HASH, slice_argument),
}


@pytest.mark.parametrize("power", [30, 61, 62, 63])
@pytest.mark.parametrize("reader", READERS)
def test_a_length_beyond_all_bytes(reader: str, power: int) -> None:
    """It neither wraps around nor is another error than a short length that goes beyond the end."""
    before, read = READERS[reader]
    with pytest.raises(MalformedMessageError):
        read(before + encode_long(2**power - 1) + bytes(200))
