"""What a client makes of answers, and of calls from where its threads call back: every request is settled once, and by
nothing that nobody signed.
"""

import asyncio
import os
import threading
import time
from concurrent.futures import Future
from dataclasses import replace

import pytest

from protocol.errors import CountersignError
from protocol.limits import Limits
from schemas.receipt import Receipts
from schemas.topics import RECEIPTS, REJECTIONS, REQUESTS
from streams.async_client import AsyncClient
from streams.client_receipts import ClientReceipt
from streams.client_requests import PendingRequest
from tests.mock_cluster import PRODUCE, MockCluster, mock_cluster
from tests.unit.streams.client_world import (
    TOPIC_AUTHORIZATION_FAILED,
    WAIT_S,
    code_of,
    ledger,
    opened,
    put,
)
from tests.worlds import World


def test_an_output_that_was_altered_on_the_way(cluster: MockCluster, world: World) -> None:
    """It settles nothing: the receipt that both parties signed comes behind it."""

    def alter(answer: Receipts) -> Receipts:
        return Receipts(signed=answer.signed, outcomes=answer.outcomes, outputs=(b'"hello"',) * len(answer.outputs))

    with ledger(cluster, world, alter=alter), opened(cluster, world) as client:
        receipt = put(client, 1).result(WAIT_S)
        assert receipt.ok
        assert receipt.output != "hello"


def test_who_has_a_receipt_asks_for_a_greater_sequence(cluster: MockCluster, world: World) -> None:
    """At once: whoever got it through its future has it named in whatever he sends next."""
    with ledger(cluster, world), opened(cluster, world) as client:
        after = list[tuple[int, int]]()
        followed = threading.Event()

        def follow(answered: "Future[ClientReceipt]") -> None:
            make, bodies = client._bodies.make, list[int]()

            def note(*arguments: object, **named: object) -> object:
                bodies.append(named["after"])  # type: ignore[arg-type]
                return make(*arguments, **named)  # type: ignore[arg-type]

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(client._bodies, "make", note)
                put(client, 2)
            after.append((answered.result(0).sequence, bodies[0]))
            followed.set()

        put(client, 1).add_done_callback(follow)
        assert followed.wait(WAIT_S)
        [(sequence, named)] = after
        assert named == sequence


@pytest.mark.parametrize("end", ["expired", "refused"])
def test_whoever_waits_for_a_place(
    cluster: MockCluster, world: World, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """He gets it when a request ends that had no answer, though no answer of anybody ever comes."""
    monkeypatch.setattr("streams.client_requests.LOOK_EACH_S", 0.0)
    monkeypatch.setattr(PendingRequest, "put_off", lambda _self, _now: None)
    if end == "expired":
        world = World(limits=replace(Limits(), clock_skew_ms=1))
    else:
        cluster.fail(PRODUCE, TOPIC_AUTHORIZATION_FAILED)
    with opened(cluster, world, in_flight=1, expiry_ms=200 if end == "expired" else None) as client:
        first, second = put(client, 1), list[object]()
        waiting = threading.Thread(target=lambda: second.append(put(client, 2)), daemon=True)
        waiting.start()
        assert code_of(first) == {"expired": "request.expired", "refused": "broker.refused"}[end]
        waiting.join(WAIT_S)
        assert len(second) == 1


def test_a_topic_of_fewer_partitions(world: World) -> None:
    """Requests for those that it has not are refused at once, with the others served beside them."""
    with mock_cluster() as cluster:
        for topic in (REQUESTS, RECEIPTS, REJECTIONS):
            cluster.create_topic(topic)
        with ledger(cluster, world), opened(cluster, world, partitions=4) as client:
            for _ in range(2):  # before it is known, and after
                futures = [put(client, number) for number in range(16)]
                ends = [future.exception(WAIT_S) for future in futures]
                assert None in ends
                assert {error.code for error in ends if isinstance(error, CountersignError)} == {"broker.refused"}


def test_submitting_from_a_callback(cluster: MockCluster, world: World) -> None:
    """It does not wait for a place in the thread that makes places, however many others wait for them."""
    with ledger(cluster, world), opened(cluster, world, in_flight=1) as client:
        chained = list["Future[ClientReceipt]"]()

        def follow(_: object) -> None:
            chained.extend(put(client, number) for number in (2, 3))

        put(client, 1).add_done_callback(follow)
        assert put(client, 4).result(WAIT_S).ok
        assert put(client, 5).result(WAIT_S).ok
        assert [future.result(WAIT_S).ok for future in chained] == [True, True]


def test_closing_from_a_callback(cluster: MockCluster, world: World) -> None:
    """Nobody is left waiting: the thread that calls back cannot wait for itself."""
    with opened(cluster, world, linger_ms=50) as client:
        first, second = put(client, 1), put(client, 2)
        first.add_done_callback(lambda _: client.close())
        with ledger(cluster, world):
            assert first.result(WAIT_S).ok
        assert second.done() or code_of(second) == "client.closed"
        for thread in client._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()


def test_a_forked_process(cluster: MockCluster, world: World) -> None:
    """It has none of the client's threads, and is told so; the process that made the client goes on."""
    with ledger(cluster, world), opened(cluster, world) as client:
        assert put(client, 1).result(WAIT_S).ok
        child = os.fork()
        if child == 0:
            code = "none"
            try:
                put(client, 2)
            except CountersignError as error:
                code = error.code
            client.close()
            os._exit(0 if code == "client.closed" else 1)
        deadline = time.monotonic() + WAIT_S
        while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < deadline:
            time.sleep(0.01)
        if not ended[0]:
            os.kill(child, 9)
        assert ended == (child, 0)
        assert put(client, 3).result(WAIT_S).ok


def test_asyncio_while_no_place_is_free(cluster: MockCluster, world: World) -> None:
    """Who waits for one takes no thread of the event loop's: others work, and the client can be closed."""

    async def ask() -> None:
        with opened(cluster, world, in_flight=1) as client:
            wrapped = AsyncClient(client)
            tasks = [
                asyncio.create_task(wrapped.execute("object.get", {"key": str(number)})) for number in range(200)
            ]
            while not client._unanswered():
                await asyncio.sleep(0.01)
            assert await asyncio.to_thread(lambda: "others") == "others"
            tasks[-1].cancel()
            await wrapped.close(timeout_s=0)
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(ends.pop(), asyncio.CancelledError)
            assert {end.code for end in ends if isinstance(end, CountersignError)} == {"client.closed"}

    asyncio.run(asyncio.wait_for(ask(), WAIT_S))


def test_asyncio_that_ends_with_an_error(cluster: MockCluster, world: World) -> None:
    """It is told at once, not when what is in flight has its answer."""

    async def ask() -> None:
        with opened(cluster, world) as client:
            async with AsyncClient(client):
                put(client, 1)
                raise KeyError("mine")

    began = time.monotonic()
    with pytest.raises(KeyError, match="mine"):
        asyncio.run(ask())
    assert time.monotonic() - began < 10
