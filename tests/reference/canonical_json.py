"""Canonical JSON, read byte by byte by a parser that knows no other form (PROTOCOL 1.5). Slow."""

from typing import Any

_SHORT = {ord("b"): "\b", ord("t"): "\t", ord("n"): "\n", ord("f"): "\f", ord("r"): "\r"}


class RefusedError(Exception):
    """The bytes are not canonical JSON."""


def loads(data: bytes) -> Any:
    """The value of canonical bytes."""
    parser = _Parser(data)
    value = parser.value(0)
    if parser.at != len(data):
        raise RefusedError
    return value


class _Parser:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def peek(self) -> bytes:
        return self.data[self.at : self.at + 1]

    def take(self, expected: bytes) -> bool:
        if self.data.startswith(expected, self.at):
            self.at += len(expected)
            return True
        return False

    def need(self, expected: bytes) -> None:
        if not self.take(expected):
            raise RefusedError

    def value(self, depth: int) -> Any:
        for name, value in ((b"null", None), (b"true", True), (b"false", False)):
            if self.take(name):
                return value
        first = self.peek()
        if first == b'"':
            return self.string()
        if first in (b"[", b"{"):
            if depth == 32:
                raise RefusedError
            return self.array(depth + 1) if first == b"[" else self.object(depth + 1)
        return self.integer()

    def integer(self) -> int:
        negative = self.take(b"-")
        start = self.at
        while self.peek() and self.peek() in b"0123456789":
            self.at += 1
        digits = self.data[start : self.at]
        if not digits or len(digits) > 16 or (digits[:1] == b"0" and (len(digits) > 1 or negative)):
            raise RefusedError
        if int(digits) > 9007199254740991:
            raise RefusedError
        return -int(digits) if negative else int(digits)

    def array(self, depth: int) -> list[Any]:
        self.need(b"[")
        items: list[Any] = []
        if self.take(b"]"):
            return items
        while True:
            items.append(self.value(depth))
            if self.take(b"]"):
                return items
            self.need(b",")

    def object(self, depth: int) -> dict[str, Any]:
        self.need(b"{")
        items: dict[str, Any] = {}
        last: list[int] | None = None
        if self.take(b"}"):
            return items
        while True:
            key = self.string()
            points = [ord(character) for character in key]
            if last is not None and points <= last:
                raise RefusedError
            last = points
            self.need(b":")
            items[key] = self.value(depth)
            if self.take(b"}"):
                return items
            self.need(b",")

    def string(self) -> str:
        self.need(b'"')
        text = bytearray()
        while True:
            byte = self.peek()
            if not byte or byte < b" ":
                raise RefusedError
            self.at += 1
            if byte == b'"':
                break
            text += self.escaped() if byte == b"\\" else byte
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError:
            raise RefusedError from None

    def escaped(self) -> bytes:
        byte = self.peek()
        self.at += 1
        if byte in (b'"', b"\\"):
            return byte
        if byte and byte[0] in _SHORT:
            return _SHORT[byte[0]].encode()
        if byte != b"u":
            raise RefusedError
        digits = self.data[self.at : self.at + 4]
        self.at += 4
        for code in range(0x20):
            if digits == b"%04x" % code and chr(code) not in _SHORT.values():
                return bytes((code,))
        raise RefusedError


def dumps(value: Any) -> bytes:
    """The canonical bytes of a value that has them."""
    if value is None:
        return b"null"
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int):
        return str(value).encode()
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return b"[" + b",".join(dumps(item) for item in value) + b"]"
    keys = sorted(value, key=lambda key: [ord(character) for character in key])
    return b"{" + b",".join(_quoted(key) + b":" + dumps(value[key]) for key in keys) + b"}"


def _quoted(text: str) -> bytes:
    short = {character: chr(letter) for letter, character in _SHORT.items()}
    written = ""
    for character in text:
        if character in '"\\':
            written += "\\" + character
        elif character in short:
            written += "\\" + short[character]
        elif ord(character) < 0x20:
            written += f"\\u{ord(character):04x}"
        else:
            written += character
    return ('"' + written + '"').encode("utf-8")
