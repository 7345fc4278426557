"""Whoever waits for long asks the brokers for their settings: rarely, beside its work, and is told once."""

import threading

import pytest

from streams import kafka_limits
from streams.kafka_limits import PATIENCE_MS, LimitWatch
from streams.log import LogRefusedError, LogUnavailableError
from tests.pipeline import await_that

LOW = "broker 1: socket.request.max.bytes is 1"


class Brokers:
    """Give an answer, or raise it, and count how often they are asked."""

    def __init__(self, answer: tuple[str, ...] | Exception = (LOW,)) -> None:
        self.answer = answer
        self.asked = 0

    def look(self) -> tuple[str, ...]:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def wait(watch: LimitWatch, ms: int) -> None:
    """Have waited, and let the thread that asks come to its end."""
    watch.waited(ms)
    await_that("the answer", lambda: "broker's limits" not in [thread.name for thread in threading.enumerate()])


def test_a_short_wait_asks_nobody() -> None:
    """A broker that is started again is waited for as it was."""
    brokers = Brokers()
    wait(LimitWatch(brokers.look), PATIENCE_MS - 1)
    assert brokers.asked == 0


def test_what_is_too_low_is_told_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it lasts."""
    monkeypatch.setattr(kafka_limits, "_AGAIN_S", 0.0)
    brokers = Brokers()
    watch = LimitWatch(brokers.look)
    for _ in range(3):
        wait(watch, PATIENCE_MS)
    assert [record.getMessage() for record in caplog.records] == [f"messages wait, and long ones are not taken: {LOW}"]
    assert brokers.asked == 1


@pytest.mark.parametrize("answer", [LogUnavailableError("away"), LogRefusedError("no right"), ()])
def test_a_broker_that_says_nothing_is_asked_again_a_minute_later(
    answer: tuple[str, ...] | Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was away, or is not the reason: nothing is claimed."""
    brokers = Brokers(answer)
    watch = LimitWatch(brokers.look)
    for _ in range(3):
        wait(watch, PATIENCE_MS)
    assert (brokers.asked, caplog.records) == (1, [])
    monkeypatch.setattr(kafka_limits, "_AGAIN_S", 0.0)
    brokers.answer = (LOW,)
    wait(watch, PATIENCE_MS)
    assert len(caplog.records) == 1
