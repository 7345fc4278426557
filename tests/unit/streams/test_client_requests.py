"""Requests without an answer: each is settled once, whatever the two threads do, and who cancels harms nobody else."""

from concurrent.futures import CancelledError

import pytest

from protocol.errors import CountersignError
from schemas.request import RequestBody
from streams.client_requests import LOOK_EACH_S, RESEND_FIRST_S, RESEND_LONGEST_S, PendingRequest, PendingRequests
from tests.worlds import World

ANSWER = CountersignError("request.expired")
BODY_BYTES = World().body("object.get", {"key": "a"})
BODY = RequestBody.from_bytes(BODY_BYTES)


def request(name: bytes) -> PendingRequest:
    """A request with this id."""
    return PendingRequest(body=BODY, body_bytes=BODY_BYTES, request_id=name, envelope_hash=b"envelope " + name)


def pending(*names: bytes, now: float = 0.0) -> tuple[PendingRequests, list[PendingRequest]]:
    """Requests with these ids, just sent."""
    requests = PendingRequests()
    made = [request(name) for name in names]
    for each in made:
        each.put_off(now)
        requests.add(each)
    return requests, made


def test_each_is_due_after_a_while_and_ever_more_rarely() -> None:
    """5, 10, 20 and then every 30 seconds."""
    requests, [request] = pending(b"a")
    now = 0.0
    waits: list[float] = []
    while len(waits) < 5:
        now += LOOK_EACH_S
        if requests.due(now):
            waits.append(now)
            request.put_off(now)
    assert [after - before for before, after in zip([0.0, *waits], waits, strict=False)] == [5, 10, 20, 30, 30]
    assert (RESEND_FIRST_S, RESEND_LONGEST_S) == (5, 30)


def test_who_is_sent_again_waits_apart_from_those_that_are_new() -> None:
    """A long wait of one does not hold up another that is due before it."""
    requests, [old] = pending(b"old")
    assert requests.due(6) == [old]
    old.put_off(6)
    new = request(b"new")
    new.put_off(7)
    requests.add(new)
    assert requests.due(13) == [new]
    assert requests.due(13) == [], "asked a moment ago"


def test_an_answer_while_it_is_being_sent_again() -> None:
    """It is settled once and waited for no more; the second answer, which sending it again brings, is nobody's."""
    requests, [request] = pending(b"a")
    [due] = requests.due(10)
    requests.settle(request, ANSWER)
    due.put_off(10)
    assert len(requests) == 0
    assert (requests.of_id(b"a"), requests.of_envelope(b"envelope a")) == (None, None)
    requests.settle(request, CountersignError("request.malformed"))
    assert request.future.exception() is ANSWER
    assert requests.due(1_000) == []


def test_a_cancelled_one_takes_no_answer() -> None:
    """Whoever cancelled gets no answer, and no error comes of it where answers are given out."""
    requests, [request, other] = pending(b"a", b"b")
    assert request.future.cancel()
    for each in (request, other):
        requests.settle(each, ANSWER)
    with pytest.raises(CancelledError):
        request.future.result(0)
    assert other.future.exception() is ANSWER
    assert len(requests) == 0


def test_no_answers_will_come() -> None:
    """Each of those who wait gets an error of its own."""
    requests, made = pending(b"a", b"b")
    requests.settle_all(CountersignError("broker.refused", "no right"))
    errors = [request.future.exception() for request in made]
    assert [str(error) for error in errors] == [str(CountersignError("broker.refused", "no right"))] * 2
    assert errors[0] is not errors[1], "an error gathers the traces of all who raise it"
    assert len(requests) == 0
