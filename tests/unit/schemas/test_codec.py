"""The schema's own codec: one form of bytes, though Avro has several and fastavro reads still more."""

from dataclasses import replace

import pytest

from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence, Part
from schemas.order import Entry, ReadVersion, WriteVersion
from schemas.rejection import RejectionEntry, RejectionsHeader

ENTRY = RejectionEntry(envelope_hash=bytes(32), request_id=b"\1" * 32, code="busy", final=True)
HEADER = RejectionsHeader(
    ledger_id=bytes(32),
    epoch=1,
    rejection_number=200,
    previous_hash=b"\2" * 32,
    as_of_sequence=-1,
    entries_root=b"\3" * 32,
    count=5,
)
ORDERED = Entry(
    index=1,
    envelope=b"envelope",
    reads=(ReadVersion("a", "b", 1, 2, 3),),
    scans=(),
    writes=(WriteVersion("a", "b", 2, True),),
)
EVIDENCE = Evidence(
    format=1, ledger_id=bytes(32), kind="kind", genesis=b"g", configurations=(b"c",), parts=(Part("n", b"d"),)
)
MESSAGES = (ENTRY, HEADER, ORDERED, EVIDENCE)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.avro.name)
def test_bytes_come_back(message: RejectionEntry) -> None:
    """The same fields; nothing less and nothing more than these bytes."""
    body = message.to_bytes()
    assert type(message).from_bytes(body) == message
    for size in range(len(body)):
        with pytest.raises(MalformedMessageError):
            type(message).from_bytes(body[:size])
    for more in (b"\0", b"\1", body):
        with pytest.raises(MalformedMessageError):
            type(message).from_bytes(body + more)
        assert type(message).from_compared(body + more) == message, "who compares the bytes himself"


@pytest.mark.parametrize("value", [2, 3, 0x80, 0xFF])
def test_a_boolean_is_one_or_zero(value: int) -> None:
    """Another byte has the same length, and would be read as true."""
    body = ENTRY.to_bytes()
    assert body[-1:] == b"\1"
    assert not RejectionEntry.from_bytes(body[:-1] + b"\0").final
    with pytest.raises(MalformedMessageError):
        RejectionEntry.from_bytes(body[:-1] + bytes((value,)))
    entry = ORDERED.to_bytes()
    assert entry[-2:] == b"\1\0"
    with pytest.raises(MalformedMessageError):
        Entry.from_bytes(entry[:-2] + bytes((value, 0)))


def test_numbers_and_lengths_in_another_form() -> None:
    """A byte longer than needed."""
    body = HEADER.to_bytes()
    assert body[32:35] == b"\2\x90\3"
    with pytest.raises(MalformedMessageError):
        RejectionsHeader.from_bytes(body[:32] + b"\x82\0" + body[33:])
    text = ENTRY.to_bytes()
    with pytest.raises(MalformedMessageError):
        RejectionEntry.from_bytes(text[:64] + b"\x88\0" + text[65:])


def test_arrays_in_another_form() -> None:
    """Two blocks, and a block with its size before it."""
    item = b"\2a\2b\2\4\6"
    whole = ORDERED.to_bytes()
    assert whole.count(b"\2" + item + b"\0") == 1
    for other in (b"\1\x0e" + item + b"\0", b"\2" + item + b"\2" + item + b"\0"):
        with pytest.raises(MalformedMessageError):
            Entry.from_bytes(whole.replace(b"\2" + item + b"\0", other))
    doubled = replace(ORDERED, reads=ORDERED.reads * 2)
    assert Entry.from_bytes(whole.replace(b"\2" + item, b"\4" + item + item)) == doubled


@pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xff", b"\xc3", b"\xc0\x80"], ids=bytes.hex)
def test_text_that_is_none(raw: bytes) -> None:
    """Lone surrogates, which the reader lets pass, and what is no UTF-8 at all: the one error."""
    body = replace(ENTRY, code="#" * len(raw)).to_bytes()
    with pytest.raises(MalformedMessageError):
        RejectionEntry.from_bytes(body.replace(b"#" * len(raw), raw))


@pytest.mark.parametrize("data", [b"", b"\xff" * 300, bytes(300), b"\x01" * 300])
def test_bytes_of_something_else(data: bytes) -> None:
    """Whatever the library makes of them, the caller meets one error."""
    for message in MESSAGES:
        with pytest.raises(MalformedMessageError):
            type(message).from_bytes(data)
        with pytest.raises(MalformedMessageError):
            type(message).from_message(data)


def test_a_frame_is_of_its_schema() -> None:
    """Marker and fingerprint, all ten bytes; one schema's message is no other's."""
    for message in MESSAGES:
        framed = message.to_message()
        assert type(message).from_message(framed) == message
        for at in range(10):
            other = bytearray(framed)
            other[at] ^= 1
            with pytest.raises(MalformedMessageError):
                type(message).from_message(bytes(other))
        for another in MESSAGES:
            if another is not message:
                with pytest.raises(MalformedMessageError):
                    type(another).from_message(framed)
