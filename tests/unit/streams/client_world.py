"""A world for clients in tests: a ledger that answers with real keys and signatures; only Kafka is a stand-in."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from protocol.errors import CountersignError
from protocol.limits import Limits
from protocol.requests import open_request
from schemas.receipt import Receipts
from schemas.request import Envelope
from schemas.topics import RECEIPTS, REJECTIONS, REQUESTS
from storage.effects import FIRST_OFFSET, Outgoing, Position
from streams.client import Client
from streams.client_options import ClientOptions
from streams.kafka_connection import KafkaConnection
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.log import publish
from tests.mock_cluster import MockCluster, mock_cluster
from tests.parties import key_of
from tests.worlds import World

TOPIC_AUTHORIZATION_FAILED = 29
WAIT_S = 20


@contextmanager
def client_cluster() -> Iterator[MockCluster]:
    """A broker with the topics of clients, one partition each."""
    with mock_cluster() as made:
        for topic in (REQUESTS, RECEIPTS, REJECTIONS):
            made.create_topic(topic)
        yield made


def connection(cluster: MockCluster) -> KafkaConnection:
    """To the stand-in."""
    return KafkaConnection(bootstrap=cluster.bootstrap, fetch_wait_ms=5)


@contextmanager
def opened(cluster: MockCluster, world: World, *, partitions: int = 1, **options: Any) -> Iterator[Client]:
    """A client of the administrator."""
    client = Client(
        connection(cluster),
        world.epochs,
        entity="admin",
        key=key_of("admin"),
        partitions=partitions,
        options=ClientOptions(**options),
    )
    try:
        yield client
    finally:
        client.close(timeout_s=0)


@contextmanager
def ledger(
    cluster: MockCluster, world: World, *, times: int = 1, alter: Callable[[Receipts], Receipts] | None = None
) -> Iterator[None]:
    """Both parties: they decide each request once, and publish its receipt so many times whenever it is sent.

    Args:
        alter: what somebody makes of each receipt and publishes before it.
    """
    stop = threading.Event()

    def serve() -> None:
        reader, writer = KafkaLogReader(connection(cluster)), KafkaLogWriter(connection(cluster))
        reader.seek([Position(REQUESTS, 0, FIRST_OFFSET)])
        receipts: dict[bytes, list[Outgoing]] = {}
        while not stop.is_set():
            for message in reader.receive([REQUESTS], 100, 20)[0]:
                envelope = message.value or b""
                if envelope not in receipts:
                    request = open_request(Envelope.body_of(envelope), world.ledger_id, Limits())
                    made = world.decide(request)
                    answer = Receipts(signed=made.signed, outcomes=made.outcomes, outputs=made.outputs)
                    altered = [alter(answer)] if alter is not None else []
                    messages = [each.to_message() for each in (*altered, *[answer] * times)]
                    receipts[envelope] = [Outgoing(RECEIPTS, 0, None, message) for message in messages]
                publish(writer, receipts[envelope], stop.is_set)
        reader.close()
        writer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def put(client: Client, number: int) -> Any:
    """Submit one of many writes."""
    return client.submit("object.put", {"key": f"key/{number}", "value": number})


def code_of(future: Any) -> str:
    """The code with which a future fails."""
    error = future.exception(WAIT_S)
    assert isinstance(error, CountersignError)
    return error.code
