"""Values as they lie in Redis: bytes that compare as the values do, so that the scripts can compare them.

They are the forms of `storage.model.key_encoding`, but text and blob as they are: nothing follows them here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from storage.model.data_types import CHECKS, PYTHON_TYPES, DataType, Value, check_value
from storage.model.key_encoding import DECODERS, ENCODERS, encode_key
from storage.model.schema import KeyColumn, Order
from storage.tables.redis_commands import END, bulk

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


ONE_FORM_TYPES = frozenset(
    (DataType.BOOLEAN, DataType.INT, DataType.BIGINT, DataType.TEXT, DataType.BLOB, DataType.DATE)
)
"""Types of which no value has another form than its own."""

INTEGER_BYTES: Mapping[DataType, int] = {DataType.INT: 4, DataType.BIGINT: 8}


class StoredColumn(NamedTuple):
    """A column outside the key: how it lies in a row.

    Attributes:
        field: its field.
        packed_field: the same as an argument of a command.
        stored: the bytes of a value in its one form.
        pack: checks a value, and gives the field and the value as two arguments; raises as `check_value`.
        is_indexed: whether there is an index on it.
    """

    field: bytes
    packed_field: bytes
    stored: Callable[[Any], bytes]
    pack: Callable[[Value | None], bytes]
    is_indexed: bool


def stored_column(field: bytes, data_type: DataType, is_indexed: bool) -> StoredColumn:
    """A column of this type."""
    packed_field = bulk(field)
    stored = STORED[data_type]
    return StoredColumn(field, packed_field, stored, _packer(packed_field, data_type), is_indexed)


def _packer(packed_field: bytes, data_type: DataType) -> Callable[[Value | None], bytes]:
    kind, check, stored = PYTHON_TYPES[data_type], CHECKS[data_type], STORED[data_type]
    if data_type in INTEGER_BYTES:
        return _integer_packer(packed_field, data_type)

    def pack(value: Value | None) -> bytes:
        if type(value) is not kind:
            check_value(data_type, value)
        content = stored(check(value))
        return b"%b$%d\r\n%b\r\n" % (packed_field, len(content), content)

    return pack


def _integer_packer(packed_field: bytes, data_type: DataType) -> Callable[[Value | None], bytes]:
    """As `_packer`, in one step: these are in most rows, and in all hidden columns of transactions."""
    size = INTEGER_BYTES[data_type]
    head, offset = b"%b$%d\r\n" % (packed_field, size), 1 << (8 * size - 1)

    def pack(value: Value | None) -> bytes:
        if type(value) is int:
            try:
                return head + (value + offset).to_bytes(size, "big") + END
            except OverflowError:
                pass
        check_value(data_type, value)
        raise AssertionError(f"{data_type} takes {value!r}")

    return pack


def key_packer(columns: Sequence[KeyColumn]) -> Callable[[Sequence[Value]], bytes]:
    """What checks as many values of a key as there are columns, and encodes them; raises as `check_value`."""
    if len(columns) != 1 or columns[0].order is not Order.ASC:
        types = [column.data_type for column in columns]
        return lambda values: encode_key(columns, map(check_value, types, values))
    data_type = columns[0].data_type
    kind, check, encode = PYTHON_TYPES[data_type], CHECKS[data_type], ENCODERS[data_type]

    def encode_only(values: Sequence[Value]) -> bytes:
        [value] = values
        if type(value) is not kind:
            check_value(data_type, value)
        return encode(check(value))

    return encode_only
