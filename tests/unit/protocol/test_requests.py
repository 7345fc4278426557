"""Requests as both parties judge them: every bound at its last value, every code, and who is named by it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol import merkle
from protocol.canonical_json import dumps
from protocol.contracts.names import contract_key, public_key_key
from protocol.hashing import tagged
from protocol.limits import Limits
from protocol.records import ABSENT, DamagedRecordError, Record, RecordKey, successor
from protocol.requests import (
    ClientSignatures,
    OpenedRequest,
    RequestError,
    check_times,
    encode_request,
    gather_requests,
    open_request,
    public_key_of,
    records_of,
)
from protocol.signatures import request_batch_input, request_id
from protocol.signing import BadSignatureError, verify_key
from schemas.request import Envelope, RecordName, RequestBody
from tests.parties import key_of

LEDGER_ID = tagged("genesis", b"requests")
LIMITS = Limits.tiny()
NOW_MS = 1_700_000_000_000
ADMIN = key_of("admin")


def body(**changes: Any) -> RequestBody:
    """A body that nobody has anything against, but for the changes."""
    made = RequestBody(
        format=1,
        ledger_id=LEDGER_ID,
        entity="admin",
        key_version=1,
        nonce=bytes(16),
        contract="object.get",
        contract_version=1,
        argument=b"{}",
        not_before_ms=NOW_MS,
        expiry_ms=NOW_MS,
        after=-1,
        keys=(),
    )
    return replace(made, **changes)


def alone(request: RequestBody) -> Envelope:
    """Its envelope, signed alone."""
    batch = gather_requests(LEDGER_ID, [request.to_bytes()])
    return batch.envelopes(ADMIN.sign(batch.signed))[0]


def opened(request: RequestBody, **changes: Any) -> OpenedRequest:
    """It, opened out of its envelope with these changes."""
    return open_request(replace(alone(request), **changes).to_bytes(), LEDGER_ID, LIMITS)


def refusal(judge: Callable[[], object]) -> RequestError:
    """The error with which something is turned away."""
    with pytest.raises(RequestError) as caught:
        judge()
    return caught.value


# --- Opening ---


def test_an_opened_request_is_what_was_sent() -> None:
    """Bytes, parsed parts, identity and root; the check of its signature passes with its client's key alone."""
    envelope = alone(body())
    request = opened(body())
    identity = request_id(envelope.body)
    assert request == (envelope.to_bytes(), envelope, body(), identity, merkle.root([identity]))
    check = request.signature_check(ADMIN.public_key)
    assert check == (ADMIN.public_key, request_batch_input(LEDGER_ID, request.root, 1), envelope.signature)
    verify_key(check.key.algorithm, check.key.key).verify(check.signed, check.signature)
    other = key_of("other").public_key
    with pytest.raises(BadSignatureError):
        verify_key(other.algorithm, other.key).verify(check.signed, check.signature)


NAME = "n" * LIMITS.name_bytes
LAST_ALLOWED: dict[str, dict[str, Any]] = {
    "argument": {"argument": dumps("x" * (LIMITS.argument_bytes - 2))},
    "advisory keys": {"keys": (RecordName("a", "b"),) * LIMITS.records_per_request},
    "expiry at once": {"not_before_ms": NOW_MS, "expiry_ms": NOW_MS},
    "after nothing": {"after": -1},
    "after the first": {"after": 0},
    "versions": {"key_version": 2**63 - 1, "contract_version": 2**63 - 1},
    "names": {"entity": NAME, "contract": NAME},
}
BEYOND: dict[str, tuple[dict[str, Any], str]] = {
    "format 0": ({"format": 0}, "request.malformed"),
    "format 2": ({"format": 2}, "request.malformed"),
    "another ledger": ({"ledger_id": bytes(32)}, "request.wrong_ledger"),
    "argument": ({"argument": dumps("x" * (LIMITS.argument_bytes - 1))}, "request.too_large"),
    "advisory keys": ({"keys": (RecordName("a", "b"),) * (LIMITS.records_per_request + 1)}, "request.too_large"),
    "expiry": ({"not_before_ms": NOW_MS, "expiry_ms": NOW_MS - 1}, "request.malformed"),
    "after": ({"after": -2}, "request.malformed"),
    "key version": ({"key_version": 0}, "request.malformed"),
    "contract version": ({"contract_version": 0}, "request.malformed"),
    "entity": ({"entity": NAME + "n"}, "request.malformed"),
    "entity's characters": ({"entity": "a/b"}, "request.malformed"),
    "contract": ({"contract": NAME + "n"}, "request.malformed"),
    "no contract": ({"contract": ""}, "request.malformed"),
}
NOT_CANONICAL = (b"", b"{} ", b"1.0", b'{"a":1,"a":2}', b"NaN", b"\xff")


@pytest.mark.parametrize("changes", LAST_ALLOWED.values(), ids=LAST_ALLOWED)
def test_the_last_value_that_is_allowed(changes: dict[str, Any]) -> None:
    """Every bound is the greatest value still allowed, for who opens and for who encodes."""
    assert opened(body(**changes)).body == body(**changes)
    assert encode_request(body(**changes), NOW_MS, LEDGER_ID, LIMITS) == body(**changes).to_bytes()


@pytest.mark.parametrize(("changes", "code"), BEYOND.values(), ids=BEYOND)
def test_the_first_value_that_is_not(changes: dict[str, Any], code: str) -> None:
    """One more has its code, for who opens it and for who encodes it."""
    error = refusal(lambda: opened(body(**changes)))
    assert error.code == code
    assert refusal(lambda: encode_request(body(**changes), NOW_MS, LEDGER_ID, LIMITS)).code == code


@pytest.mark.parametrize("argument", NOT_CANONICAL)
def test_an_argument_is_canonical_json(argument: bytes) -> None:
    """A second form of a value would give one call two identities."""
    error = refusal(lambda: opened(body(argument=argument)))
    assert error.code == "argument.not_canonical"


def test_bytes_that_are_no_request() -> None:
    """Neither as an envelope nor as the body in one."""
    whole = alone(body()).to_bytes()
    for data in (b"", whole[:-1], whole + b"\0", bytes(200)):
        error = refusal(lambda data=data: open_request(data, LEDGER_ID, LIMITS))  # type: ignore[misc]
        assert error.code == "request.malformed"
    error = refusal(lambda: opened(body(), body=body().to_bytes() + b"\0"))
    assert error.code == "request.malformed"


def test_an_envelope_has_a_bound_before_it_is_parsed() -> None:
    """What a body may have and 1,024 bytes around it; beyond that nothing is read."""
    longest = LIMITS.request_bytes + 1024
    fits = refusal(lambda: open_request(bytes(longest), LEDGER_ID, LIMITS))
    exceeds = refusal(lambda: open_request(bytes(longest + 1), LEDGER_ID, LIMITS))
    assert (fits.code, exceeds.code) == ("request.malformed", "request.too_large")


def test_as_many_are_signed_together_as_the_limit_says() -> None:
    """A longer path costs every party more hashes."""
    for count, code in ((LIMITS.signed_together, ""), (LIMITS.signed_together + 1, "request.too_large")):
        bodies = [body(nonce=bytes((number,)) * 16).to_bytes() for number in range(count)]
        batch = gather_requests(LEDGER_ID, bodies)
        assert batch.signed == request_batch_input(LEDGER_ID, merkle.root(batch.request_ids), count)
        for envelope, identity in zip(batch.envelopes(bytes(64)), batch.request_ids, strict=True):
            if code:
                error = refusal(lambda e=envelope: open_request(e.to_bytes(), LEDGER_ID, LIMITS))  # type: ignore[misc]
                assert error.code == code
            else:
                request = open_request(envelope.to_bytes(), LEDGER_ID, LIMITS)
                assert (request.root, request.request_id) == (batch.root, identity)


@pytest.mark.parametrize(
    "changes", [{"index": 1}, {"index": -1}, {"count": 0}, {"count": 2}, {"path": (bytes(32),)}], ids=str
)
def test_a_place_that_no_tree_has(changes: dict[str, Any]) -> None:
    """The path has the one length that index and count give it."""
    envelope = replace(alone(body()), **changes).to_bytes()
    error = refusal(lambda: open_request(envelope, LEDGER_ID, LIMITS))
    assert error.code == "request.malformed"


# --- Times ---

AHEAD_MS = LIMITS.expiry_ahead_ms


@pytest.mark.parametrize(
    ("not_before_ms", "expiry_ms", "code"),
    [
        (NOW_MS, NOW_MS, ""),
        (NOW_MS + 1, NOW_MS + 1, "request.not_yet_valid"),
        (NOW_MS - 1, NOW_MS - 1, "request.expired"),
        (NOW_MS, NOW_MS + AHEAD_MS, ""),
        (NOW_MS, NOW_MS + AHEAD_MS + 1, "request.too_far_ahead"),
    ],
)
def test_times_are_judged_to_the_millisecond(not_before_ms: int, expiry_ms: int, code: str) -> None:
    """`not_before <= ordered_at <= expiry <= ordered_at + 24 h`, for the parties and for who encodes."""
    asked = body(not_before_ms=not_before_ms, expiry_ms=expiry_ms)
    if not code:
        check_times(asked, NOW_MS, LIMITS)
        assert encode_request(asked, NOW_MS, LEDGER_ID, LIMITS) == asked.to_bytes()
        return
    assert refusal(lambda: check_times(asked, NOW_MS, LIMITS)).code == code
    assert refusal(lambda: encode_request(asked, NOW_MS, LEDGER_ID, LIMITS)).code == code


# --- Encoding ---


def test_a_body_has_a_bound() -> None:
    """The greatest body is encoded, a byte more is not."""
    room = LIMITS.request_bytes - len(body(keys=(RecordName("", ""),)).to_bytes()) - 1  # a length of two bytes
    largest = body(keys=(RecordName("", "k" * room),))
    assert len(encode_request(largest, NOW_MS, LEDGER_ID, LIMITS)) == LIMITS.request_bytes
    larger = body(keys=(RecordName("", "k" * (room + 1)),))
    assert refusal(lambda: encode_request(larger, NOW_MS, LEDGER_ID, LIMITS)).code == "request.too_large"


@pytest.mark.parametrize(
    "changes",
    [{"key_version": 2**63}, {"contract_version": "1"}, {"entity": None}, {"entity": "\ud800"}, {"keys": ((1, 2),)}],
    ids=str,
)
def test_fields_that_have_no_bytes(changes: dict[str, Any]) -> None:
    """Other types and numbers beyond their range are the caller's mistake, with a code and not a traceback."""
    error = refusal(lambda: encode_request(body(**changes), NOW_MS, LEDGER_ID, LIMITS))
    assert error.code == "request.malformed"


# --- What they touch, and who signed them ---


def test_the_records_that_requests_will_touch() -> None:
    """Each signer's key in its version, each contract, each advisory key; every one once."""
    shared = RecordName("sys", contract_key("object.get", 1).key)
    first = opened(body(keys=(RecordName("object", "a"), shared)))
    second = opened(body(key_version=2, contract_version=3, keys=(RecordName("object", "a"),)))
    assert records_of([first, second, first]) == (
        (
            public_key_key("admin", 1),
            public_key_key("admin", 2),
            contract_key("object.get", 1),
            contract_key("object.get", 3),
        ),
        (RecordKey("object", "a"),),
    )
    assert records_of([]) == ((), ())


def key_record(value: bytes | None) -> Record:
    """A registry record of the administrator's key."""
    made = (public_key_key("admin", 1), ABSENT, value)
    return successor(LEDGER_ID, *made, request_id=bytes(32), writer_sequence=0, writer_index=0)


def key_value(name: str, status: str = "active") -> bytes:
    """What stands in it."""
    return dumps({"algorithm": "p256", "public_key": key_of(name).public_key.key.hex(), "status": status})


def test_the_key_in_a_record() -> None:
    """Whatever its status: the execution judges that. Without a record, or after a deletion, there is none."""
    for status in ("active", "revoked"):
        assert public_key_of(key_record(key_value("admin", status))) == ADMIN.public_key
    assert public_key_of(ABSENT) is None
    assert public_key_of(key_record(None)) is None
    assert public_key_of(key_record(key_value("admin"))._replace(version=0)) is None


@pytest.mark.parametrize(
    "value",
    [b"{", b"[]", b"{}", dumps({"algorithm": "p256"}), dumps({"algorithm": "p256", "public_key": "xy"}), b"null"],
)
def test_a_record_that_holds_no_key(value: bytes) -> None:
    """Our own store is damaged then, and nobody else is to blame."""
    with pytest.raises(DamagedRecordError):
        public_key_of(key_record(value))


def test_requests_share_a_check_where_they_share_a_signature() -> None:
    """Root, count, key and signature: only where all four are the same is one verification enough."""
    records = {
        public_key_key("admin", 1): key_record(key_value("admin")),
        public_key_key("admin", 2): key_record(key_value("another")),
        public_key_key("admin", 3): ABSENT,
    }
    bodies = [body(nonce=bytes((number,)) * 16).to_bytes() for number in range(4)]
    batch = gather_requests(LEDGER_ID, bodies)
    envelopes = batch.envelopes(ADMIN.sign(batch.signed))
    together = [open_request(envelope.to_bytes(), LEDGER_ID, LIMITS) for envelope in envelopes]
    signatures = ClientSignatures(records)
    first = signatures.check_of(together[0])
    assert first == together[0].signature_check(ADMIN.public_key)
    assert all(signatures.check_of(request) is first for request in together)
    forged = together[0]._replace(envelope=replace(envelopes[0], signature=bytes(64)))
    assert signatures.check_of(forged) == forged.signature_check(ADMIN.public_key) != first
    recounted = together[0]._replace(envelope=replace(envelopes[0], count=5))
    assert signatures.check_of(recounted) == recounted.signature_check(ADMIN.public_key) != first
    moved = together[0]._replace(root=bytes(32))
    assert signatures.check_of(moved) == moved.signature_check(ADMIN.public_key) != first
    rotated = opened(body(key_version=2))
    assert signatures.check_of(rotated) == rotated.signature_check(key_of("another").public_key)


def test_a_signer_without_a_key_has_no_check() -> None:
    """Whether its record is absent or was not fetched."""
    signatures = ClientSignatures({public_key_key("admin", 3): ABSENT})
    assert signatures.check_of(opened(body(key_version=3))) is None
    assert signatures.check_of(opened(body(key_version=4))) is None
