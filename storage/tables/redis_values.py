"""Values as they lie in Redis: bytes that compare as the values do, so that the scripts can compare them.

They are the forms of `storage.model.key_encoding`, but text and blob as they are: nothing follows them here.
"""

from collections.abc import Callable, Mapping
from typing import Any

from storage.model.data_types import DataType, Value
from storage.model.key_encoding import DECODERS, ENCODERS

STORED: Mapping[DataType, Callable[[Any], bytes]] = {
    **ENCODERS,
    DataType.TEXT: str.encode,
    DataType.BLOB: bytes,
}
"""A value's bytes."""

LOADED: Mapping[DataType, Callable[[bytes], Value]] = {
    **DECODERS,
    DataType.TEXT: bytes.decode,
    DataType.BLOB: bytes,
}
"""The value of these bytes."""


def index_prefix(stored: bytes) -> bytes:
    """What the entries of a stored value in an index begin with; the row's encoded key follows."""
    return len(stored).to_bytes(4, "big") + stored
