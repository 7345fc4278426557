"""Canonical JSON: the one form of bytes of a value, checked byte for byte (PROTOCOL 1.5).

Rules:

1. UTF-8 without BOM, no white space, one value.
2. Null, booleans, integers with |x| <= 2^53 - 1, strings, arrays, objects. No floats, no `-0`.
3. Keys without duplicates, sorted by code point, which is the order of their UTF-8 bytes (and not of
   UTF-16).
4. Strings of Unicode scalar values. Escaped are the quotation mark, the backslash and what lies below
   U+0020: as backslash and b, t, n, f or r where that exists, else as backslash, u and four lower-case hex
   digits.
5. At most `DEPTH_MAX` arrays and objects inside one another.

How bytes are checked: orjson reads them, whatever it lets pass; what it read is written in the one form,
and the bytes must be equal. That alone settles white space, order, duplicates, escapes, `-0` and great
integers. What is left are floats and depth. In a float a digit is followed by a point or an exponent, and
depth needs as many brackets: only where the bytes show that, perhaps inside a string, is the value walked. Most texts
need none of it: that they are canonical shows in one walk over their bytes (`is_surely_canonical`).
"""

import re
from typing import Final, TypeAlias, Union

import orjson

from protocol.errors import CountersignError
from protocol.json_text import read_json, write_json
from protocol.native import NATIVE

Value: TypeAlias = Union[bool, int, str, list["Value"], dict[str, "Value"], None]  # noqa: UP007  # is recursive
"""A value that canonical JSON can hold."""

INTEGER_MAX: Final = 2**53 - 1
"""The greatest integer; the least is its negative."""

DEPTH_MAX: Final = 32
"""How many arrays and objects may stand inside one another."""

ONE_FORM: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
"""orjson's options for the one form."""

_native: Final = None if NATIVE is None else NATIVE.is_canonical
_may_be_float: Final = re.compile(rb"[0-9][.eE]").search


class NotCanonicalError(CountersignError):
    """Bytes that are not canonical JSON, or a value that it cannot hold."""

    def __init__(self, detail: str) -> None:
        super().__init__("argument.not_canonical", detail)


def is_surely_canonical(text: str | bytes) -> bool:
    """Whether `loads` takes a text; False where that is for `loads` to say."""
    return _native is not None and _native(text)


def check(data: bytes) -> None:
    """Require bytes of canonical JSON, see `loads`."""
    if not is_surely_canonical(data):
        loads(data)


def loads(data: bytes) -> Value:
    """Read bytes of canonical JSON. The caller bounds their length.

    Raises:
        NotCanonicalError: they are not the one form of a value.
        MemoryError: there is none left to tell.
    """
    try:
        value: Value = read_json(data)
        again = write_json(value, ONE_FORM)
    except (ValueError, TypeError, RecursionError) as error:  # orjson's errors are the first two
        raise NotCanonicalError(str(error)) from error
    if again != data:
        raise NotCanonicalError("not the one form of its value")
    check_written(value, data)
    return value


def dumps(value: object) -> bytes:
    """Write a value in its one form.

    Raises:
        NotCanonicalError: another type, a great integer, a lone surrogate or deep nesting.
    """
    _check(value, DEPTH_MAX)
    try:
        return orjson.dumps(value, option=ONE_FORM)
    except TypeError as error:
        raise NotCanonicalError(str(error)) from error


def check_written(value: object, data: bytes) -> None:
    """Require of a value that orjson has written in the one form what it lets pass: no floats, no deep nesting.

    Args:
        data: what was written; most values need not be walked, for nothing in it looks like either.

    Raises:
        NotCanonicalError: there is one.
    """
    if _may_be_float(data) or data.count(b"[") + data.count(b"{") > DEPTH_MAX:
        _check(value, DEPTH_MAX)


def _check(value: object, depth: int) -> None:
    """Require types, integers and depth of canonical JSON. Strings are left to the encoder."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if not -INTEGER_MAX <= value <= INTEGER_MAX:  # type: ignore[operator]  # mypy does not narrow by `kind`
            raise NotCanonicalError("an integer beyond 2^53 - 1")
        return
    if kind is not dict and kind is not list:
        raise NotCanonicalError(f"a value of type {kind.__name__}")
    if depth == 0:
        raise NotCanonicalError(f"nested deeper than {DEPTH_MAX}")
    if kind is list:
        for item in value:  # type: ignore[attr-defined]
            _check(item, depth - 1)
        return
    for key, item in value.items():  # type: ignore[attr-defined]
        if type(key) is not str:
            raise NotCanonicalError(f"a key of type {type(key).__name__}")
        _check(item, depth - 1)
