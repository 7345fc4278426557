"""How long a client waits for an answer, how often it asks again, and which rejections are answers."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol.hashing import ZERO_HASH
from protocol.limits import Limits
from protocol.requests import OpenedRequest, open_request
from schemas.receipt import Receipts
from schemas.rejection import RejectionEntry
from schemas.request import Envelope
from schemas.topics import RECEIPTS, REJECTIONS, REQUESTS
from storage.effects import FIRST_OFFSET, Message, Position
from streams.client import Client
from streams.client_requests import RESEND_FIRST_S, PendingRequest
from streams.kafka_log import KafkaLogReader
from tests.mock_cluster import MockCluster
from tests.unit.streams.client_world import WAIT_S, code_of, connection, opened, put
from tests.worlds import World


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def signed(client: Client) -> PendingRequest:
    """The client's one request, once it is signed."""
    until(lambda: len(client._pending) == 1)
    [pending] = client._pending._by_id.values()
    return pending


def message(topic: str, value: bytes) -> Message:
    """A message as it comes from the log."""
    return Message(topic=topic, partition=0, offset=0, leader_epoch=-1, key=None, value=value, timestamp_ms=0)


def opened_request(pending: PendingRequest, world: World) -> OpenedRequest:
    """The request as the parties see it."""
    return open_request(Envelope.body_of(pending.value), world.ledger_id, Limits())


def receipt(pending: PendingRequest, world: World) -> Message:
    """What both parties answer."""
    made = world.decide(opened_request(pending, world))
    answer = Receipts(signed=made.signed, outcomes=made.outcomes, outputs=made.outputs)
    return message(RECEIPTS, answer.to_message())


def test_it_asks_again_after_a_while_and_then_less_often(cluster: MockCluster, world: World) -> None:
    """Not at once: an answer takes its time. And each time later than before."""
    with opened(cluster, world) as client:
        future = put(client, 1)
        pending = signed(client)
        assert pending.send_again_at > time.monotonic() + RESEND_FIRST_S / 2
        assert pending.wait_s == 2 * RESEND_FIRST_S
        reader = KafkaLogReader(connection(cluster))
        reader.seek([Position(REQUESTS, 0, FIRST_OFFSET)])
        assert len(reader.receive([REQUESTS], 100, 10_000)[0]) == 1
        assert not reader.receive([REQUESTS], 100, 600)[0], "it was asked twice at once"
        reader.close()
        pending.send_again_at = 0.0
        until(lambda: pending.send_again_at > time.monotonic() + RESEND_FIRST_S)
        assert pending.wait_s == 4 * RESEND_FIRST_S
        assert not future.done()


def test_an_expired_request_is_waited_for_as_long_as_clocks_may_differ(
    cluster: MockCluster, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Auditor's clock may be behind: it may decide what has expired here, and the receipt is taken."""
    monkeypatch.setattr("streams.client_requests.LOOK_EACH_S", 0.0)
    monkeypatch.setattr(PendingRequest, "put_off", lambda _self, _now: None)
    with opened(cluster, world, expiry_ms=50) as client:
        future = put(client, 1)
        pending = signed(client)
        until(lambda: time.time() * 1000 > pending.body.expiry_ms)
        reader = KafkaLogReader(connection(cluster))
        reader.seek([Position(REQUESTS, 0, FIRST_OFFSET)])
        expired_ms = time.time() * 1000
        seen = list[Message]()

        def is_sent_again() -> bool:
            seen.extend(reader.receive([REQUESTS], 100, 20)[0])
            return any(each.timestamp_ms > expired_ms for each in seen)

        until(is_sent_again)
        reader.close()
        assert not future.done()
        client._take_receipts(receipt(pending, world))
        assert future.result(0).ok


def test_the_greatest_sequence_is_kept(cluster: MockCluster, world: World) -> None:
    """Receipts may come in another order than they were made; what is named as seen does not fall."""
    with opened(cluster, world) as client:
        first, second = put(client, 1), put(client, 2)
        until(lambda: len(client._pending) == 2)
        answers = [receipt(pending, world) for pending in client._pending._by_id.values()]
        for answer in reversed(answers):
            client._take_receipts(answer)
        assert {first.result(0).sequence, second.result(0).sequence} == {0, 1}
        assert client._after == 1


@pytest.mark.parametrize(
    ("code", "final", "by_envelope", "says"),
    [
        ("request.expired", True, False, "request "),
        ("busy", True, False, "request "),
        ("request.after_unknown", False, False, "trying again later"),
        ("signature.bad", False, True, "trying again later"),
    ],
)
def test_a_rejection_is_an_answer(
    cluster: MockCluster, world: World, code: str, final: bool, by_envelope: bool, says: str
) -> None:
    """Under the request's id, or the envelope's hash where the Auditor could not know whose it is."""
    with opened(cluster, world) as client:
        future = put(client, 1)
        pending = signed(client)
        entry = RejectionEntry(
            envelope_hash=pending.envelope_hash,
            request_id=ZERO_HASH if by_envelope else pending.request_id,
            code=code,
            final=final,
        )
        client._take_rejections(message(REJECTIONS, world.reject(entry, as_of=-1).to_message()))
        assert code_of(future) == code
        assert says in str(future.exception(0))


def test_rejections_that_are_no_answer(cluster: MockCluster, world: World) -> None:
    """The Auditor is busy, so it is asked again; or they are another's, who may have sent the same request."""
    with opened(cluster, world) as client:
        future = put(client, 1)
        pending = signed(client)
        entry = RejectionEntry(
            envelope_hash=pending.envelope_hash, request_id=pending.request_id, code="busy", final=False
        )
        others = replace(entry, envelope_hash=bytes(32), request_id=ZERO_HASH, code="signature.bad")
        client._take_rejections(message(REJECTIONS, world.reject(entry, others, as_of=-1).to_message()))
        assert not future.done()
        client._take_receipts(receipt(pending, world))
        assert future.result(0).ok
