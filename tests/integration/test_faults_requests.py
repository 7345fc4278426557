"""Requests that are wrong in every way: each gets its code, and the next request is served."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from deploy.initialize import AUDITOR
from protocol.canonical_json import dumps
from protocol.contracts.key_proof import key_proof_input
from protocol.errors import CountersignError
from protocol.signing import SEED_SIZE, SigningKey
from schemas.request import Envelope, RecordName, RequestBody
from streams.client import RejectedError
from tests.agreement import await_rest, check_nobody_halted, check_nobody_is_accused, check_same_records
from tests.mutations import other_signature
from tests.pipeline import Pipeline
from tests.raw_requests import MINUTE_MS, Became, RawClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PUT = "object.put"
DAY_MS = 24 * 60 * MINUTE_MS
STRANGER = SigningKey.from_seed("p256", secrets.token_bytes(SEED_SIZE))


@pytest.fixture(scope="module")
def raw(ledger: Pipeline) -> Iterator[RawClient]:
    """Sends what it is told to; at the end the ledger is as it should be."""
    with RawClient(ledger) as made:
        yield made
    await_rest(ledger)
    check_nobody_halted(ledger)
    check_nobody_is_accused(ledger)
    check_same_records(ledger)


@pytest.fixture(autouse=True)
def _served_afterwards(raw: RawClient) -> Iterator[None]:
    yield
    honest = raw.sign(raw.body(PUT, {"key": "probe/requests", "value": 1}))
    assert raw.ask(honest).place is not None


def put(raw: RawClient, **changes: Any) -> RequestBody:
    return replace(raw.body(PUT, {"key": "never", "value": 0}), **changes)


def expiring(raw: RawClient, in_ms: int) -> RequestBody:
    body = put(raw)
    return replace(body, expiry_ms=body.expiry_ms - MINUTE_MS + in_ms)


BODIES: dict[str, tuple[Callable[[RawClient], RequestBody], str]] = {
    "another format": (lambda raw: put(raw, format=2), "request.malformed"),
    "a key of version 0": (lambda raw: put(raw, key_version=0), "request.malformed"),
    "a contract of version 0": (lambda raw: put(raw, contract_version=0), "request.malformed"),
    "a name that is none": (lambda raw: put(raw, entity="a/b"), "request.malformed"),
    "expired before it is valid": (lambda raw: put(raw, not_before_ms=2, expiry_ms=1), "request.malformed"),
    "another ledger": (lambda raw: put(raw, ledger_id=secrets.token_bytes(32)), "request.wrong_ledger"),
    "a long argument": (lambda raw: put(raw, argument=dumps("x" * 32 * 1024)), "request.too_large"),
    "many advisory keys": (lambda raw: put(raw, keys=(RecordName("object", "a"),) * 65), "request.too_large"),
    "an unknown entity": (lambda raw: put(raw, entity="nobody"), "entity.unknown"),
    "an unknown key": (lambda raw: put(raw, key_version=9), "entity.unknown"),
    "expired": (lambda raw: expiring(raw, -1_000), "request.expired"),
    "valid later": (lambda raw: put(raw, not_before_ms=put(raw).expiry_ms - 1), "request.not_yet_valid"),
    "valid for too long": (lambda raw: expiring(raw, 2 * DAY_MS), "request.too_far_ahead"),
    "after what never was": (lambda raw: put(raw, after=10**9), "request.after_unknown"),
    "an unknown contract": (lambda raw: put(raw, contract="nothing"), "contract.unknown"),
    "an unknown version": (lambda raw: put(raw, contract_version=2), "contract.unknown"),
}


ENVELOPES: dict[str, tuple[Callable[[RawClient, Envelope], Envelope], str]] = {
    "a stranger's signature": (
        lambda raw, envelope: raw.sign(RequestBody.from_bytes(envelope.body), STRANGER),
        "request.bad_signature",
    ),
    "no signature": (lambda _, envelope: replace(envelope, signature=bytes(64)), "request.bad_signature"),
    "the other signature": (
        lambda _, envelope: replace(envelope, signature=other_signature(envelope.signature)),
        "request.bad_signature",
    ),
    "a foreign leaf": (
        lambda _, envelope: replace(envelope, index=0, count=2, path=(bytes(32),)),
        "request.bad_signature",
    ),
    "an index behind the end": (lambda _, envelope: replace(envelope, index=1), "request.malformed"),
    "a path too long": (lambda _, envelope: replace(envelope, path=(bytes(32),)), "request.malformed"),
    "signed with too many": (
        lambda _, envelope: replace(envelope, count=8192, path=(bytes(32),) * 13),
        "request.too_large",
    ),
    "too long": (lambda _, envelope: replace(envelope, body=envelope.body + bytes(80_000)), "request.too_large"),
    "a body that does not parse": (
        lambda _, envelope: replace(envelope, body=envelope.body + b"\0"),
        "request.malformed",
    ),
}


NOT_CANONICAL = {
    "nothing": b"",
    "white space": b'{"a": 1}',
    "a float": b"1.0",
    "an exponent": b"1e2",
    "minus zero": b"-0",
    "2^53": b"9007199254740992",
    "a key twice": b'{"a":1,"a":1}',
    "unsorted keys": b'{"b":1,"a":1}',
    "astral keys in order of UTF-16": '{"\U00010000":1,"\uffff":1}'.encode(),
    "a lone surrogate": b'"\\ud800"',
    "a lone surrogate's bytes": b'"\xed\xa0\x80"',
    "a needless escape": b'"\\u0041"',
    "a byte order mark": b"\xef\xbb\xbf1",
    "depth 33": b"[" * 33 + b"]" * 33,
    "not a number": b"NaN",
    "more behind it": b"1 ",
}


@pytest.fixture(scope="module")
def meant(raw: RawClient) -> dict[str, Envelope]:
    """The requests that are then altered; valid until the last of these tests, however long they take."""
    body = raw.body(PUT, {"key": "meant", "value": 1})
    bodies = [replace(body, expiry_ms=body.expiry_ms + MINUTE_MS * (30 + n)) for n in range(len(ENVELOPES))]
    return dict(zip(ENVELOPES, map(raw.sign, bodies), strict=True))


@pytest.fixture(scope="module")
def became(raw: RawClient, meant: dict[str, Envelope]) -> dict[str, Became]:
    """What became of everything that is wrong, sent together: its rejections are signed once a second."""
    wrong = {
        **{name: raw.sign(make(raw)) for name, (make, _) in BODIES.items()},
        **{name: alter(raw, meant[name]) for name, (alter, _) in ENVELOPES.items()},
        **{name: raw.sign(put(raw, argument=argument)) for name, argument in NOT_CANONICAL.items()},
    }
    return dict(zip(wrong, raw.ask_all(list(wrong.values())), strict=True))


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_wrong(became: dict[str, Became], name: str) -> None:
    """It is signed as it should be, and turned away."""
    assert became[name] == Became(BODIES[name][1])


@pytest.mark.parametrize("name", ENVELOPES)
def test_an_envelope_that_was_altered(
    raw: RawClient, meant: dict[str, Envelope], became: dict[str, Became], name: str
) -> None:
    """It is turned away, which does not harm the request that was meant: sent afterwards it is decided."""
    assert became[name] == Became(ENVELOPES[name][1])
    assert raw.ask(meant[name]).place is not None


@pytest.mark.parametrize("name", NOT_CANONICAL)
def test_an_argument_that_is_not_canonical(became: dict[str, Became], name: str) -> None:
    """One code for all of them."""
    assert became[name] == Became("argument.not_canonical")


CLIENT_REFUSES: dict[str, tuple[str, Any, dict[str, Any], str]] = {
    "a float": (PUT, 1.5, {}, "argument.not_canonical"),
    "2^53": (PUT, 2**53, {}, "argument.not_canonical"),
    "a lone surrogate": (PUT, "\ud800", {}, "argument.not_canonical"),
    "a key that is no text": (PUT, {1: 2}, {}, "argument.not_canonical"),
    "a long argument": (PUT, "x" * 40_000, {}, "request.too_large"),
    "many advisory keys": (PUT, None, {"keys": [("object", "a")] * 65}, "request.too_large"),
    "a name that is none": ("a/b", None, {}, "request.malformed"),
    "a contract of version 0": (PUT, None, {"version": 0}, "request.malformed"),
    "valid for too long": (PUT, None, {"expiry_ms": 2 * DAY_MS}, "request.too_far_ahead"),
}


@pytest.mark.parametrize("name", CLIENT_REFUSES)
def test_what_the_client_library_refuses(ledger: Pipeline, name: str) -> None:
    """At the call, with the Auditor's code; the call after it is served."""
    contract, argument, options, code = CLIENT_REFUSES[name]
    with ledger.client() as client:
        with pytest.raises(CountersignError) as refused:
            client.submit(contract, argument, **options)
        assert refused.value.code == code
        assert client.execute("object.get", {"key": "a"}).ok


def test_arguments_of_another_shape(ledger: Pipeline) -> None:
    """A key that is a number is the contract's business: it fails, and the client goes on."""
    arguments: list[Any] = [{"key": key, "value": 1} for key in (5, None, ["a"])]
    with ledger.client() as client:
        for argument in [*arguments, [], "key"]:
            assert client.execute(PUT, argument).code == "contract.value"
        assert client.execute(PUT, {"key": "shape", "value": 1}).ok


def test_a_revoked_key(ledger: Pipeline, raw: RawClient) -> None:
    """Before its revocation it signs, afterwards never again; the entity is known all the same."""
    key = SigningKey.from_seed("ed25519", secrets.token_bytes(SEED_SIZE))
    algorithm, public = key.public_key
    name = f"retired-{secrets.token_hex(4)}"
    proof = key.sign(key_proof_input(raw.epochs.ledger_id, name, 1, algorithm, public))
    fields = {"algorithm": algorithm, "public_key": public.hex(), "proof": proof.hex()}
    read = {"key": "a"}
    with ledger.client() as admin:
        assert admin.execute("sys.entity.register", {"entity": name, **fields}).ok
        assert raw.ask(raw.sign(raw.body("object.get", read, entity=name), key)).place is not None
        assert admin.execute("sys.key.revoke", {"entity": name, "key_version": 1}).ok
    assert raw.ask(raw.sign(raw.body("object.get", read, entity=name), key)) == Became("entity.key_revoked")


def test_a_replayed_request(ledger: Pipeline, raw: RawClient) -> None:
    """Into every partition, before and after a restart of the Auditor: decided once, its receipt given again."""
    envelope = raw.sign(raw.body(PUT, {"key": secrets.token_hex(8), "value": 1}))
    first = raw.ask(envelope)
    for partition in range(4):
        raw.send(envelope.to_message(), partition=partition)
    ledger.stack.supervisor.stop(AUDITOR)
    ledger.start(AUDITOR)
    for partition in range(4):
        raw.send(envelope.to_message(), partition=partition)
    assert raw.ask(raw.sign(raw.body(PUT, {"key": "probe/replay", "value": 1}))).place is not None
    assert set(raw.became(envelope, wait_s=2)) == {first}
    key = RequestBody.from_bytes(envelope.body).argument.decode().split('"')[3]
    assert first.place
    await_rest(ledger)
    rows = ledger.views().query(f"SELECT version FROM history WHERE key = '{key}'").rows
    assert rows == ((1,),)


def test_a_request_that_was_rejected_for_good(ledger: Pipeline, raw: RawClient) -> None:
    """Sent again when its contract exists, it stays rejected."""
    name = f"later-{secrets.token_hex(4)}"
    envelope = raw.sign(raw.body(name, None))
    assert raw.ask(envelope) == Became("contract.unknown")
    source = "def execute(argument):\n    return 1\n"
    with ledger.client() as admin:
        assert admin.execute("sys.contract.register", {"contract": name, "version": 1, "source": source}).ok
    raw.send(envelope.to_message(), partition=2)
    assert raw.ask(raw.sign(raw.body(name, None))).place is not None
    assert raw.became(envelope, wait_s=0) == [Became("contract.unknown")]


def test_the_client_is_told(ledger: Pipeline) -> None:
    """A rejection ends the client's waiting with its code."""
    with ledger.client() as client:
        with pytest.raises(RejectedError) as rejected:
            client.execute("nothing", None)
        assert rejected.value.code == "contract.unknown"
        with pytest.raises(RejectedError) as rejected:
            client.submit("nothing", None, version=2).result(30)
        assert rejected.value.code == "contract.unknown"
