"""The types of columns, and which Python values they take.

Rules:

1. Types are not converted: an `int` is no value of a DOUBLE column, a `bool` none of an INT one.
2. A column takes only what every store can hold and give back equal, so some values are refused (NaN, NUL in a
   text, more than 38 digits) and some have one form: a FLOAT is rounded to 32 bits, negative zero is zero, a
   TIMESTAMPTZ is in UTC, a DECIMAL has no trailing zeros behind the point and no exponent.
3. Values of a type are ordered as Python orders them, texts by code point. A null is no value: it is `None`, and
   only columns outside the key can be null.
"""

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from math import isfinite

from storage.model.errors import InvalidOperationError

Value = bool | int | float | str | bytes | date | time | datetime | Decimal
"""A value of a column that is not null."""

VALUE_BYTES_MAX = 16 * 2**20
"""Longest text or blob, in bytes."""

DECIMAL_DIGITS_MAX = 38
DECIMAL_EXPONENT_MAX = 60
"""Decimals are zero, or have a first digit worth 10**-60 to 10**60."""


class DataType(StrEnum):
    """The type of a column, by its name in a schema file."""

    BOOLEAN = "boolean"
    INT = "int"
    BIGINT = "bigint"
    FLOAT = "float"
    DOUBLE = "double"
    TEXT = "text"
    BLOB = "blob"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    DECIMAL = "decimal"


PYTHON_TYPES: Mapping[DataType, type] = {
    DataType.BOOLEAN: bool,
    DataType.INT: int,
    DataType.BIGINT: int,
    DataType.FLOAT: float,
    DataType.DOUBLE: float,
    DataType.TEXT: str,
    DataType.BLOB: bytes,
    DataType.DATE: date,
    DataType.TIME: time,
    DataType.TIMESTAMP: datetime,
    DataType.TIMESTAMPTZ: datetime,
    DataType.DECIMAL: Decimal,
}
"""The one Python type of each column type; subclasses are not taken."""


def check_value(data_type: DataType, value: object) -> Value:
    """Return the one form in which a column of this type holds the value.

    Raises:
        InvalidOperationError: `value.wrong_type` or `value.out_of_range`.
    """
    if type(value) is not PYTHON_TYPES[data_type]:
        raise InvalidOperationError("value.wrong_type", f"{type(value).__name__} is no {data_type}")
    return CHECKS[data_type](value)


def _out_of_range(data_type: DataType, why: str) -> InvalidOperationError:
    return InvalidOperationError("value.out_of_range", f"{data_type}: {why}")


def _boolean(value: bool) -> bool:
    return value


def _int(value: int) -> int:
    if -(2**31) <= value < 2**31:
        return value
    raise _out_of_range(DataType.INT, "beyond 32 bits")


def _bigint(value: int) -> int:
    if -(2**63) <= value < 2**63:
        return value
    raise _out_of_range(DataType.BIGINT, "beyond 64 bits")


def _float(value: float) -> float:
    if not isfinite(value):
        raise _out_of_range(DataType.FLOAT, "not finite")
    try:
        rounded: float = struct.unpack(">f", struct.pack(">f", value))[0]
    except OverflowError as error:
        raise _out_of_range(DataType.FLOAT, "beyond 32 bits") from error
    return rounded or 0.0  # -0.0 is zero


def _double(value: float) -> float:
    if not isfinite(value):
        raise _out_of_range(DataType.DOUBLE, "not finite")
    return value or 0.0


def _text(value: str) -> str:
    if "\0" in value:
        raise _out_of_range(DataType.TEXT, "holds NUL")
    if value.isascii():
        length = len(value)
    else:
        try:
            length = len(value.encode())
        except UnicodeEncodeError as error:
            raise _out_of_range(DataType.TEXT, "holds half a surrogate pair") from error
    if length > VALUE_BYTES_MAX:
        raise _out_of_range(DataType.TEXT, f"{length} bytes, at most {VALUE_BYTES_MAX}")
    return value


def _blob(value: bytes) -> bytes:
    if len(value) > VALUE_BYTES_MAX:
        raise _out_of_range(DataType.BLOB, f"{len(value)} bytes, at most {VALUE_BYTES_MAX}")
    return value


def _date(value: date) -> date:
    return value


def _time(value: time) -> time:
    if value.tzinfo is not None:
        raise _out_of_range(DataType.TIME, "has a time zone")
    return value.replace(fold=0) if value.fold else value


def _timestamp(value: datetime) -> datetime:
    if value.tzinfo is not None:
        raise _out_of_range(DataType.TIMESTAMP, "has a time zone")
    return value.replace(fold=0) if value.fold else value


def _timestamptz(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value.replace(fold=0) if value.fold else value
    if value.utcoffset() is None:
        raise _out_of_range(DataType.TIMESTAMPTZ, "has no time zone")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise _out_of_range(DataType.TIMESTAMPTZ, "beyond the years 1 to 9999 in UTC") from error


def _decimal(value: Decimal) -> Decimal:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise _out_of_range(DataType.DECIMAL, "not finite")
    significant = "".join(map(str, digits)).strip("0")
    if not significant:
        return Decimal(0)
    if len(significant) > DECIMAL_DIGITS_MAX:
        raise _out_of_range(DataType.DECIMAL, f"{len(significant)} digits, at most {DECIMAL_DIGITS_MAX}")
    if abs(value.adjusted()) > DECIMAL_EXPONENT_MAX:
        raise _out_of_range(DataType.DECIMAL, f"first digit beyond 10**{DECIMAL_EXPONENT_MAX}")
    lowest = value.adjusted() - len(significant) + 1  # power of the last digit that is not zero
    padding = (0,) * max(lowest, 0)
    return Decimal((sign, (*map(int, significant), *padding), min(lowest, 0)))


CHECKS: Mapping[DataType, Callable[..., Value]] = {
    DataType.BOOLEAN: _boolean,
    DataType.INT: _int,
    DataType.BIGINT: _bigint,
    DataType.FLOAT: _float,
    DataType.DOUBLE: _double,
    DataType.TEXT: _text,
    DataType.BLOB: _blob,
    DataType.DATE: _date,
    DataType.TIME: _time,
    DataType.TIMESTAMP: _timestamp,
    DataType.TIMESTAMPTZ: _timestamptz,
    DataType.DECIMAL: _decimal,
}
"""What remains to be checked of a value that has its column's Python type."""
