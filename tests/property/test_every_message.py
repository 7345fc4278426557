"""Every message has exactly one form of bytes: what is read is written the same, anything else is the one error."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import Message
from schemas.errors import MalformedMessageError
from tests.reference.avro import encode, named_types, sample, values
from tests.reference.messages import every_message

KINDS = every_message()
each_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.avro.name for kind in KINDS])


def check_read(kind: type[Message], data: bytes) -> bool:
    """Whether bytes are a message; if so it is written the same, and if not there is one error and no other."""
    try:
        message = kind.from_bytes(data)
    except MalformedMessageError:
        return False
    assert message.to_bytes() == data
    return True


def draw_message(data: st.DataObject, kind: type[Message]) -> tuple[dict[str, Any], bytes]:
    """The fields of a message, and their bytes as the specification has them."""
    schema = kind.avro.definition
    types = named_types(schema)
    fields = data.draw(values(schema, types))
    return fields, encode(schema, fields, types)


@each_kind
@settings(max_examples=40)
@given(data=st.data())
def test_what_is_written_is_read(kind: type[Message], data: st.DataObject) -> None:
    """Whatever the fields: the specification's bytes, framed or not, and the same message from them."""
    fields, body = draw_message(data, kind)
    message = kind.of_fields(fields)
    assert message.to_bytes() == body
    assert kind.from_bytes(body) == message == kind.from_message(message.to_message())


@each_kind
@settings(max_examples=80)
@given(data=st.data())
def test_changed_bytes_are_another_message_or_none(kind: type[Message], data: st.DataObject) -> None:
    """A byte that is changed, cut off or put in; a number that is longer than it needs to be."""
    raw = bytearray(draw_message(data, kind)[1])
    place = data.draw(st.integers(0, len(raw) - 1))
    match data.draw(st.sampled_from(["byte", "cut", "insert", "append", "longer"])):
        case "byte":
            raw[place] = data.draw(st.integers(0, 255))
        case "cut":
            del raw[place:]
        case "insert":
            raw[place:place] = data.draw(st.binary(min_size=1, max_size=10))
        case "append":
            raw += data.draw(st.binary(min_size=1, max_size=10))
            assert not check_read(kind, bytes(raw))
        case _:
            raw[place : place + 1] = bytes((raw[place] | 0x80, 0))
    check_read(kind, bytes(raw))


@each_kind
@settings(max_examples=60)
@given(rubbish=st.binary(max_size=300), framed=st.booleans())
def test_rubbish_is_the_one_error(kind: type[Message], rubbish: bytes, framed: bool) -> None:
    """With the frame of its schema, without any, and with that of another."""
    check_read(kind, rubbish)
    data = kind.avro.frame + rubbish if framed else rubbish
    try:
        message = kind.from_message(data)
    except MalformedMessageError:
        return
    assert message.to_message() == data


@each_kind
@pytest.mark.parametrize("number", [b"\xfe" + b"\xff" * 8 + b"\x01", b"\xff" * 9 + b"\x01", b"\xff" * 10, b"\x80" * 10])
def test_lengths_without_end(kind: type[Message], number: bytes) -> None:
    """2^63 - 1, -2^63 and numbers that go on and on, wherever a length or a count may stand: no time, no memory."""
    schema = kind.avro.definition
    types = named_types(schema)
    body = encode(schema, sample(schema, types), types)
    for place in range(len(body) + 1):
        check_read(kind, body[:place] + number + body[place:])
        check_read(kind, body[:place] + number)
