"""The log in memory does wrong what it is told to, alike for the same seed, and nothing else."""

import random
import threading

import pytest

from storage.effects import FIRST_OFFSET, Alarm, Outgoing, Position
from streams.log import LogUnavailableError
from streams.memory_log import LogFaults, MemoryLog

TOPICS = {"orders": 1, "results": 1}


def numbered(count: int, first: int = 0, topic: str = "orders") -> list[Outgoing]:
    return [Outgoing(topic, 0, None, b"%d" % number) for number in range(first, first + count)]


def landed(log: MemoryLog, topic: str = "orders") -> list[int]:
    return [int(message.value or b"") for message in log.messages(topic)]


def faulty(seed: int, **faults: float) -> MemoryLog:
    return MemoryLog(TOPICS, faults=LogFaults(rng=random.Random(seed), **faults))  # type: ignore[arg-type]


def test_delayed_messages_land_when_time_has_passed() -> None:
    """What is under way is not there yet; each writer's messages keep their order."""
    log = faulty(1, delay_ms_max=100)
    writer = log.writer()
    writer.send(numbered(20))
    assert len(landed(log)) < 20
    assert not writer.flush(0)
    while (due_ms := log.next_due_ms()) is not None:
        log.advance(due_ms)
        assert landed(log) == list(range(len(landed(log))))
    assert writer.flush(0)
    assert landed(log) == list(range(20))
    assert 0 < log.now_ms <= 100


def test_topics_overtake_each_other() -> None:
    """A message sent later to another topic may land earlier."""
    overtaken = 0
    for seed in range(20):
        log = faulty(seed, delay_ms_max=100)
        writer = log.writer()
        writer.send(numbered(1) + numbered(1, topic="results"))
        log.advance(log.next_due_ms() or 0)
        overtaken += bool(landed(log, "results")) and not landed(log)
    assert overtaken > 3


def test_duplicates_land_later() -> None:
    """Every message is there, some twice, the second time after others; `flush` does not wait for that."""
    log = faulty(3, delay_ms_max=10, duplicate=0.5)
    writer = log.writer()
    writer.send(numbered(50))
    log.advance(10)
    assert writer.flush(0)
    log.advance(1_000)
    values = landed(log)
    assert set(values) == set(range(50))
    assert 60 < len(values) < 90
    firsts = list(dict.fromkeys(values))
    assert firsts == sorted(firsts)
    assert values != sorted(values)


def test_the_same_seed_gives_the_same_log() -> None:
    """A failing schedule can be replayed."""

    def run(seed: int) -> list[int]:
        log = faulty(seed, delay_ms_max=50, duplicate=0.3)
        one, other = log.writer(), log.writer()
        for number in range(20):
            (one if number % 2 else other).send(numbered(1, number))
            log.advance(5 * number)
        log.advance(1_000)
        return landed(log)

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_a_dying_writer_loses_some_of_what_was_under_way() -> None:
    """What had landed stays, of the rest some lands late; what follows a lost message may still land."""
    log = faulty(2, delay_ms_max=100)
    writer = log.writer()
    writer.send(numbered(40))
    log.advance(1)
    log.kill_writer(writer, random.Random(7))
    log.advance(1_000)
    values = landed(log)
    assert 0 < len(values) < 40
    assert values == sorted(values)
    assert values[-1] - values[0] >= len(values)


def test_a_lost_tail_shows_even_if_its_offsets_are_used_again() -> None:
    """The reader goes back to where the log differs from what it read, and reads all written since."""
    log = MemoryLog(TOPICS)
    writer, reader = log.writer(), log.reader()
    writer.send(numbered(10))
    reader.seek([Position("orders", 0, FIRST_OFFSET)])
    reader.receive(["orders"], 10, 0)
    log.lose_tail("orders", 0, 3)
    writer.send(numbered(8, 100))
    messages, alarms = reader.receive(["orders"], 20, 0)
    assert alarms == (Alarm("orders", 0, 10, 7),)
    assert [message.value for message in messages] == [b"%d" % number for number in range(100, 108)]
    assert [message.offset for message in messages] == list(range(7, 15))


def test_a_position_with_its_epoch_survives_a_restart() -> None:
    """A new reader at a stored position notices as well, because the leader epoch is stored with it."""
    log = MemoryLog(TOPICS)
    log.writer().send(numbered(10))
    log.lose_tail("orders", 0, 3)
    log.writer().send(numbered(8, 100))
    reader = log.reader()
    reader.seek([Position("orders", 0, 10, leader_epoch=0)])
    assert reader.receive(["orders"], 20, 0)[1] == (Alarm("orders", 0, 10, 7),)


def test_two_lost_tails_in_a_row() -> None:
    """Only what every loss left counts as read."""
    log = MemoryLog(TOPICS)
    writer, reader = log.writer(), log.reader()
    writer.send(numbered(10))
    reader.seek([Position("orders", 0, FIRST_OFFSET)])
    reader.receive(["orders"], 10, 0)
    log.lose_tail("orders", 0, 2)
    writer.send(numbered(5, 100))
    log.lose_tail("orders", 0, 8)
    writer.send(numbered(9, 200))
    messages, alarms = reader.receive(["orders"], 20, 0)
    assert alarms == (Alarm("orders", 0, 10, 5),)
    assert [message.value for message in messages] == [b"%d" % number for number in range(200, 209)]


def test_a_log_that_is_away_gives_and_takes_nothing() -> None:
    """Messages sent meanwhile land when it is back; readers wait; a seek says so."""
    log = MemoryLog(TOPICS)
    writer, reader = log.writer(), log.reader()
    reader.seek([Position("orders", 0, FIRST_OFFSET)])
    log.away = True
    writer.send(numbered(1))
    assert not writer.flush(0)
    log.advance(500)
    assert reader.receive(["orders"], 1, 0) == ((), ())
    assert reader.unreachable_ms() == 0
    log.advance(800)
    assert (reader.unreachable_ms(), writer.unreachable_ms()) == (300, 800)
    with pytest.raises(LogUnavailableError):
        reader.seek([Position("orders", 0, 0)])
    log.away = False
    log.advance(801)
    assert writer.flush(0)
    assert len(reader.receive(["orders"], 1, 0)[0]) == 1
    assert (reader.unreachable_ms(), writer.unreachable_ms()) == (0, 0)


def test_short_batches_lose_nothing() -> None:
    """A reader that is given less than there is gets the rest later."""
    log = faulty(4, short_batch=0.7)
    log.writer().send(numbered(30))
    reader = log.reader()
    reader.seek([Position("orders", 0, FIRST_OFFSET)])
    batches = [reader.receive(["orders"], 5, 0)[0] for _ in range(40)]
    assert {len(batch) for batch in batches} >= {0, 1, 2, 3, 4, 5}
    assert [int(message.value or b"") for batch in batches for message in batch] == list(range(30))


def test_a_waiting_reader_is_woken() -> None:
    """In threads, a message ends the wait."""
    log = MemoryLog(TOPICS)
    reader = log.reader()
    reader.seek([Position("orders", 0, FIRST_OFFSET)])
    timer = threading.Timer(0.05, lambda: log.writer().send(numbered(1)))
    timer.start()
    messages, _ = reader.receive(["orders"], 1, 10_000)
    assert len(messages) == 1
    timer.join()


def test_topics_must_exist() -> None:
    """A name that is not in the table is a mistake of ours."""
    with pytest.raises(KeyError):
        MemoryLog(TOPICS).writer().send([Outgoing("nowhere", 0, None, b"")])
