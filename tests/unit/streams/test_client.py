"""The client against a broker that fails and a ledger that repeats itself: nobody waits in vain, nothing ends a thread
unseen.

The ledger answers from a real world of keys and signatures; only Kafka is a stand-in.
"""

import asyncio
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import pytest

import streams.client as client_module
from protocol.errors import CountersignError
from protocol.limits import Limits
from schemas.topics import RECEIPTS
from streams.async_client import AsyncClient
from streams.client_options import ClientOptions
from streams.client_receipts import ClientReceipt
from streams.client_requests import PendingRequest
from streams.log import LogStartLostError
from tests.mock_cluster import FETCH, PRODUCE, MockCluster
from tests.unit.streams.client_world import (
    TOPIC_AUTHORIZATION_FAILED,
    WAIT_S,
    code_of,
    ledger,
    opened,
    put,
)
from tests.worlds import World


def test_requests_that_are_sent_again_and_again(
    cluster: MockCluster, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that come twice, and while a request is being sent again, are one answer each."""
    monkeypatch.setattr("streams.client_requests.LOOK_EACH_S", 0.0)
    monkeypatch.setattr(PendingRequest, "put_off", lambda _self, _now: None)
    with ledger(cluster, world, times=2), opened(cluster, world) as client:
        for first in range(0, 100, 10):
            futures = [put(client, number) for number in range(first, first + 10)]
            assert all(future.result(WAIT_S).ok for future in futures)


def test_who_gives_up_waiting(cluster: MockCluster, world: World) -> None:
    """A cancelled future is its owner's business: the others get their answers."""
    with opened(cluster, world) as client:
        given_up, wanted = put(client, 1), put(client, 2)
        assert given_up.cancel()
        with ledger(cluster, world):
            assert wanted.result(WAIT_S).ok
            assert put(client, 3).result(WAIT_S).ok
        with pytest.raises(CancelledError):
            given_up.result(0)


def test_a_broker_that_refuses_a_request(cluster: MockCluster, world: World) -> None:
    """It is said at once, not when the request has expired; the client goes on."""
    with opened(cluster, world) as client:
        cluster.fail(PRODUCE, TOPIC_AUTHORIZATION_FAILED)
        with pytest.raises(CountersignError) as raised:
            put(client, 1).result(WAIT_S)
        assert raised.value.code == "broker.refused"
        with ledger(cluster, world):
            assert put(client, 2).result(WAIT_S).ok


def test_a_broker_that_does_not_let_it_read(cluster: MockCluster, world: World) -> None:
    """Nobody waits for what cannot come; what is submitted after that fails at once."""
    with opened(cluster, world) as client:
        waiting = put(client, 1)
        cluster.fail(FETCH, *[TOPIC_AUTHORIZATION_FAILED] * 20)
        assert code_of(waiting) == "broker.refused"
        with pytest.raises(CountersignError) as raised:
            put(client, 2)
        assert raised.value.code == "broker.refused"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_knows(cluster: MockCluster, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the client aloud: who waits and who asks is told."""

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(client_module, "check_receipts", broken)
    with ledger(cluster, world), opened(cluster, world, in_flight=1) as client:
        waiting = put(client, 1)
        assert code_of(waiting) == "client.failed"
        with pytest.raises(CountersignError, match="a bug"):
            put(client, 2)


def test_an_error_while_a_request_is_being_signed(
    cluster: MockCluster, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one thread signs after the other has given up is given up, too."""
    with opened(cluster, world) as client:
        sign, receiving = client._sign, client._threads[1]

        def late(batch: Any) -> None:
            cluster.fail(FETCH, *[TOPIC_AUTHORIZATION_FAILED] * 20)
            receiving.join(WAIT_S)
            sign(batch)

        monkeypatch.setattr(client, "_sign", late)
        assert code_of(put(client, 1)) == "broker.refused"
        client._threads[0].join(WAIT_S)
        assert client._unanswered() == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_in_signing(cluster: MockCluster, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are being signed are told like all others."""

    def broken(_: object) -> None:
        raise RuntimeError("a bug")

    with opened(cluster, world) as client:
        monkeypatch.setattr(client, "_sign", broken)
        waiting = [put(client, number) for number in range(3)]
        assert {code_of(future) for future in waiting} == {"client.failed"}
        assert client._unanswered() == 0


def test_closing_while_requests_are_signed(
    cluster: MockCluster, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in flight like all others: they are sent, and their receipts awaited."""
    with ledger(cluster, world), opened(cluster, world) as client:
        sign, unanswered = client._sign, client._unanswered
        signing, looked = threading.Event(), threading.Event()

        def slow(batch: Any) -> None:
            signing.set()
            looked.wait(WAIT_S)
            sign(batch)

        def count() -> int:
            counted = unanswered()
            looked.set()
            return counted

        monkeypatch.setattr(client, "_sign", slow)
        future = put(client, 1)
        assert signing.wait(WAIT_S)
        monkeypatch.setattr(client, "_unanswered", count)
        client.close()
        assert future.result(0).ok


def test_what_is_refused_at_the_call_harms_nobody(cluster: MockCluster, world: World) -> None:
    """Whatever is wrong with its form; those before and after it are served."""
    limits = Limits()
    wrong: dict[str, tuple[str, Any, dict[str, Any]]] = {
        "argument.not_canonical": ("object.get", {"key": 1.5}, {}),
        "request.too_large": ("object.get", {"key": "x" * limits.argument_bytes}, {}),
        "request.malformed": ("object.get", {"key": "a"}, {"keys": [("object", "\ud800")]}),
        "request.too_far_ahead": ("object.get", {"key": "a"}, {"expiry_ms": limits.expiry_ahead_ms + 1}),
    }
    with ledger(cluster, world), opened(cluster, world) as client:
        before = put(client, 1)
        for code, (contract, argument, options) in wrong.items():
            with pytest.raises(CountersignError) as refused:
                client.submit(contract, argument, **options)
            assert refused.value.code == code
        with pytest.raises(CountersignError, match=r"request\.malformed"):
            client.execute("no/name", None)
        assert before.result(WAIT_S).ok
        assert put(client, 2).result(WAIT_S).ok


def test_a_key_that_is_no_text(cluster: MockCluster, world: World) -> None:
    """It is no hint; the contract fails, as both parties sign."""
    with ledger(cluster, world), opened(cluster, world) as client:
        assert client.execute("object.put", {"key": 5, "value": 1}, timeout_s=WAIT_S).code == "contract.value"


def test_the_same_for_asyncio(cluster: MockCluster, world: World) -> None:
    """`execute` raises at once, and beside it others are served."""

    async def ask() -> None:
        with opened(cluster, world) as client:
            wrapped = AsyncClient(client)
            good, refused = await asyncio.gather(
                wrapped.execute("object.put", {"key": "a", "value": 1}),
                wrapped.execute("object.put", {"key": "a", "value": "x" * Limits().argument_bytes}),
                return_exceptions=True,
            )
            assert isinstance(good, ClientReceipt)
            assert good.ok
            assert isinstance(refused, CountersignError)
            assert refused.code == "request.too_large"

    with ledger(cluster, world):
        asyncio.run(asyncio.wait_for(ask(), WAIT_S))


def test_a_ledger_with_narrower_limits(cluster: MockCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are signed together than it allows, and they expire when it says."""
    narrow = World(limits=replace(Limits(), signed_together=2, expiry_default_ms=7_000))
    with ledger(cluster, narrow), opened(cluster, narrow, linger_ms=50) as client:
        sign, signed = client._sign, list[list[PendingRequest]]()

        def note(batch: list[PendingRequest]) -> None:
            signed.append(batch)
            sign(batch)

        monkeypatch.setattr(client, "_sign", note)
        before_ms = int(time.time() * 1000)
        futures = [put(client, number) for number in range(7)]
        after_ms = int(time.time() * 1000)
        assert all(future.result(WAIT_S).ok for future in futures)
    assert max(len(batch) for batch in signed) == 2
    expiries = [pending.body.expiry_ms for batch in signed for pending in batch]
    assert before_ms + 7_000 <= min(expiries) <= max(expiries) <= after_ms + 7_000


@pytest.mark.parametrize("option", ["signed_together", "in_flight", "expiry_ms"])
def test_options_with_which_nothing_would_be_sent(option: str) -> None:
    """They are refused before anybody waits for it."""
    with pytest.raises(CountersignError) as refused:
        ClientOptions(**{option: 0})
    assert refused.value.code == "config.invalid"


def test_receipts_that_were_deleted(cluster: MockCluster, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that slept through them goes on behind them."""
    with opened(cluster, world) as client:
        receive, lost = client._reader.receive, threading.Event()

        def once(*arguments: Any) -> Any:
            if not lost.is_set():
                lost.set()
                raise LogStartLostError(RECEIPTS, 0, 0, 1)
            return receive(*arguments)

        monkeypatch.setattr(client._reader, "receive", once)
        assert lost.wait(WAIT_S)
        with ledger(cluster, world):
            assert put(client, 1).result(WAIT_S).ok


def test_closing_while_the_broker_is_away(cluster: MockCluster, world: World) -> None:
    """It takes no longer than it may, and who still waits is told."""
    with opened(cluster, world) as client:
        cluster.stop_answering()
        waiting = [put(client, number) for number in range(10)]
        began = time.monotonic()
        client.close(timeout_s=0.2)
        assert time.monotonic() - began < 5
        assert {code_of(future) for future in waiting} == {"client.closed"}
        with pytest.raises(CountersignError) as raised:
            put(client, 11)
        assert raised.value.code == "client.closed"
