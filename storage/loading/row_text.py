r"""Column values as texts, for CSV, and as JSON values, for JSON lines; and back, to the last bit.

| type | CSV | JSON |
|---|---|---|
| boolean | `true`, `false` | boolean |
| int, bigint, float, double | a number | number |
| text | itself; one that begins with a backslash has another in front | string |
| blob | base64 | string, base64 |
| decimal | a number | string |
| date, time, timestamp, timestamptz | ISO 8601 | string |
| null | `\N` | null |
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from storage.model.data_types import DataType, Value, check_value
from storage.model.errors import InvalidOperationError

NULL = "\\N"

_BOOLEANS = {"true": True, "false": False}
_NUMBER_MAX = 400
"""Characters of a number; the longest double that Python writes has fewer than 30."""


def value_text(value: Value | None) -> str:
    """A value for CSV."""
    match value:
        case None:
            return NULL
        case str():
            return f"\\{value}" if value.startswith("\\") else value
        case bool():
            return "true" if value else "false"
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case _:
            return repr(value)


def text_value(data_type: DataType, text: str) -> Value | None:
    """The value of a CSV field.

    Raises:
        InvalidOperationError: `value.wrong_type`, `value.out_of_range`.
    """
    if text == NULL:
        return None
    if data_type is DataType.TEXT:
        if text.startswith("\\"):
            if not text.startswith("\\\\"):
                raise InvalidOperationError("value.wrong_type", "a text that begins with a backslash needs another")
            text = text[1:]
        return check_value(data_type, text)
    return check_value(data_type, _read(data_type, text))


def json_value(value: Value | None) -> Any:
    """A value for JSON."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case _:
            return value_text(value)


def from_json(data_type: DataType, plain: Any) -> Value | None:
    """The value of a JSON value.

    Raises:
        InvalidOperationError: `value.wrong_type`, `value.out_of_range`.
    """
    if plain is None:
        return None
    if data_type in (DataType.FLOAT, DataType.DOUBLE) and type(plain) is int:
        return check_value(data_type, _read(data_type, str(plain)))
    if isinstance(plain, str) and data_type in _OF_TEXT:
        return check_value(data_type, _read(data_type, plain))
    return check_value(data_type, plain)


def _boolean(text: str) -> bool:
    return _BOOLEANS[text]


def _blob(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_READERS: Mapping[DataType, Callable[[str], Any]] = {
    DataType.BOOLEAN: _boolean,
    DataType.INT: int,
    DataType.BIGINT: int,
    DataType.FLOAT: float,
    DataType.DOUBLE: float,
    DataType.BLOB: _blob,
    DataType.DATE: date.fromisoformat,
    DataType.TIME: time.fromisoformat,
    DataType.TIMESTAMP: datetime.fromisoformat,
    DataType.TIMESTAMPTZ: datetime.fromisoformat,
    DataType.DECIMAL: Decimal,
}

_OF_TEXT = frozenset(_READERS) - {
    DataType.BOOLEAN,
    DataType.INT,
    DataType.BIGINT,
    DataType.FLOAT,
    DataType.DOUBLE,
}
"""Types that JSON has no value of its own for."""


def _read(data_type: DataType, text: str) -> Any:
    try:
        if data_type is not DataType.BLOB and (len(text) > _NUMBER_MAX or not text.isascii() or "_" in text):
            raise ValueError("too long, or digits that only Python takes for some")
        return _READERS[data_type](text)
    except (KeyError, ValueError, OverflowError, InvalidOperation, binascii.Error) as error:
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise InvalidOperationError("value.wrong_type", f"{shown!r} is no {data_type}") from error
