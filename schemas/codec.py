"""Avro encoding of every message: one schema, one frozen dataclass, one form of bytes.

Rules:

1. `from_bytes` accepts exactly the bytes that `to_bytes` would give, or raises `MalformedMessageError`. Avro
   by itself allows several forms (overlong varints, split arrays, trailing bytes), so what was decoded is
   encoded again and compared.
2. What is hashed and signed is the schemaless *body* (`to_bytes`). What crosses a topic is the body in Avro's
   single-object framing (`to_message`): `C3 01`, the schema's CRC-64-AVRO fingerprint in little-endian order,
   the body.
3. A signed structure inside another message travels as the raw bytes of its body, so it is hashed as
   received.

This is the only module that imports fastavro. Source: Apache Avro 1.12 specification, "Single object
encoding" and "Parsing Canonical Form".
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any, ClassVar, Self

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.errors import MalformedMessageError

SINGLE_OBJECT_MARKER = b"\xc3\x01"
FRAME_BYTES = 10
"""Length of the single-object frame before a body: two bytes of marker, eight of fingerprint."""


class Codec:
    """Encoder and decoder of one Avro schema, loaded from `schemas/avro/<name>.avsc`."""

    def __init__(self, name: str) -> None:
        definition = json.loads(resources.files("schemas").joinpath("avro", f"{name}.avsc").read_text())
        canonical = to_parsing_canonical_form(definition)
        self.name = name
        self.definition: Mapping[str, Any] = definition
        self.schema_hash = hashlib.sha256(canonical.encode()).digest()
        self.frame = SINGLE_OBJECT_MARKER + bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
        self._schema = parse_schema(definition)

    def encode(self, fields: Mapping[str, Any]) -> bytes:
        """Encode a record given as a mapping of its fields.

        Raises:
            ValueError, TypeError, OverflowError: a field does not fit the schema (a mistake of the caller's).
        """
        body = io.BytesIO()
        schemaless_writer(body, self._schema, fields)
        return body.getvalue()

    def decode(self, body: bytes) -> dict[str, Any]:
        """Decode bytes of exactly one form.

        Raises:
            MalformedMessageError: the bytes do not parse, or parse but are not in the one valid form.
        """
        fields = self.decode_prefix(body)
        try:
            again = self.encode(fields)
        except Exception as error:  # such as lone surrogates, which the reader lets pass
            raise MalformedMessageError(f"{self.name}: {type(error).__name__}: {error}") from error
        if again != body:
            raise MalformedMessageError(f"{self.name}: bytes are not in the one valid form")
        return fields

    def decode_prefix(self, body: bytes) -> dict[str, Any]:
        """Decode the record that some bytes begin with, in whatever form; what follows it is not looked at.

        Raises:
            MalformedMessageError: the bytes do not parse.
        """
        try:
            return schemaless_reader(io.BytesIO(body), self._schema, None)  # type: ignore[return-value]
        except Exception as error:  # fastavro has no common base class for what bad bytes make it raise
            raise MalformedMessageError(f"{self.name}: {type(error).__name__}: {error}") from error


class Message:
    """Base of every message: gives a frozen dataclass its Avro codec.

    A subclass names its schema file and the tuple types of its nested records:
    `class Entry(Message, schema="entry", nested={"reads": Rows(ReadVersion)})`.
    """

    __slots__ = ()
    avro: ClassVar[Codec]
    _names: ClassVar[tuple[str, ...]]
    _nested: ClassVar[Mapping[str, "Nested"]]
    _arrays: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, schema: str | None = None, nested: Mapping[str, "Nested"] | None = None) -> None:
        if schema is None:  # dataclass(slots=True) makes the class a second time, without its keywords
            return
        cls.avro = Codec(schema)
        fields = cls.avro.definition["fields"]
        cls._names = tuple(field["name"] for field in fields)
        cls._nested = nested or {}
        cls._arrays = tuple(
            field["name"]
            for field in fields
            if isinstance(field["type"], dict) and field["type"]["type"] == "array" and field["name"] not in cls._nested
        )

    def fields(self) -> dict[str, Any]:
        """The mapping that Avro encodes: nested values as mappings, tuples as lists."""
        values = {name: getattr(self, name) for name in self._names}
        for name, nested in self._nested.items():
            values[name] = nested.to_fields(values[name])
        return values

    @classmethod
    def of_fields(cls, values: dict[str, Any]) -> Self:
        """The message of decoded Avro fields; the reverse of `fields`."""
        for name in cls._arrays:
            values[name] = tuple(values[name])
        for name, nested in cls._nested.items():
            values[name] = nested.of_fields(values[name])
        return cls(**values)

    @classmethod
    def of_values(cls, *values: Any) -> Self:
        """The message of values in the schema's order, which are not checked.

        It takes a third of the time of the class itself, whose frozen fields are set by name.
        """
        made = object.__new__(cls)
        setters = _setters(cls)  # type: ignore[arg-type]  # a class is hashable, whatever its instances are
        for set_field, value in zip(setters, values, strict=True):
            set_field(made, value)
        return made

    def to_bytes(self) -> bytes:
        """The canonical Avro body: what is hashed."""
        return self.avro.encode(self.fields())

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Parse a canonical Avro body.

        Raises:
            MalformedMessageError: the bytes are anything else.
        """
        return cls._made_of(cls.avro.decode(body))

    @classmethod
    def from_compared(cls, body: bytes) -> Self:
        """Parse bytes in whatever form: only for bytes that are then compared with ones made by `to_bytes`.

        Raises:
            MalformedMessageError: the bytes do not parse.
        """
        return cls._made_of(cls.avro.decode_prefix(body))

    @classmethod
    def _made_of(cls, values: dict[str, Any]) -> Self:
        try:
            return cls.of_fields(values)
        except (TypeError, ValueError) as error:
            raise MalformedMessageError(f"{cls.avro.name}: {error}") from error

    def to_message(self) -> bytes:
        """The body in single-object framing: what crosses a topic."""
        return self.avro.frame + self.to_bytes()

    @classmethod
    def from_message(cls, data: bytes) -> Self:
        """Parse a framed message.

        Raises:
            MalformedMessageError: another schema's frame, or a body that is not canonical.
        """
        return cls.from_bytes(cls.body_of(data))

    @classmethod
    def body_of(cls, data: bytes) -> bytes:
        """The body inside a frame of this schema, not parsed.

        Raises:
            MalformedMessageError: the frame is another schema's or none.
        """
        if data[:FRAME_BYTES] != cls.avro.frame:
            raise MalformedMessageError(f"{cls.avro.name}: the frame is not of this schema")
        return data[FRAME_BYTES:]


@cache
def _setters(message: type[Message]) -> tuple[Callable[[Message, Any], None], ...]:
    """What sets each field of a message, frozen or not."""
    return tuple(vars(message)[name].__set__ for name in message._names)


class Nested:
    """How a field that holds records becomes Avro mappings and comes back."""

    def to_fields(self, value: Any) -> Any:
        """From the dataclass's value to mappings and lists."""
        raise TypeError

    def of_fields(self, value: Any) -> Any:
        """From decoded mappings and lists to the dataclass's value."""
        raise TypeError


class Rows(Nested):
    """An array of flat records, as a tuple of `NamedTuple`s whose fields stand in the schema's order."""

    def __init__(self, row: Any, **inner: Nested) -> None:
        self.row = row
        self.names: tuple[str, ...] = row._fields
        self.inner = inner

    def to_fields(self, value: Any) -> Any:
        """See `Nested`."""
        names = self.names
        if not self.inner:
            return [dict(zip(names, row, strict=True)) for row in value]
        made = [dict(zip(names, row, strict=True)) for row in value]
        for name, nested in self.inner.items():
            for fields in made:
                fields[name] = nested.to_fields(fields[name])
        return made

    def of_fields(self, value: Any) -> Any:
        """See `Nested`."""
        for name, nested in self.inner.items():
            for fields in value:
                fields[name] = nested.of_fields(fields[name])
        row = self.row
        return tuple([row(*fields.values()) for fields in value])


class One(Rows):
    """A single nested record, as one `NamedTuple`."""

    def to_fields(self, value: Any) -> Any:
        """See `Nested`."""
        return super().to_fields((value,))[0]

    def of_fields(self, value: Any) -> Any:
        """See `Nested`."""
        return super().of_fields((value,))[0]


class Texts(Nested):
    """An array of plain values inside a nested record, as a tuple."""

    def to_fields(self, value: Any) -> Any:
        """See `Nested`."""
        return list(value)

    def of_fields(self, value: Any) -> Any:
        """See `Nested`."""
        return tuple(value)
