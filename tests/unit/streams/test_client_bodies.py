"""Bodies of requests: what can be known of a request's form is said before it is signed, with the Auditor's code."""

from dataclasses import replace
from typing import Any

import pytest

from protocol.errors import CountersignError
from protocol.limits import Limits
from schemas.request import RecordName
from streams.client_bodies import RequestBodies
from tests.parties import make_epochs
from tests.worlds import World

LIMITS = Limits()
WORLD = World()
PUT = {"key": "a", "value": 1}


def make(contract: str = "object.put", argument: Any = PUT, **changes: Any) -> Any:
    """The body that the client makes, and its bytes."""
    entity, key_version = changes.pop("entity", "admin"), changes.pop("key_version", 1)
    bodies = RequestBodies(WORLD.epochs, entity=entity, key_version=key_version)
    usual = {"version": 1, "keys": None, "expiry_ms": 60_000, "after": -1}
    return bodies.make(contract, argument, **{**usual, **changes})


def text_of(size: int) -> str:
    """A text whose canonical JSON has so many bytes."""
    return "x" * (size - 2)


def nested(depth: int) -> Any:
    """Arrays inside one another."""
    return [nested(depth - 1)] if depth else 1


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a float": ({"argument": 1.5}, "argument.not_canonical"),
    "a tuple": ({"argument": (1, 2)}, "argument.not_canonical"),
    "depth 33": ({"argument": nested(33)}, "argument.not_canonical"),
    "an argument too long": ({"argument": text_of(LIMITS.argument_bytes + 1)}, "request.too_large"),
    "too many keys": ({"keys": [("object", "a")] * (LIMITS.records_per_request + 1)}, "request.too_large"),
    "keys too long": ({"keys": [("object", "a" * 40_000)] * 2}, "request.too_large"),
    "a lone surrogate in a key": ({"keys": [("object", "\ud800")]}, "request.malformed"),
    "a key that is no text": ({"keys": [("object", 5)]}, "request.malformed"),
    "an empty name": ({"contract": ""}, "request.malformed"),
    "a path for a name": ({"contract": "a/b"}, "request.malformed"),
    "a name too long": ({"contract": "x" * (LIMITS.name_bytes + 1)}, "request.malformed"),
    "a lone surrogate for a name": ({"contract": "\ud800"}, "request.malformed"),
    "no name": ({"contract": None}, "request.malformed"),
    "an entity that is none": ({"entity": "Jörg"}, "request.malformed"),
    "a key of version 0": ({"key_version": 0}, "request.malformed"),
    "a contract of version 0": ({"version": 0}, "request.malformed"),
    "a contract of version 2^63": ({"version": 2**63}, "request.malformed"),
    "a contract of version one": ({"version": "1"}, "request.malformed"),
    "a contract of version 1.0": ({"version": 1.0}, "request.malformed"),
    "an expiry beyond the limit": ({"expiry_ms": LIMITS.expiry_ahead_ms + 1}, "request.too_far_ahead"),
    "half a millisecond": ({"expiry_ms": 0.5}, "request.malformed"),
    "an expiry in the past": ({"expiry_ms": -1}, "request.expired"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    """With the code that the Auditor has for it."""
    changes, code = REFUSED[name]
    with pytest.raises(CountersignError) as refused:
        make(**changes)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "changes",
    [
        {"argument": text_of(LIMITS.argument_bytes)},
        {"keys": [("object", "a")] * LIMITS.records_per_request},
        {"contract": "x" * LIMITS.name_bytes},
        {"version": 2**63 - 1},
        {"expiry_ms": LIMITS.expiry_ahead_ms},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_greatest_that_is_allowed(changes: dict[str, Any]) -> None:
    """Each limit is the greatest value still allowed."""
    body, encoded = make(**changes)
    assert type(body).from_bytes(encoded) == body


@pytest.mark.parametrize(
    "argument",
    [
        {"value": 1},
        {"key": 5},
        {"key": None},
        {"key": ["a"]},
        {"key": "a" * (LIMITS.key_bytes + 1)},
        [],
        "key",
        None,
    ],
    ids=repr,
)
def test_an_argument_of_another_shape_has_no_hints(argument: Any) -> None:
    """What it is good for is the contract's business."""
    body, _ = make("object.put", argument)
    assert body.keys == ()


def test_hints_are_no_more_than_a_request_may_have() -> None:
    """They are advice: a ledger that allows two records still takes the request, which its contract may fail."""
    argument = {"from": "a", "to": "b", "amount": 1}
    hints = (RecordName("bank", "a"), RecordName("bank", "b"), RecordName("sys", "namespace/bank"))
    narrow = make_epochs(limits=replace(LIMITS, records_per_request=2))
    for epochs, expected in ((WORLD.epochs, hints), (narrow, hints[:2])):
        bodies = RequestBodies(epochs, entity="admin", key_version=1)
        body, _ = bodies.make("transfer", argument, version=1, keys=None, expiry_ms=1, after=-1)
        assert body.keys == expected
