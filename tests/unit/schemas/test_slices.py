"""Fields cut out of outcomes and entries: what one outcome remembers of the one before, and bytes that end early."""

from dataclasses import replace

import pytest

from schemas.binary import encode_long
from schemas.errors import MalformedMessageError
from schemas.feed import Learned, LearnedRequest, LearnedWrite
from schemas.order import Entry, WriteVersion
from schemas.outcome import Outcome, ReadPin, RowPin, ScanPins, WritePin
from schemas.request import Envelope, RecordName, RequestBody
from schemas.slices import join_learned, join_learned_request, slice_argument, slice_outcome, slice_outcomes

KEY, CONTRACT = (
    ReadPin("sys", "entity/a/key/1", 1, -1, 0, b"k" * 32),
    ReadPin("sys", "contract/c/1", 1, -1, 300, b"c" * 32),
)
A = ReadPin("bank", "a", 7, 5, 1, b"a" * 32)

OUTCOME = Outcome(
    index=3,
    request_id=b"r" * 32,
    entity="a",
    key_version=1,
    contract="c",
    contract_version=300,
    status="ok",
    code="",
    fail_text="",
    output_hash=b"o" * 32,
    reads=(KEY, CONTRACT, A),
    scans=(),
    writes=(WritePin("bank", "a", 8, False, b"w" * 32), WritePin("bank", "b" * 70, 2**40, True, b"x" * 32)),
)
ROW = RowPin("k" * 70, 1, 2, 3, b"h" * 32)
SCANS = (
    ScanPins("bank", "a", "", 9, "b", True, ()),
    ScanPins("bank", "", "z" * 80, 2, "z", False, (ROW, ROW._replace(key=""))),
)


def test_the_fields_of_an_outcome() -> None:
    """Text as its bytes; each write with its own hash and that of the version before, where the outcome read it."""
    made = slice_outcome(OUTCOME.to_bytes())
    assert made[:8] == (b"r" * 32, b"a", b"c", 300, "ok", b"", b"", b"o" * 32)
    assert [write[:6] for write in made.writes] == [
        (b"bank", b"a", 8, False, b"w" * 32, b"a" * 32),
        (b"bank", b"b" * 70, 2**40, True, b"x" * 32, b""),
    ]


@pytest.mark.parametrize("version", [-64, -1, 0, 1, 63, 64, -65, 2**63 - 1, -(2**63)])
def test_versions_of_any_sign_and_size(version: int) -> None:
    """Nothing is taken for granted that the schema does not say."""
    outcome = replace(OUTCOME, contract_version=version, writes=(WritePin("a", "b", version, False, b"w" * 32),))
    made = slice_outcome(outcome.to_bytes())
    assert (made.contract_version, made.writes[0][2]) == (version, version)


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_status_code_and_text(status: str) -> None:
    """As they stand, and long ones as well."""
    outcome = replace(OUTCOME, status=status, code="contract.failed", fail_text="é" * 100)  # type: ignore[arg-type]
    made = slice_outcome(outcome.to_bytes())
    assert (made.status, made.code, made.fail_text) == (status, b"contract.failed", "é".encode() * 100)


@pytest.mark.parametrize("reads", [(), (KEY,), (A,), (KEY, A), (A, KEY), (KEY, CONTRACT)], ids=len)
@pytest.mark.parametrize("scans", [(), SCANS[:1], SCANS[1:], SCANS])
@pytest.mark.parametrize("writes", [(), OUTCOME.writes])
def test_whatever_arrays_are_there(
    reads: tuple[ReadPin, ...], scans: tuple[ScanPins, ...], writes: tuple[WritePin, ...]
) -> None:
    """Empty or not, each is walked over to its end: a byte less or more is malformed."""
    body = replace(OUTCOME, reads=reads, scans=scans, writes=writes).to_bytes()
    made = slice_outcome(body)
    assert [write[:5] for write in made.writes] == [
        (pin.namespace.encode(), pin.key.encode(), *pin[2:]) for pin in writes
    ]
    for wrong in (body[:-1], body[:-33], body + b"\0", body + body):
        with pytest.raises(MalformedMessageError):
            slice_outcome(wrong)


def test_every_cut_of_an_outcome_is_malformed() -> None:
    """Anywhere, arrays of all kinds among it."""
    body = replace(OUTCOME, scans=SCANS).to_bytes()
    for size in range(len(body)):
        with pytest.raises(MalformedMessageError):
            slice_outcome(body[:size])


def test_nothing_is_remembered_of_the_outcome_before() -> None:
    """Caller, contract, status and reads of each are its own, however much begins alike, and in whatever order."""
    outcomes = [
        OUTCOME,
        replace(OUTCOME, entity="b"),
        replace(OUTCOME, key_version=2),
        replace(OUTCOME, status="failed", code="x"),
        replace(OUTCOME, reads=(KEY, CONTRACT._replace(record_hash=b"d" * 32), A)),
        replace(OUTCOME, reads=(KEY, CONTRACT)),
        replace(OUTCOME, reads=(KEY, CONTRACT, A._replace(record_hash=b"e" * 32))),
        replace(OUTCOME, reads=(KEY, CONTRACT, A._replace(key="other"))),
        replace(OUTCOME, reads=()),
        replace(OUTCOME, reads=(KEY,), writes=(WritePin("sys", KEY.key, 2, False, b"w" * 32),)),
        OUTCOME,
    ]
    for order in (outcomes, outcomes[::-1]):
        bodies = [outcome.to_bytes() for outcome in order]
        assert slice_outcomes(bodies) == tuple(slice_outcome(body) for body in bodies)
    assert [made.writes[0][5] for made in slice_outcomes([outcome.to_bytes() for outcome in outcomes])] == [
        *[b"a" * 32] * 5,
        b"",
        b"e" * 32,
        b"",
        b"",
        b"k" * 32,
        b"a" * 32,
    ]


def entry(argument: bytes) -> bytes:
    """An entry with this argument in its request."""
    body = RequestBody(
        format=1,
        ledger_id=b"l" * 32,
        entity="e" * 70,
        key_version=2**40,
        nonce=b"n" * 16,
        contract="c" * 70,
        contract_version=300,
        argument=argument,
        not_before_ms=0,
        expiry_ms=1,
        after=-1,
        keys=(RecordName("bank", "a"),),
    )
    envelope = Envelope(body=body.to_bytes(), index=0, count=1, path=(), signature=b"s" * 64)
    writes = (WriteVersion("bank", "a", 1, False),)
    return Entry(index=200, envelope=envelope.to_bytes(), reads=(), scans=(), writes=writes).to_bytes()


@pytest.mark.parametrize("size", [0, 1, 63, 64, 9000])
def test_an_argument(size: int) -> None:
    """Found behind long names and great numbers; cut short, it is malformed."""
    argument = b"7" * size
    made = entry(argument)
    assert slice_argument(made) == argument
    end = made.index(b"c" * 70) + 70 + len(encode_long(300)) + len(encode_long(size)) + size
    assert slice_argument(made[:end]) == argument
    for short in {0, 1, 50, end - size - 1, end - 1}:
        with pytest.raises(MalformedMessageError):
            slice_argument(made[:short])


@pytest.mark.parametrize("length", [-65, -200, -8193, -(2**62), 2**62])
def test_a_length_that_leads_back(length: int) -> None:
    """A reader does not go where it was before, nor beyond the end."""
    for before in (b"\0\2\2\2" + bytes(32), b"\0\2\2\2" + bytes(32) + b"\2a\2" + bytes(16)):
        assert slice_argument(before + bytes(9000)) == b""
        with pytest.raises(MalformedMessageError):
            slice_argument(before + encode_long(length) + bytes(9000))
    with pytest.raises(MalformedMessageError):
        slice_outcome(bytes(33) + encode_long(length) + bytes(9000))


def test_what_is_joined_is_a_message() -> None:
    """With requests that wrote something, wrote nothing, and without requests."""
    wrote, none = OUTCOME, replace(OUTCOME, writes=(), status="failed", code="x")
    values = (b"1" * 70, b"")
    joined = [
        join_learned_request(slice_outcome(wrote.to_bytes()), values),
        join_learned_request(slice_outcome(none.to_bytes()), ()),
    ]
    writes = (LearnedWrite("bank", "a", 8, False, values[0]), LearnedWrite("bank", "b" * 70, 2**40, True, b""))
    requests = (
        LearnedRequest(b"r" * 32, "a", "c", "ok", "", writes),
        LearnedRequest(b"r" * 32, "a", "c", "failed", "x", ()),
    )
    for count in (0, 2):
        assert Learned.from_message(join_learned(b"l" * 32, -1, 2**62, 63, joined[:count])) == Learned(
            ledger_id=b"l" * 32, sequence=-1, ordered_at_ms=2**62, learned_at_ms=63, requests=requests[:count]
        )
    with pytest.raises(ValueError, match="zip"):
        join_learned_request(slice_outcome(wrote.to_bytes()), values[:1])
