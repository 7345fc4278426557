"""librdkafka's mock cluster, with its switches for faults: a stand-in for tests that break the broker.

It keeps 5 MiB per partition, knows no admin calls, and a fetch that finds nothing sleeps for the whole
`fetch.wait.max.ms`; so tests give readers a short one.
"""

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
"""Keys of Kafka's requests, for `MockCluster.fail`."""

_RD_KAFKA_PRODUCER = 0
_OUT_OF_ORDER_SEQUENCE_NUMBER = 45


def _library() -> Any:
    """The library inside the wheel, whose mock functions are exported."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    library: Any = ctypes.CDLL(str(next(folder.glob("librdkafka-*.so*"))))
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_conf_set.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.rd_kafka_destroy.argtypes = [ctypes.c_void_p]
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.rd_kafka_mock_cluster_destroy.argtypes = [ctypes.c_void_p]
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
    library.rd_kafka_mock_topic_create.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_int,
    ]
    library.rd_kafka_mock_broker_set_down.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.rd_kafka_mock_broker_set_up.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.rd_kafka_mock_push_request_errors_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int16,
        ctypes.c_size_t,
        ctypes.c_void_p,
    ]
    library.rd_kafka_mock_partition_delete_records.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int32,
        ctypes.c_int64,
    ]
    library.rd_kafka_test_fatal_error.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
    return library


def give_up(client: confluent_kafka.Producer) -> None:
    """Let librdkafka declare a producer broken for good, through its hook for tests."""
    handle = ctypes.c_void_p.from_address(
        id(client) + object.__basicsize__
    ).value  # the first field of its object
    _library().rd_kafka_test_fatal_error(handle, _OUT_OF_ORDER_SEQUENCE_NUMBER, b"a test says so")


class MockCluster:
    """One broker inside this process, on a loopback port."""

    def __init__(self) -> None:
        self._library = _library()
        text = ctypes.create_string_buffer(256)
        settings = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(settings, b"log_level", b"0", text, len(text))
        self._client = self._library.rd_kafka_new(_RD_KAFKA_PRODUCER, settings, text, len(text))
        assert self._client, text.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        assert self._cluster
        self.bootstrap: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic, by its full name."""
        assert self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0

    def fail(self, request: int, *codes: int) -> None:
        """Answer the next requests of a kind with these errors, one each."""
        array = (ctypes.c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(codes), array)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Let a log begin at this offset."""
        deleted = self._library.rd_kafka_mock_partition_delete_records(
            self._cluster, topic.encode(), partition, before
        )
        assert deleted == 0

    def stop_answering(self) -> None:
        """Close every connection and refuse new ones."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, 1)

    def answer_again(self) -> None:
        """Be there again, with everything that was acknowledged."""
        self._library.rd_kafka_mock_broker_set_up(self._cluster, 1)

    def close(self) -> None:
        """End the broker."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)


@contextlib.contextmanager
def mock_cluster() -> Iterator[MockCluster]:
    """A cluster for one test."""
    cluster = MockCluster()
    try:
        yield cluster
    finally:
        cluster.close()
