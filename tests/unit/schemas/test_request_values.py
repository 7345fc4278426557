"""Request bodies and envelopes read by hand: every field in its place, and every cut or longer form refused."""

from collections.abc import Callable
from dataclasses import astuple

import pytest

from schemas.binary import encode_long
from schemas.errors import MalformedMessageError
from schemas.request import Envelope, RecordName, RequestBody
from schemas.request_values import read_body, read_envelope

HASH, NONCE, SIGNATURE = bytes(range(32)), bytes(range(100, 116)), bytes(range(64))
NAMES = (RecordName("object", "a"), RecordName("", "é" * 40))

BODY = RequestBody(
    format=1,
    ledger_id=HASH,
    entity="admin",
    key_version=2,
    nonce=NONCE,
    contract="object.put",
    contract_version=300,
    argument=b"[" + b"1," * 70 + b"1]",
    not_before_ms=1_700_000_000_000,
    expiry_ms=-5,
    after=-1,
    keys=NAMES,
)
PATH = (HASH, bytes(32), b"\xff" * 32)
ENVELOPE = Envelope(body=b"the body", index=1, count=7, path=PATH, signature=SIGNATURE)

WHOLE: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "body": (read_body, BODY.to_bytes()),
    "envelope": (read_envelope, ENVELOPE.to_bytes()),
}


def test_every_field_is_in_its_place() -> None:
    """In the schema's order, with and without the array at the end."""
    assert read_body(BODY.to_bytes()) == tuple(getattr(BODY, name) for name in BODY._names)
    bare = RequestBody.of_values(*astuple(BODY)[:-1], ())
    assert read_body(bare.to_bytes())[-2:] == (-1, ())
    assert read_envelope(ENVELOPE.to_bytes()) == (b"the body", 1, 7, PATH, SIGNATURE)
    alone = Envelope(body=b"", index=-1, count=2**63 - 1, path=(), signature=SIGNATURE)
    assert read_envelope(alone.to_bytes()) == (b"", -1, 2**63 - 1, (), SIGNATURE)


@pytest.mark.parametrize(("read", "data"), WHOLE.values(), ids=WHOLE)
def test_no_byte_less_and_none_more(read: Callable[[bytes], object], data: bytes) -> None:
    """Cut anywhere, or followed by anything: the one error, and none of the library's."""
    for size in range(len(data)):
        with pytest.raises(MalformedMessageError):
            read(data[:size])
    for more in (b"\0", b"\1", bytes(32), bytes(64), data):
        with pytest.raises(MalformedMessageError):
            read(data + more)


@pytest.mark.parametrize("further", [b"\1", b"\2", b"\x80"])
def test_an_array_in_two_blocks(further: bytes) -> None:
    """Behind the keys, and behind the path, where the signature follows."""
    with pytest.raises(MalformedMessageError):
        read_body(BODY.to_bytes()[:-1] + further)
    with pytest.raises(MalformedMessageError):
        read_envelope(ENVELOPE.to_bytes()[:-65] + further + SIGNATURE)


def test_an_array_with_its_size() -> None:
    """Avro's other form, of a negative count."""
    item = b"\2a\2b"
    head = RequestBody.of_values(*astuple(BODY)[:-1], ()).to_bytes()[:-1]
    assert read_body(head + encode_long(1) + item + b"\0")[-1] == (("a", "b"),)
    with pytest.raises(MalformedMessageError):
        read_body(head + encode_long(-1) + encode_long(len(item)) + item + b"\0")


@pytest.mark.parametrize("field", ["entity", "contract", "namespace", "key"])
def test_text_that_is_none(field: str) -> None:
    """Each of the texts is UTF-8."""
    marked = {"entity": "#", "contract": "#", "namespace": "#", "key": "#"} | {field: "@"}
    values = [*astuple(BODY)[:-1], (RecordName(marked["namespace"], marked["key"]),)]
    values[2], values[5] = marked["entity"], marked["contract"]
    data = RequestBody.of_values(*values).to_bytes()
    assert data.count(b"@") == 1
    assert len(read_body(data)) == 12
    with pytest.raises(MalformedMessageError):
        read_body(data.replace(b"@", b"\xff"))


@pytest.mark.parametrize("count", [2**26, 2**58, 2**62])
def test_a_path_longer_than_all_bytes(count: int) -> None:
    """Its count alone is refused; it is neither multiplied nor walked."""
    with pytest.raises(MalformedMessageError):
        read_envelope(b"\0\0\2" + encode_long(count) + bytes(200))
