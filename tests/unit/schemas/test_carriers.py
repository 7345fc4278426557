"""Messages that carry bytes: read to their end and no further, each piece of its one size."""

from collections.abc import Sequence

import pytest

from schemas.carriers import Carrier
from schemas.errors import MalformedMessageError
from schemas.order import Order
from schemas.piece import Piece, PieceHeader
from schemas.receipt import Receipts
from schemas.statement import Countersigned, Decision, Result, Update

HASH, SIGNATURE = bytes(range(32)), bytes(range(64))
SIGNED = Countersigned(b"statement", b"header", SIGNATURE, SIGNATURE[::-1], HASH, b"\7" * 64)
MANY = (b"", b"one", b"x" * 200)

CARRIERS: Sequence[Carrier] = (
    Order(header=b"header", entries=MANY, signature=SIGNATURE),
    Result(statement=b"s", order_signature=SIGNATURE, ledger_signature=SIGNATURE[::-1], outcomes=MANY),
    Decision(signed=SIGNED, entries=MANY, outcomes=(), outputs=(b"",), values=MANY),
    Update(statement=b"s", header=b"h", salt=HASH, entries=(), outcomes=MANY, outputs=(), values=(b"v",)),
    Receipts(signed=SIGNED, outcomes=MANY, outputs=()),
    Piece(header=b"header", signature=SIGNATURE, slice=b"slice", last=SIGNED),
)
HEADER = PieceHeader(
    format=1,
    ledger_id=HASH,
    epoch=2,
    block=3,
    first_sequence=2**40,
    count=5,
    n=6,
    k=4,
    codec="zfec",
    checksum="tree",
    block_length=300,
    piece_index=1,
    previous_block_root=b"p" * 32,
    root=b"r" * 32,
    path=(b"1" * 32, b"2" * 32),
    slice_hash=b"s" * 32,
    last_statement_hash=b"l" * 32,
)
MESSAGES = {type(message).__name__: message for message in (*CARRIERS, HEADER)}


@pytest.mark.parametrize("name", MESSAGES)
def test_bytes_come_back(name: str) -> None:
    """As the same fields, from a body and from a frame."""
    message = MESSAGES[name]
    assert type(message).from_bytes(message.to_bytes()) == message
    assert type(message).from_message(message.to_message()) == message


@pytest.mark.parametrize("name", MESSAGES)
def test_no_byte_less_and_none_more(name: str) -> None:
    """Cut anywhere, or followed by anything: the one error."""
    kind, body = type(MESSAGES[name]), MESSAGES[name].to_bytes()
    for size in range(len(body)):
        with pytest.raises(MalformedMessageError):
            kind.from_bytes(body[:size])
    for more in (b"\0", b"\1", bytes(32), bytes(64), body):
        with pytest.raises(MalformedMessageError):
            kind.from_bytes(body + more)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_frame_is_of_its_schema(name: str) -> None:
    """Each of its ten bytes; a body without one, or in another's, is none of it."""
    message = MESSAGES[name]
    framed = message.to_message()
    for at in range(10):
        other = bytearray(framed)
        other[at] ^= 1
        with pytest.raises(MalformedMessageError):
            type(message).from_message(bytes(other))
    for wrong in (b"", framed[:9], message.to_bytes(), framed[10:]):
        with pytest.raises(MalformedMessageError):
            type(message).body_of(wrong)
    assert type(message).body_of(framed) == message.to_bytes()


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_has_its_size(size: int) -> None:
    """Another one would move what stands behind it; that is our own mistake."""
    with pytest.raises(AssertionError):
        Order(header=b"", entries=(), signature=bytes(size)).to_bytes()
    with pytest.raises(AssertionError):
        Receipts(signed=SIGNED._replace(salt=bytes(size)), outcomes=(), outputs=()).to_bytes()


def test_the_path_of_a_piece_is_one_block() -> None:
    """Empty, or hashes and a zero; a further block is another form, and so is a count of hashes that are not there."""
    bare = PieceHeader.of_values(*[() if name == "path" else getattr(HEADER, name) for name in HEADER._names])
    assert PieceHeader.from_bytes(bare.to_bytes()).path == ()
    body, behind = HEADER.to_bytes(), b"s" * 32 + b"l" * 32
    assert body.endswith(b"2" * 32 + b"\0" + behind)
    for further in (b"\1", b"\2", b"\x80"):
        with pytest.raises(MalformedMessageError):
            PieceHeader.from_bytes(body[:-65] + further + behind)
    for count in (b"\0", b"\2", b"\6", b"\3"):
        with pytest.raises(MalformedMessageError):
            PieceHeader.from_bytes(body[: -65 - 64 - 1] + count + body[-65 - 64 :])
    with pytest.raises(MalformedMessageError):
        PieceHeader.from_bytes(body.replace(b"zfec", b"\xff\xff\xff\xff"))
