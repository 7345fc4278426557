"""The end of a batch that cannot be opened is found exactly, and soon, whatever is around it."""

import math
from dataclasses import dataclass, field
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from streams.kafka_beside import end_of_unreadable
from streams.log import LogUnavailableError


@dataclass
class Met:
    """What a consumer gives: a message at an offset, or an error."""

    at: int
    code: int | None

    def error(self) -> KafkaError | None:
        return None if self.code is None else KafkaError(self.code)

    def topic(self) -> str:
        return "orders"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at


@dataclass
class Partition:
    """A consumer of one partition, in which some batches cannot be opened.

    Attributes:
        end: of the partition.
        unreadable: first offset of each such batch, and the one behind it.
        probes: how often a position was tried.
    """

    end: int
    unreadable: dict[int, int]
    is_away: bool = False
    probes: int = 0
    _met: list[Met] = field(default_factory=list)

    def get_watermark_offsets(self, _: TopicPartition, timeout: float) -> tuple[int, int] | None:
        assert timeout > 0
        return (0, self.end)

    def assign(self, places: list[TopicPartition]) -> None:
        (place,) = places
        self.probes += 1
        bad = [base for base, behind in self.unreadable.items() if base <= place.offset < behind]
        self._met = [Met(bad[0], KafkaError._BAD_COMPRESSION) if bad else Met(place.offset, None)]

    def poll(self, _: float) -> Met | None:
        return None if self.is_away or not self._met else self._met.pop()


def behind(partition: Partition, base: int) -> int:
    return end_of_unreadable(cast(Consumer, partition), TopicPartition("orders", 0, base))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 63, 64, 65, 1_000, 1_000_000])
@pytest.mark.parametrize("more", [0, 1, 1_000])
def test_the_end_is_found_to_the_offset(size: int, more: int) -> None:
    """Whether anything is behind it or not, and in as many steps as a number of its size has digits, twice."""
    partition = Partition(7 + size + more, {7: 7 + size})
    assert behind(partition, 7) == 7 + size
    assert partition.probes <= 2 * math.log2(size + more + 1) + 3


def test_near_ends_are_found_first() -> None:
    """One message, as most batches of a stranger hold, costs two looks, however long the log is."""
    partition = Partition(1 << 40, {7: 8})
    assert behind(partition, 7) == 8
    assert partition.probes == 2


def test_what_was_damaged_on_its_way_is_not_stepped_over() -> None:
    """Where the same place gives a message now, nothing of it is lost."""
    partition = Partition(100, {})
    assert behind(partition, 7) == 7
    assert partition.probes == 1


def test_another_such_batch_behind_it_is_not_taken_for_it() -> None:
    """Each is stepped over by itself, so that each counts."""
    assert behind(Partition(100, {7: 20, 20: 60}), 7) == 20


def test_a_broker_that_is_away_ends_the_search() -> None:
    """No position is guessed."""
    with pytest.raises(LogUnavailableError):
        behind(Partition(100, {7: 20}, is_away=True), 7)
