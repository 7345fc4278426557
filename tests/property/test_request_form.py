"""The client and the Auditor judge a request's form alike: with the same code, and at every limit."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from protocol.canonical_json import NotCanonicalError, dumps
from protocol.limits import Limits
from protocol.requests import RequestError, check_times, gather_requests, open_request
from schemas.request import RecordName, RequestBody
from streams.client_bodies import RequestBodies
from tests.parties import key_of, make_epochs

LIMITS = Limits.tiny()
EPOCHS = make_epochs(limits=LIMITS)
ADMIN = key_of("admin")
NOW_MS = 1_700_000_000_000

anything = st.text(max_size=4)

def mostly(good: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nine good ones and an odd one: a request with several odd parts says nothing of each."""
    return st.sampled_from([good] * 9 + [odd]).flatmap(lambda chosen: chosen)


good_names = st.sampled_from(["object.put", "object.get", "transfer", "a", "x" * LIMITS.name_bytes])
names = mostly(good_names, anything | st.just("x" * (LIMITS.name_bytes + 1)))
good_versions = st.integers(1, 3) | st.sampled_from([2**53, 2**63 - 1])
versions = mostly(good_versions, st.sampled_from([-1, 0, 2**63, 2**64, None, "1", 1.0]))
long_texts = st.integers(LIMITS.argument_bytes - 4, LIMITS.argument_bytes + 1).map(lambda size: "x" * size)
keys_of_objects = anything | st.integers() | st.none() | st.integers(60, 70).map(lambda size: "k" * size)
arguments = (
    st.recursive(st.none() | st.integers(-(2**54), 2**54) | st.floats() | anything, st.lists, max_leaves=4)
    | long_texts
    | st.fixed_dictionaries({"key": keys_of_objects, "value": st.integers(0, 1)})
    | st.fixed_dictionaries({"from": keys_of_objects, "to": keys_of_objects})
)
advised = st.lists(
    st.tuples(anything, anything | st.integers(100, 300).map(lambda size: "k" * size)),
    max_size=LIMITS.records_per_request + 1,
)
good_expiries = st.integers(0, LIMITS.expiry_ahead_ms) | st.just(LIMITS.expiry_ahead_ms)
expiries = mostly(good_expiries, st.sampled_from([-1, LIMITS.expiry_ahead_ms + 1, 2**63]))


def judged(encoded: bytes, now_ms: int) -> str:
    """The code with which the Auditor turns a request away for its form, at this moment; empty if it does not."""
    others = [encoded] * (LIMITS.signed_together - 1)
    unsigned = gather_requests(EPOCHS.ledger_id, [encoded, *others])
    envelope = unsigned.envelopes(ADMIN.sign(unsigned.signed))[0]
    try:
        request = open_request(envelope.to_bytes(), EPOCHS.ledger_id, LIMITS)
        check_times(request.body, now_ms, LIMITS)
    except RequestError as error:
        return error.code
    return ""


@settings(max_examples=400)
@given(
    entity=names,
    contract=names,
    argument=arguments,
    version=versions,
    keys=st.none() | advised,
    expiry_ms=expiries,
)
def test_what_the_client_lets_pass_the_auditor_does_not_reject(
    entity: str, contract: str, argument: Any, version: Any, keys: Any, expiry_ms: int
) -> None:
    """Nor the other way round: what the client refuses, the Auditor rejects with the same code."""
    bodies = RequestBodies(EPOCHS, entity=entity, key_version=1)
    try:
        body, encoded = bodies.make(contract, argument, version=version, keys=keys, expiry_ms=expiry_ms, after=-1)
    except NotCanonicalError:
        event("argument.not_canonical")  # there are no bytes for it that the Auditor could be sent
        return
    except RequestError as error:
        refused = error.code
    else:
        event("passes")
        assert body.to_bytes() == encoded
        assert judged(encoded, body.expiry_ms - expiry_ms) == ""
        return
    event(refused)
    sent = unchecked(entity, contract, argument, version, keys, expiry_ms)
    if sent is None:
        assert refused == "request.malformed"
    elif len(sent) > LIMITS.request_bytes:
        assert refused == "request.too_large"
    else:
        assert refused == judged(sent, NOW_MS)


def unchecked(entity: str, contract: str, argument: Any, version: Any, keys: Any, expiry_ms: int) -> bytes | None:
    """The same body from a client that checks nothing; None if there are no such bytes."""
    body = RequestBody(
        format=1,
        ledger_id=EPOCHS.ledger_id,
        entity=entity,
        key_version=1,
        nonce=bytes(16),
        contract=contract,
        contract_version=version,
        argument=dumps(argument),
        not_before_ms=0,
        expiry_ms=NOW_MS + expiry_ms,
        after=-1,
        keys=tuple(RecordName(*key) for key in keys or ()),
    )
    try:
        return body.to_bytes()
    except (TypeError, ValueError):
        return None


@pytest.mark.parametrize("count", range(1, LIMITS.signed_together + 1))
def test_the_largest_body_fits_every_envelope(count: int) -> None:
    """However many are signed with it: what is allowed beside a body is enough for an envelope's own fields."""
    made = RequestBody.from_bytes(unchecked("admin", "a", None, 1, [("", "")], 1) or b"")
    room = LIMITS.request_bytes - len(made.to_bytes()) - 1  # the length of a long key is of two bytes
    largest = replace(made, keys=(RecordName("", "k" * room),)).to_bytes()
    assert len(largest) == LIMITS.request_bytes
    unsigned = gather_requests(EPOCHS.ledger_id, [largest] * count)
    for envelope in unsigned.envelopes(ADMIN.sign(unsigned.signed)):
        open_request(envelope.to_bytes(), EPOCHS.ledger_id, LIMITS)
