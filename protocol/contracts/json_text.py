"""JSON in the process that executes contracts: where memory ends, `MemoryError` and nothing else.

A contract can fill its process up to the last byte, and it is chance which step then finds none left. orjson calls
this a text that is no JSON, or a string that is not Unicode. Taken at its word it would give the call an outcome that
the other party, whose bounds are wider, does not find.
"""

from typing import Any

import orjson


def read_json(text: bytes | str) -> Any:  # JSON
    """Read a text of which it is known that it is JSON.

    Raises:
        ValueError: an integer that not even a float can hold.
        MemoryError: there is none left.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "memory" in error.msg:
            raise MemoryError from None
        raise


def write_json(value: object, option: int = 0) -> bytes:
    """Write a value; its strings are Unicode, as the engine's all are.

    Args:
        option: of orjson.

    Raises:
        TypeError: it is none of JSON's.
        MemoryError: there is none left.
    """
    try:
        return orjson.dumps(value, option=option)
    except TypeError as error:
        if "UTF-8" in str(error):
            raise MemoryError from None
        raise
