"""A hostile broker, on every topic: rubbish, replayed messages, and the same messages in other bytes.

Whoever can write to the topics can do this without any key. Everything is skipped: the pipeline goes on as if
nothing had been there, and nobody is accused.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from deploy.initialize import CLIENT
from deploy.local.stack import LocalStack
from schemas.codec import Message as Structure
from schemas.epoch import SignedConfiguration
from schemas.errors import MalformedMessageError
from schemas.evidence import Evidence
from schemas.feed import Learned, Metrics
from schemas.order import Order
from schemas.piece import Piece
from schemas.receipt import Receipts
from schemas.rejection import Rejections
from schemas.request import Envelope
from schemas.statement import Decision, Result
from schemas.topics import (
    DECISIONS,
    EPOCHS,
    EVIDENCE,
    LEARNED,
    METRICS,
    MIB,
    ORDERS,
    RECEIPTS,
    REJECTIONS,
    REQUESTS,
    RESULTS,
    pieces_topic,
)
from storage.effects import END_OFFSET, Outgoing, Position
from streams.client import RejectedError
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.log import LogRefusedError, publish
from tests.agreement import check_agreement
from tests.background_load import BackgroundLoad
from tests.mutations import longer, longer_number, with_other_signatures
from tests.pipeline import Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REPLICAS = 4
STRUCTURES: dict[str, type[Structure]] = {
    REQUESTS: Envelope,
    ORDERS: Order,
    RESULTS: Result,
    DECISIONS: Decision,
    RECEIPTS: Receipts,
    REJECTIONS: Rejections,
    EPOCHS: SignedConfiguration,
    EVIDENCE: Evidence,
    METRICS: Metrics,
    LEARNED: Learned,
    **{pieces_topic(replica): Piece for replica in range(REPLICAS)},
}
"""What each topic carries."""

_REPEATED = 30
"""The newest messages of a topic that are sent again."""


@pytest.fixture(scope="module")
def pipeline(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A ledger on the shared Kafka."""
    made = Pipeline(tmp_path_factory.mktemp("messages"), broker=stack.bootstrap_servers, prefix="messages")
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def load(pipeline: Pipeline) -> BackgroundLoad:
    """What is sent, and remembered over the tests of this module; and a rejection, for its topic."""
    made = BackgroundLoad(pipeline, seed=4)
    made.open_accounts()
    with pipeline.client() as client, pytest.raises(RejectedError):
        client.execute("nothing", None)
    return made


@contextmanager
def writer(pipeline: Pipeline) -> Iterator[Callable[[str, Sequence[bytes]], None]]:
    """Writes values to a topic, however long they are."""
    connection = replace(pipeline.home.load(CLIENT).connection(), message_bytes_max=32 * MIB)
    log = KafkaLogWriter(connection)

    def write(topic: str, values: Sequence[bytes]) -> None:
        messages = [Outgoing(topic, number % 4 if topic == REQUESTS else 0, None, v) for number, v in enumerate(values)]
        assert publish(log, messages, lambda: False)
        if topic == EVIDENCE:
            pipeline.rubbish_evidence += len(values)

    try:
        yield write
    finally:
        log.close()


def rubbish(topic: str) -> list[bytes]:
    """What is no message at all, or one that belongs elsewhere, or only begins like one."""
    rng = random.Random(topic)
    frames = [structure.avro.frame for structure in STRUCTURES.values()]
    return [
        b"",
        b"\0",
        rng.randbytes(10),
        rng.randbytes(5_000),
        b"\xff" * 1_000,
        *frames,
        *(frame + rng.randbytes(rng.randint(1, 300)) for frame in frames),
        *(frame + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" for frame in frames),
        *(frame + bytes(200_000) for frame in frames[:2]),
    ]


@pytest.mark.parametrize("topic", STRUCTURES)
def test_rubbish(pipeline: Pipeline, load: BackgroundLoad, topic: str) -> None:
    """Bytes that are no message."""
    with writer(pipeline) as write, load.running():
        write(topic, rubbish(topic))
        load.await_answers(20)


@pytest.mark.parametrize("topic", [name for name in STRUCTURES if name not in (REQUESTS, METRICS)])
def test_messages_as_long_as_a_broker_takes(pipeline: Pipeline, load: BackgroundLoad, topic: str) -> None:
    """As long as our limit, and a little longer; beyond the topic's own limit the broker refuses."""
    frame = STRUCTURES[topic].avro.frame
    with writer(pipeline) as write, load.running():
        write(topic, [frame + bytes(8 * MIB - len(frame)), frame + bytes(8 * MIB)])
        load.await_answers(20)


@pytest.mark.parametrize("topic", STRUCTURES)
def test_messages_too_long_for_the_topic(pipeline: Pipeline, topic: str) -> None:
    """The broker refuses them, with a code, and takes the next one."""
    with writer(pipeline) as write:
        with pytest.raises(LogRefusedError) as refused:
            write(topic, [bytes(9 * MIB if topic not in (REQUESTS, METRICS) else 2 * MIB)])
        assert refused.value.code == "broker.refused"


@pytest.mark.parametrize("topic", STRUCTURES)
def test_replayed_messages(pipeline: Pipeline, load: BackgroundLoad, topic: str) -> None:
    """What was on the topic comes again, forwards and backwards."""
    values = [message.value or b"" for message in pipeline.read(topic)][-_REPEATED:]
    assert values or topic == EVIDENCE
    with writer(pipeline) as write, load.running():
        write(topic, values + values[::-1])
        load.await_answers(20)


def mutated(topic: str, value: bytes) -> list[bytes]:
    """A message in other bytes that say the same; none if it is no message."""
    try:
        message = STRUCTURES[topic].from_message(value)
    except MalformedMessageError:
        return []
    others = [longer(value), longer_number(value)]
    signed = with_other_signatures(message)
    return [*others, signed.to_message()] if signed != message else others


class Mutator:
    """Follows every topic and writes other bytes of each message beside it, as a hostile broker would."""

    def __init__(self, pipeline: Pipeline, write: Callable[[str, Sequence[bytes]], None]) -> None:
        self.count = dict.fromkeys(STRUCTURES, 0)
        self._write = write
        self._stop = threading.Event()
        self._seen: set[bytes] = set()
        self._reader = KafkaLogReader(pipeline.home.load(CLIENT).connection())
        places = [(topic.name, partition) for topic in pipeline.topics() for partition in range(topic.partitions)]
        self._reader.seek([Position(name, partition, END_OFFSET) for name, partition in places])
        self._thread = threading.Thread(target=self._run, name="mutator")

    def __enter__(self) -> "Mutator":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._reader.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            messages, _ = self._reader.receive(tuple(STRUCTURES), 100, 100)
            for message in messages:
                value = message.value or b""
                if value not in self._seen:
                    others = mutated(message.topic, value)
                    self._seen.update(others)
                    self._write(message.topic, others)
                    self.count[message.topic] += len(others)


def test_every_message_in_other_bytes(pipeline: Pipeline, load: BackgroundLoad) -> None:
    """Longer numbers, other signatures and trailing bytes beside each message while the load runs."""
    with writer(pipeline) as write:
        for topic in STRUCTURES:
            for message in pipeline.read(topic)[-_REPEATED:]:
                write(topic, mutated(topic, message.value or b""))
        with load.running(), Mutator(pipeline, write) as mutator:
            load.await_answers(500)
        quiet = {topic for topic, count in mutator.count.items() if not count}
        assert quiet <= {EPOCHS, EVIDENCE, REJECTIONS}


def test_nothing_came_of_it(pipeline: Pipeline, load: BackgroundLoad) -> None:
    """After all of it: everything was decided once, all agree, nobody halted, and nobody is accused."""
    with load.running():
        load.await_answers(50)
    check_agreement(pipeline, load)
