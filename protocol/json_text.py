"""JSON where a wrong answer would be held against somebody: where memory ends, `MemoryError` and nothing else.

orjson calls it a text that is no JSON, or a string that is not Unicode. A contract can fill its process up to the last
byte; taken at its word, orjson would give the call an outcome that the other party, whose bounds are wider, does not
find. And a party whose machine is full would take what another one signed for malformed.
"""

from typing import Any, Final

import orjson

NO_MEMORY: Final = ("Not enough memory", "not valid UTF-8")
"""What orjson says where there is none: of any text, and of a string in Python's hands, if it is Unicode."""


def read_json(text: bytes | bytearray | str) -> Any:  # JSON
    """Read a text.

    Raises:
        ValueError: it is no JSON, or holds an integer that not even a float can.
        MemoryError: there is none left.
    """
    data = text.encode() if isinstance(text, str) else text  # orjson says of this, too, that it is no Unicode
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if NO_MEMORY[0] in error.msg:
            raise MemoryError from None
        raise


def write_json(value: object, option: int = 0) -> bytes:
    """Write a value whose strings are Unicode, as the engine's are and all that was read.

    Args:
        option: of orjson.

    Raises:
        TypeError: it is none of JSON's.
        MemoryError: there is none left.
    """
    try:
        return orjson.dumps(value, option=option)
    except TypeError as error:
        if NO_MEMORY[1] in str(error):
            raise MemoryError from None
        raise
