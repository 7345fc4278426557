"""Messages that carry other structures as raw bytes: orders, results, decisions, updates and receipts.

Their fields are bytes, hashes and signatures, arrays of bytes, and records of such fields. A batch fills the arrays
with thousands of items, so these messages are encoded and read by hand, in a fifth of the time; `Message` stays the
reference (a property test holds them together), and the reader accepts only the one form by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from schemas.binary import encode_bytes, encode_bytes_array, read_bytes, read_bytes_array
from schemas.codec import Message, Nested, One
from schemas.errors import MalformedMessageError


class _Form(NamedTuple):
    """How the value of a field is encoded, and read at a place of the bytes."""

    encode: Callable[[Any], bytes]
    read: Callable[[bytes, int], tuple[Any, int]]


class Carrier(Message):
    """Base of a message whose fields hold nothing but bytes."""

    __slots__ = ()
    _forms: ClassVar[tuple[_Form, ...]]

    def __init_subclass__(cls, schema: str | None = None, nested: Mapping[str, Nested] | None = None) -> None:
        super().__init_subclass__(schema, nested)
        if schema is not None:
            cls._forms = _forms_of(cls.avro.definition["fields"], nested or {}, {})

    def to_bytes(self) -> bytes:
        """The canonical Avro body: what is hashed."""
        fields = zip(self._forms, self._names, strict=True)
        return b"".join([form.encode(getattr(self, name)) for form, name in fields])

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Parse a canonical Avro body.

        Raises:
            MalformedMessageError: the bytes are anything else.
        """
        try:
            values, end = _read_fields(cls._forms, body, 0)
        except IndexError as error:
            raise MalformedMessageError(f"{cls.avro.name}: the bytes end early") from error
        if end != len(body):
            raise MalformedMessageError(f"{cls.avro.name}: the bytes do not end where it ends")
        return cls(**dict(zip(cls._names, values, strict=True)))


def _forms_of(
    fields: Sequence[Mapping[str, Any]], nested: Mapping[str, Nested], sizes: dict[str, int]
) -> tuple[_Form, ...]:
    """The forms of a record's fields.

    Args:
        nested: how its records become tuples.
        sizes: of the fixed types named so far.
    """
    forms = []
    for field in fields:
        kind = field["type"]
        if isinstance(kind, dict) and kind["type"] == "fixed":
            sizes[kind["name"]] = kind["size"]
            kind = kind["name"]
        if isinstance(kind, str) and kind in sizes:
            forms.append(_fixed(sizes[kind]))
        elif kind == "bytes":
            forms.append(_Form(encode_bytes, read_bytes))
        elif kind == {"type": "array", "items": "bytes"}:
            forms.append(_Form(encode_bytes_array, read_bytes_array))
        else:
            record = nested[field["name"]]
            assert isinstance(record, One), "a carrier holds nothing but bytes"
            forms.append(_record(record.row, _forms_of(kind["fields"], {}, sizes)))
    return tuple(forms)


def _fixed(size: int) -> _Form:
    def encode(value: bytes) -> bytes:
        assert len(value) == size, f"{size} bytes are due"
        return value

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        if end > len(data):
            raise MalformedMessageError("the bytes end early")
        return data[at:end], end

    return _Form(encode, read)


def _record(row: Callable[..., Any], forms: Sequence[_Form]) -> _Form:
    def encode(values: Sequence[bytes]) -> bytes:
        return b"".join([form.encode(value) for form, value in zip(forms, values, strict=True)])

    def read(data: bytes, at: int) -> tuple[Any, int]:
        values, at = _read_fields(forms, data, at)
        return row(*values), at

    return _Form(encode, read)


def _read_fields(forms: Sequence[_Form], data: bytes, at: int) -> tuple[list[Any], int]:
    values = []
    for form in forms:
        value, at = form.read(data, at)
        values.append(value)
    return values, at
