"""Messages encoded and read by hand are what Avro makes of them: the same bytes, and the same bytes accepted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.binary import encode_long
from schemas.codec import Message
from schemas.errors import MalformedMessageError
from schemas.order import Order
from schemas.piece import Piece, PieceHeader
from schemas.receipt import Receipts
from schemas.request import Envelope, RecordName, RequestBody
from schemas.statement import Countersigned, Decision, Result, Update

longs = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 200)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
hashes = st.binary(min_size=32, max_size=32)
bodies = st.builds(
    RequestBody,
    format=longs,
    ledger_id=hashes,
    entity=texts,
    key_version=longs,
    nonce=st.binary(min_size=16, max_size=16),
    contract=texts,
    contract_version=longs,
    argument=st.binary(max_size=100),
    not_before_ms=longs,
    expiry_ms=longs,
    after=longs,
    keys=st.lists(st.builds(RecordName, texts, texts), max_size=3).map(tuple),
)
envelopes = st.builds(
    Envelope,
    body=st.binary(max_size=100),
    index=longs,
    count=longs,
    path=st.lists(hashes, max_size=4).map(tuple),
    signature=st.binary(min_size=64, max_size=64),
)
parts = st.binary(max_size=12) | st.integers(60, 70).map(bytes) | st.integers(8190, 8194).map(bytes)
arrays = st.lists(parts, max_size=4).map(tuple)
signatures = st.binary(min_size=64, max_size=64)
signed = st.builds(Countersigned, parts, parts, signatures, signatures, hashes, signatures)
carriers = (
    st.builds(Order, header=parts, entries=arrays, signature=signatures)
    | st.builds(Result, statement=parts, order_signature=signatures, ledger_signature=signatures, outcomes=arrays)
    | st.builds(Decision, signed=signed, entries=arrays, outcomes=arrays, outputs=arrays, values=arrays)
    | st.builds(
        Update,
        statement=parts,
        header=parts,
        salt=hashes,
        entries=arrays,
        outcomes=arrays,
        outputs=arrays,
        values=arrays,
    )
    | st.builds(Piece, header=parts, signature=signatures, slice=parts, last=signed)
    | st.builds(Receipts, signed=signed, outcomes=arrays, outputs=arrays)
)
piece_headers = st.builds(
    PieceHeader,
    format=longs,
    ledger_id=hashes,
    epoch=longs,
    block=longs,
    first_sequence=longs,
    count=longs,
    n=longs,
    k=longs,
    codec=texts,
    checksum=texts,
    block_length=longs,
    piece_index=longs,
    previous_block_root=hashes,
    root=hashes,
    path=st.lists(hashes, max_size=5).map(tuple),
    slice_hash=hashes,
    last_statement_hash=hashes,
)
messages = bodies | envelopes | carriers | piece_headers
kinds = st.sampled_from([Piece, PieceHeader, Envelope, RequestBody, Order, Result, Decision, Update, Receipts])


def accepted(kind: type[Message], data: bytes, *, by_hand: bool) -> Message | None:
    """What a reader makes of bytes; None if it refuses them."""
    try:
        return kind.from_bytes(data) if by_hand else Message.from_bytes.__func__(kind, data)  # type: ignore[attr-defined]
    except MalformedMessageError:
        return None


@given(messages)
def test_the_bytes_are_avros(message: Message) -> None:
    """Encoding by hand and by Avro give the same bytes, and both readers give the message back."""
    data = message.to_bytes()
    assert data == Message.to_bytes(message)
    assert accepted(type(message), data, by_hand=True) == message
    assert accepted(type(message), data, by_hand=False) == message


@settings(max_examples=500)
@given(messages, st.data())
def test_both_readers_accept_the_same_bytes(message: Message, data: st.DataObject) -> None:
    """After any change of a byte, a cut, an insertion or bytes behind the end, both accept or both refuse."""
    raw = bytearray(message.to_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    change = data.draw(st.sampled_from(["byte", "cut", "insert", "append", "continue"]))
    if change == "byte":
        raw[place] = data.draw(st.integers(0, 255))
    elif change == "cut":
        del raw[place:]
    elif change == "insert":
        raw[place:place] = data.draw(st.binary(min_size=1, max_size=3))
    elif change == "append":
        raw += data.draw(st.binary(min_size=1, max_size=3))
    else:  # a varint that goes on with zeros: the same number, longer than needed
        raw[place : place + 1] = bytes((raw[place] | 0x80, 0))
    changed = bytes(raw)
    kind = type(message)
    assert accepted(kind, changed, by_hand=True) == accepted(kind, changed, by_hand=False)


@given(kinds, st.binary(max_size=300))
def test_rubbish_gives_the_one_error(kind: type[Message], rubbish: bytes) -> None:
    """Whatever the bytes: a message that encodes to them, or MalformedMessageError and no other."""
    made = accepted(kind, rubbish, by_hand=True)
    assert made is None or made.to_bytes() == rubbish


@pytest.mark.parametrize("count", [2**62, -1, 2**31])
def test_an_array_of_any_length_is_bounded(count: int) -> None:
    """A count that no bytes stand behind is refused at once."""
    envelope = Envelope(body=b"", index=0, count=1, path=(), signature=bytes(64)).to_bytes()
    from schemas.binary import encode_long

    with pytest.raises(MalformedMessageError):
        Envelope.from_bytes(envelope[:3] + encode_long(count) + envelope[4:])


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1])
def test_a_number_beyond_64_bits_is_not_written(number: int) -> None:
    """Its own reader would not take it."""
    with pytest.raises(ValueError, match="64 bits"):
        encode_long(number)
    assert encode_long(2**63 - 1) != encode_long(-(2**63))
