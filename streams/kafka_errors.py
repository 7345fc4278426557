"""What librdkafka's errors mean to us: wait, stop, or look where the log now ends."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from protocol.errors import CountersignError
from streams.log import LogRefusedError, LogUnavailableError

Client = TypeVar("Client")

_REFUSALS = frozenset(
    {
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.INVALID_RECORD,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.POLICY_VIOLATION,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError._INVALID_ARG,
    }
)
_LOST_POSITIONS = frozenset(
    {KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION, KafkaError.OFFSET_OUT_OF_RANGE}
)
_UNREADABLE = frozenset({KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG, KafkaError._NOT_IMPLEMENTED})
_DIVERGENCE = re.compile(r"broker end offset is (\d+)")


def make_client(kind: Callable[[dict[str, Any]], Client], settings: Mapping[str, Any]) -> Client:
    """A client of librdkafka with these settings.

    Raises:
        CountersignError: `config.invalid`, it does not know one of them, or not this value.
    """
    try:
        return kind(dict(settings))
    except KafkaException as exception:
        raise CountersignError("config.invalid", f"settings of Kafka: {exception.args[0].str()}") from exception


def is_refusal(error: KafkaError) -> bool:
    """Whether the broker, or librdkafka itself, will never do this."""
    return error.code() in _REFUSALS


def is_lost_position(error: KafkaError) -> bool:
    """Whether the log no longer holds what was to be read next."""
    return error.code() in _LOST_POSITIONS


def is_unreadable(error: KafkaError) -> bool:
    """Whether librdkafka has a batch in hand that it cannot open: too large inside, or no stream of its codec.

    A lack of memory is none of these: it ends the process, or is `_CRIT_SYS_RESOURCE`.
    """
    return error.code() in _UNREADABLE


def divergence(text: str) -> int | None:
    """The offset up to which a log is still what was read of it, where the error's text tells."""
    found = _DIVERGENCE.search(text)
    return int(found[1]) if found else None


def port_error(exception: KafkaException, what: str) -> LogUnavailableError | LogRefusedError:
    """The port's error for one of librdkafka's, about a topic or a call."""
    error: KafkaError = exception.args[0]
    kind = LogRefusedError if is_refusal(error) else LogUnavailableError
    return kind(f"{what}: {error.str()}")


class Reachability:
    """What librdkafka says of the brokers; it calls back from within poll and flush.

    Attributes:
        text: its last error.
        fatal: it has given this consumer or producer up.
    """

    def __init__(self) -> None:
        self.text = "no answer"
        self.fatal = False
        self._away_since: float | None = None

    def on_error(self, error: KafkaError) -> None:
        """Note an error."""
        self.fatal = self.fatal or error.fatal()
        self.text = error.str()
        if error.code() == KafkaError._ALL_BROKERS_DOWN and self._away_since is None:
            self._away_since = time.monotonic()

    def answered(self) -> None:
        """Note that a broker is there."""
        self._away_since = None

    def away_ms(self) -> int:
        """For how long no broker has been there, as far as is known."""
        return 0 if self._away_since is None else int((time.monotonic() - self._away_since) * 1000)
