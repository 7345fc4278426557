"""Entries and outcomes made by hand, against the schema's own encoder, and what is read of them without parsing."""

import pytest

from schemas import leaves
from schemas.errors import MalformedMessageError
from schemas.order import Entry, ReadVersion, WriteVersion
from schemas.outcome import Outcome, ReadPin, WritePin

ID, HASH, OTHER = b"\1" * 32, b"\2" * 32, b"\3" * 32
CALLER = ("admin", 2, "object.put", 300)
READS = (("object", "a", 3, -1, 5), ("sys", "é", 0, 2**40, -1))
WRITES = (("object", "a", 4, False), ("object", "b", 1, True))


def outcome_of(status: str = "ok", code: str = "", text: str = "") -> bytes:
    """An outcome made by hand."""
    reads = [leaves.read_version(leaves.record_name(*read[:2]), *read[2:]) + HASH for read in READS]
    writes = [leaves.write_version(leaves.record_name(*write[:2]), *write[2:]) + OTHER for write in WRITES]
    return leaves.outcome_leaf(9, ID, leaves.caller_fields(*CALLER), status, code, text, HASH, reads, writes)


def test_an_entry() -> None:
    """Index, envelope, versions read, no scans, versions written: as its schema encodes it, with arrays and without."""
    for reads, writes in ((READS, WRITES), (READS, ()), ((), WRITES), ((), ())):
        made = leaves.entry_leaf(
            9,
            b"envelope" * 10,
            [leaves.read_version(leaves.record_name(*read[:2]), *read[2:]) for read in reads],
            [leaves.write_version(leaves.record_name(*write[:2]), *write[2:]) for write in writes],
        )
        assert Entry.from_bytes(made) == Entry(
            index=9,
            envelope=b"envelope" * 10,
            reads=tuple(ReadVersion(*read) for read in reads),
            scans=(),
            writes=tuple(WriteVersion(*write) for write in writes),
        )
        assert leaves.envelope_of(made) == b"envelope" * 10


@pytest.mark.parametrize(("status", "code", "text"), [("ok", "", ""), ("failed", "contract.failed", "no" * 50)])
def test_an_outcome(status: str, code: str, text: str) -> None:
    """As its schema encodes it; status, code, text and output hash are found behind what it begins with."""
    made = outcome_of(status, code, text)
    assert Outcome.from_bytes(made) == Outcome(
        index=9,
        request_id=ID,
        entity="admin",
        key_version=2,
        contract="object.put",
        contract_version=300,
        status=status,  # type: ignore[arg-type]  # one of the two
        code=code,
        fail_text=text,
        output_hash=HASH,
        reads=tuple(ReadPin(*read, HASH) for read in READS),
        scans=(),
        writes=tuple(WritePin(*write, OTHER) for write in WRITES),
    )
    begin = leaves.outcome_begin(9, ID, *CALLER)
    assert made.startswith(begin)
    assert leaves.outcome_end_of_head(made, len(begin)) == (status, code, text, HASH)


def test_a_head_that_is_cut() -> None:
    """Anywhere before the end of the output hash; what follows it is not looked at."""
    at = len(leaves.outcome_begin(9, ID, *CALLER))
    whole = outcome_of("failed", "contract.failed", "no")
    end = at + len(b"\2" + b"\x1econtract.failed" + b"\4no" + HASH)
    assert leaves.outcome_end_of_head(whole[:end], at)[3] == HASH
    for size in range(at, end):
        with pytest.raises(MalformedMessageError):
            leaves.outcome_end_of_head(whole[:size], at)


@pytest.mark.parametrize("status", [b"\1", b"\3", b"\4", b"\x80\x00", b"\x7f"], ids=bytes.hex)
def test_a_status_that_is_none(status: bytes) -> None:
    """There are two, each in one byte."""
    with pytest.raises(MalformedMessageError):
        leaves.outcome_end_of_head(status + b"\0\0" + HASH, 0)


@pytest.mark.parametrize("texts", [b"\2\xff\0", b"\0\2\xff"], ids=["code", "text"])
def test_a_head_whose_text_is_none(texts: bytes) -> None:
    """The one error, and not the decoder's."""
    with pytest.raises(MalformedMessageError):
        leaves.outcome_end_of_head(b"\0" + texts + HASH, 0)


@pytest.mark.parametrize("entry", [b"", b"\2", b"\x80", b"\2\x80", b"\2\6ab", b"\2\1ab", b"\x80\0\2a"], ids=bytes.hex)
def test_an_entry_without_room_for_an_envelope(entry: bytes) -> None:
    """Too short, a length beyond the end, a negative one, an index in another form."""
    with pytest.raises(MalformedMessageError):
        leaves.envelope_of(entry)
