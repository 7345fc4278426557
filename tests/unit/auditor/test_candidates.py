"""From messages to requests that may be ordered: what is opened, who answers for it, and when it is in time."""

from dataclasses import replace
from typing import Any

import pytest

from auditor.candidates import Candidates, drop_forged, drop_untimely, open_messages, signature_checks
from protocol.contracts.genesis import genesis_versions
from protocol.contracts.names import public_key_key
from protocol.limits import Limits
from protocol.records import ABSENT, Record, RecordKey
from protocol.requests import OpenedRequest, call_of
from schemas.request import Envelope, RecordName
from storage.effects import Message
from storage.ports import BUCKET_MS, RequestExpiry
from tests.worlds import START_MS, World

LIMITS = Limits()


def message(value: bytes | None, offset: int = 0) -> Message:
    return Message("requests", 0, offset, 0, None, value, START_MS)


def opened(world: World, *requests: OpenedRequest) -> Candidates:
    """Requests as they come in."""
    messages = [message(request.envelope.to_message(), offset) for offset, request in enumerate(requests)]
    return open_messages(messages, world.ledger_id, LIMITS)


def registry(world: World) -> dict[RecordKey, Record]:
    """The records of the genesis."""
    pairs = ((RecordKey(r.namespace, r.key), r.value) for r in world.epochs.genesis.records)
    return dict(genesis_versions(world.ledger_id, pairs))


def identities(candidates: Candidates) -> list[bytes]:
    return [request.request_id for request in candidates.requests]


# --- Opening ---


def test_requests_stand_in_the_order_of_their_messages() -> None:
    """Each beside the message it came in, whatever lies between them."""
    world = World()
    first, second = world.put("a", 1), world.put("a", 2)
    messages = [
        message(b"rubbish", 0),
        message(first.envelope.to_message(), 1),
        message(None, 2),
        message(second.envelope.to_message(), 3),
    ]
    candidates = open_messages(messages, world.ledger_id, LIMITS)
    assert candidates.requests == [first, second]
    assert candidates.messages == [messages[1], messages[3]]
    assert (candidates.skipped, candidates.unauthenticated) == (2, [])


def test_an_envelope_that_cannot_be_a_request_is_answered_by_its_hash() -> None:
    """Rubbish in our own frame, and a request for another ledger: nobody's request_id is bound."""
    world = World()
    frame = Envelope.avro.frame
    elsewhere = World(b"elsewhere").put("a", 1)
    messages = [message(frame + b"rubbish"), message(elsewhere.envelope.to_message())]
    candidates = open_messages(messages, world.ledger_id, LIMITS)
    assert candidates.requests == []
    assert candidates.unauthenticated == [
        (b"rubbish", "request.malformed"),
        (elsewhere.envelope_bytes, "request.wrong_ledger"),
    ]
    assert candidates.skipped == 0


def test_limits_are_those_of_the_epoch() -> None:
    """An argument of the greatest size is opened, a byte more is not."""
    world = World()
    request = world.put("a", "x" * 50)
    size = len(request.body.argument)
    for allowed, code in ((size, []), (size - 1, ["request.too_large"])):
        narrow = replace(LIMITS, argument_bytes=allowed)
        candidates = open_messages([message(request.envelope.to_message())], world.ledger_id, narrow)
        assert [found for _, found in candidates.unauthenticated] == code
        assert len(candidates.requests) == 1 - len(code)


def test_what_is_fetched_and_asked_and_executed_is_that_of_the_requests() -> None:
    """Keys of entities, contracts and advisory keys, each once; the guard is asked for every request."""
    world = World()
    keys = (RecordName("object", "a"), RecordName("object", "b"))
    first = world.request("object.put", {"key": "a", "value": 1}, keys=keys)
    second = world.request("object.get", {"key": "a"}, keys=keys[:1])
    candidates = opened(world, first, second)
    assert candidates.records() == (
        (
            public_key_key("admin", 1),
            RecordKey("sys", "contract/object.put/1"),
            RecordKey("sys", "contract/object.get/1"),
        ),
        (RecordKey("object", "a"), RecordKey("object", "b")),
    )
    assert candidates.replay() == (
        RequestExpiry(first.request_id, first.body.expiry_ms),
        RequestExpiry(second.request_id, second.body.expiry_ms),
    )
    assert candidates.calls() == (call_of(first), call_of(second))


def test_a_dropped_request_takes_its_message_along() -> None:
    """The two lists never come apart."""
    world = World()
    candidates = opened(world, *[world.put("a", number) for number in range(3)])
    requests, messages = list(candidates.requests), list(candidates.messages)
    candidates.keep([True, True, True])
    assert (candidates.requests, candidates.messages) == (requests, messages)
    candidates.keep([True, False, True])
    assert (candidates.requests, candidates.messages) == (requests[::2], messages[::2])


# --- Authentication ---


def test_what_a_client_signed_together_is_checked_once() -> None:
    """One check for three requests, another for somebody else's; each request names the one it needs."""
    world = World()
    together = world.sign(*[world.body("object.put", {"key": "a", "value": n}) for n in range(3)])
    alone = world.put("b", 1)
    candidates = opened(world, *together[:2], alone, together[2])
    distinct, needed = signature_checks(candidates, registry(world))
    assert len(distinct) == 2
    assert needed == [distinct[0], distinct[0], distinct[1], distinct[0]]


@pytest.mark.parametrize("changes", [{"entity": "nobody"}, {"key_version": 2}])
def test_nobody_answers_for_an_unknown_entity(changes: dict[str, Any]) -> None:
    """Nor for a key that is not there: dropped before anything is verified, with the others in their places."""
    world = World()
    known, other = world.put("a", 1), world.put("b", 1)
    unknown = world.request("object.get", {"key": "a"}, **changes, signer="admin")
    candidates = opened(world, known, unknown, other)
    records = {**registry(world), public_key_key("nobody", 1): ABSENT, public_key_key("admin", 2): ABSENT}
    distinct, needed = signature_checks(candidates, records)
    assert identities(candidates) == [known.request_id, other.request_id]
    assert candidates.unauthenticated == [(unknown.envelope_bytes, "entity.unknown")]
    assert list(distinct) == needed
    assert len(needed) == 2
    assert candidates.rejections.entries == []


def test_a_forged_signature_drops_its_own_requests_only() -> None:
    """The check's answer, not its place in the batch, decides."""
    world = World()
    good, forged = world.put("a", 1), world.request("object.get", {"key": "a"}, signer="eve")
    candidates = opened(world, forged, good)
    distinct, needed = signature_checks(candidates, registry(world))
    drop_forged(candidates, needed, {distinct[0]: False, distinct[1]: True})
    assert identities(candidates) == [good.request_id]
    assert candidates.unauthenticated == [(forged.envelope_bytes, "request.bad_signature")]
    assert candidates.rejections.entries == []


# --- Times ---


def judged(ordered_at_ms: int, sequence: int = -1, **changes: Any) -> list[str]:
    """The code with which a request is turned away, nothing if it is kept."""
    world = World()
    fields: dict[str, Any] = {"not_before_ms": 0, "expiry_ms": ordered_at_ms, "after": -1, **changes}
    candidates = opened(world, world.request("object.get", {"key": "a"}, **fields))
    drop_untimely(candidates, ordered_at_ms=ordered_at_ms, sequence=sequence, limits=LIMITS)
    codes = [entry.code for entry in candidates.rejections.entries]
    assert len(candidates.requests) == 1 - len(codes)
    return codes


MIDDLE_MS = START_MS // BUCKET_MS * BUCKET_MS + BUCKET_MS // 2
AHEAD_MS = MIDDLE_MS + LIMITS.expiry_ahead_ms


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"not_before_ms": MIDDLE_MS}, []),
        ({"not_before_ms": MIDDLE_MS + 1, "expiry_ms": AHEAD_MS}, ["request.not_yet_valid"]),
        ({"expiry_ms": MIDDLE_MS}, []),
        ({"expiry_ms": MIDDLE_MS - 1}, ["request.expired"]),
        ({"expiry_ms": AHEAD_MS}, []),
        ({"expiry_ms": AHEAD_MS + 1}, ["request.too_far_ahead"]),
    ],
)
def test_times_are_judged_by_what_will_be_signed_at_their_exact_bounds(
    changes: dict[str, Any], codes: list[str]
) -> None:
    """`not_before <= ordered_at <= expiry <= ordered_at + 24 h`, to the millisecond."""
    assert judged(MIDDLE_MS, **changes) == codes


def test_an_expired_request_is_forgotten_once_the_guard_has_let_go_of_its_minute() -> None:
    """Until the last millisecond of it the Auditor knows that it was not decided; after it nobody does."""
    bucket = START_MS // BUCKET_MS
    first, last = bucket * BUCKET_MS, (bucket + 1) * BUCKET_MS - 1
    assert judged(last, expiry_ms=first) == ["request.expired"]
    assert judged(last + 1, expiry_ms=last) == ["request.forgotten"]
    assert judged(last + 1, expiry_ms=last + 1) == []


def test_a_request_follows_a_receipt_that_there_is() -> None:
    """The last sequence may have been seen, no later one."""
    assert judged(MIDDLE_MS, sequence=7, after=7) == []
    assert judged(MIDDLE_MS, sequence=7, after=8) == ["request.after_unknown"]
    assert judged(MIDDLE_MS, sequence=-1, after=0) == ["request.after_unknown"]


def test_what_is_out_of_time_is_said_before_what_it_follows() -> None:
    """An expired request is gone for good, whatever it follows."""
    assert judged(MIDDLE_MS, sequence=-1, after=5, expiry_ms=MIDDLE_MS - 1) == ["request.expired"]


def test_a_request_stands_once_in_a_batch() -> None:
    """The first of its messages counts; the others are duplicates, which are dropped and never rejected."""
    world = World()
    first, other = world.put("a", 1), world.put("a", 2)
    candidates = opened(world, first, other, first)
    drop_untimely(candidates, ordered_at_ms=world.now_ms, sequence=-1, limits=LIMITS)
    assert candidates.requests == [first, other]
    assert [message.offset for message in candidates.messages] == [0, 1]
    assert candidates.rejections.entries == []
