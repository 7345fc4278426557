"""Reading with a consumer of its own: a partition up to its end, and where a batch ends that cannot be opened.

Such a batch grows beyond `receive.message.max.bytes`, or is no valid stream of its codec (brokers check less than
librdkafka does). librdkafka fetches it again for ever, and nothing behind it. It tells where the batch begins and not
where it ends, so the end is looked for: a position within it gives the same error, and one behind it something else.
"""

import time
from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from streams.kafka_errors import is_lost_position, is_unreadable, port_error
from streams.log import LogUnavailableError

_REQUEST_TIMEOUT_S = 2.0
_BATCH = 500


def read_to_end(consumer: Consumer, name: str, offset: int, end: int) -> Iterator[KafkaMessage]:
    """Give the messages of partition 0 from `offset` to before `end`; batches that cannot be opened are left out.

    Args:
        consumer: reports the ends of partitions; it is not closed.
        name: of the topic on the cluster.
        offset: of the first message.
        end: behind the last one.

    Raises:
        LogUnavailableError: the broker was away, or lost what was to be read.
    """
    consumer.assign([TopicPartition(name, 0, offset)])
    while offset < end:
        head = consumer.poll(_REQUEST_TIMEOUT_S)
        if head is None:
            raise LogUnavailableError(f"{name}: no answer")
        for raw in (head, *consumer.consume(_BATCH, 0)):
            error = raw.error()
            if error is None:
                offset = place_of(raw)[2] + 1
                if offset <= end:
                    yield raw
            elif error.code() == KafkaError._PARTITION_EOF:
                offset = end
            elif is_unreadable(error):
                offset = end_of_unreadable(consumer, TopicPartition(name, 0, place_of(raw)[2]))
                consumer.assign([TopicPartition(name, 0, offset)])
                break
            elif is_lost_position(error):
                raise LogUnavailableError(f"{name}: it changed while it was read")


def ends_of(consumer: Consumer, place: TopicPartition, silence: str = "no answer") -> tuple[int, int]:
    """First offset of a partition, and the one behind the last.

    Args:
        silence: what to say where no answer comes.

    Raises:
        LogUnavailableError: the broker was away.
    """
    try:
        ends = consumer.get_watermark_offsets(place, timeout=_REQUEST_TIMEOUT_S)
    except KafkaException as exception:
        raise port_error(exception, f"{place.topic}/{place.partition}") from exception
    if not ends:  # a time-out
        raise LogUnavailableError(f"{place.topic}/{place.partition}: {silence}")
    return ends


def end_of_unreadable(consumer: Consumer, batch: TopicPartition) -> int:
    """The offset behind a batch that cannot be opened; its own where it can be by now, for what came may have been
    damaged on its way.

    Args:
        consumer: reports the ends of partitions; its assignment is changed, and it is not closed.
        batch: topic, partition, and the batch's first offset.

    Raises:
        LogUnavailableError: the broker was away.
    """
    _, end = ends_of(consumer, batch)
    if not _is_inside(consumer, batch, batch.offset):
        return batch.offset
    inside, behind, step = batch.offset, end, 1
    while behind - inside > 1:  # one message in most: so near ones first, and then halves
        middle = min(inside + step, (inside + behind) // 2)
        if _is_inside(consumer, batch, middle):
            inside, step = middle, 2 * step
        else:
            behind = middle
    return behind


def _is_inside(consumer: Consumer, batch: TopicPartition, offset: int) -> bool:
    """Whether who reads from `offset` meets this batch."""
    consumer.assign([TopicPartition(batch.topic, batch.partition, offset)])
    deadline = time.monotonic() + _REQUEST_TIMEOUT_S
    while (left_s := deadline - time.monotonic()) > 0:
        raw = consumer.poll(left_s)
        error = None if raw is None else raw.error()
        if raw is None or (error is not None and error.code() == KafkaError._ALL_BROKERS_DOWN):
            break
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return False
        if is_unreadable(error):
            return place_of(raw)[2] == batch.offset
    raise LogUnavailableError(f"{batch.topic}/{batch.partition}: no answer at {offset}")


def place_of(raw: KafkaMessage) -> tuple[str, int, int]:
    """Topic on the cluster, partition and offset; an error or an undelivered message may lack the last."""
    topic, partition, offset = raw.topic(), raw.partition(), raw.offset()
    assert topic is not None, "librdkafka always names the topic of a message"
    assert partition is not None, "librdkafka always names the partition of a message"
    return topic, partition, -1 if offset is None else offset
