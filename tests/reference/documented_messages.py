"""Messages as docs/schemas.md lists them, read after docs/wire-formats.md, section 1: strictly, slowly, and without a
look at our schemas or codecs. What these pages do not say is not known here.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).parents[2] / "docs"
_SECTION = re.compile(r"^## (\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)


class NotOfThisFormError(Exception):
    """The bytes are no such message in its one form."""


class Reader:
    """Reads the types of the page from bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._data):
            raise NotOfThisFormError

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if not 0 <= count <= len(self._data) - self._at:
            raise NotOfThisFormError
        self._at += count
        return self._data[self._at - count : self._at]

    def long(self) -> int:
        """A varint of seven bits a byte, the lowest first, whose lowest bit is the sign; as short as can be."""
        number, shift = 0, 0
        while True:
            (byte,) = self.take(1)
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if (byte == 0 and shift > 7) or number >> 64:
            raise NotOfThisFormError
        return number >> 1 if number % 2 == 0 else -(number >> 1) - 1

    def value(self, kind: str) -> Any:
        """A value of a type as the page writes it."""
        if kind.startswith("array of "):
            return list(self._items(kind.removeprefix("array of ")))
        if kind.startswith("null or "):
            return self.value(kind.removeprefix("null or ")) if self._choice(2) else None
        match kind:
            case "long":
                return self.long()
            case "bytes":
                return self.take(self.long())
            case "string":
                return self._text()
            case "boolean":
                return bool(self.take(1)[0]) if self._data[self._at : self._at + 1] in (b"\0", b"\1") else self._fail()
        if kind in SIZES:
            return self.take(SIZES[kind])
        if kind in CHOICES:
            return CHOICES[kind][self._choice(len(CHOICES[kind]))]
        return {name: self.value(inner) for name, inner in RECORDS[kind]}

    def _items(self, kind: str) -> Iterator[Any]:
        count = self.long()
        if count < 0:
            raise NotOfThisFormError
        for _ in range(count):
            yield self.value(kind)
        if count and self.long() != 0:
            raise NotOfThisFormError

    def _choice(self, count: int) -> int:
        number = self.long()
        return number if 0 <= number < count else self._fail()

    def _text(self) -> str:
        try:
            return self.take(self.long()).decode()
        except UnicodeDecodeError:
            raise NotOfThisFormError from None

    def _fail(self) -> Any:
        raise NotOfThisFormError


SIZES: dict[str, int] = {}
CHOICES: dict[str, list[str]] = {}
RECORDS: dict[str, list[tuple[str, str]]] = {}
SCHEMA_HASHES: dict[str, bytes] = {}


def _declare(text: str) -> str:
    """Note what a type declares; give its name, or the type that needs none."""
    for prefix in ("array of ", "null or "):
        if text.startswith(prefix):
            return prefix + _declare(text.removeprefix(prefix))
    if sized := re.fullmatch(r"(\w+): (\d+) bytes", text):
        SIZES[sized[1]] = int(sized[2])
        return sized[1]
    if chosen := re.fullmatch(r"(\w+): (\w+(?:, \w+)+)", text):
        CHOICES[chosen[1]] = chosen[2].split(", ")
        return chosen[1]
    if record := re.fullmatch(r"(\w+) \((.+)\)", text):
        RECORDS[record[1]] = [_field(field) for field in _fields(record[2])]
        return record[1]
    return text


def _field(text: str) -> tuple[str, str]:
    name, _, kind = text.partition(" ")
    return name, _declare(kind)


def _fields(text: str) -> Iterator[str]:
    """Fields between commas that are in no brackets; a word alone is one more choice of the field before it."""
    found = [part.strip() for part in re.split(r",(?![^(]*\))", text)]
    while found:
        field = found.pop(0)
        while found and " " not in found[0]:
            field += ", " + found.pop(0)
        yield field


def _read_page() -> None:
    for name, text in _SECTION.findall((_DOCS / "schemas.md").read_text()):
        if found := re.search(r"SHA-256 `(\w{64})`", text):
            SCHEMA_HASHES[name] = bytes.fromhex(found[1])
            RECORDS[name] = [(field, _declare(kind)) for field, kind in _ROW.findall(text)]


def limits_of_the_page() -> frozenset[str]:
    """The names in docs/limits.md."""
    return frozenset(re.findall(r"^\| `(\w+)` \| [\d,]+ \|", (_DOCS / "limits.md").read_text(), re.MULTILINE))


def bounds_of_the_page() -> list[tuple[str, str]]:
    """Which of them is at most which, as docs/limits.md says."""
    return re.findall(r"^- `(\w+)` is at most `(\w+)`$", (_DOCS / "limits.md").read_text(), re.MULTILINE)


def read(name: str, data: bytes) -> dict[str, Any]:
    """The fields of a message.

    Raises:
        NotOfThisFormError: the bytes are none.
    """
    reader = Reader(data)
    message: dict[str, Any] = reader.value(name)
    reader.end()
    return message


_read_page()
