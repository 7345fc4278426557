"""A reader that some topics stop in no case: it says what was lost, and misses nothing else."""

import pytest

from storage.effects import Alarm, Outgoing, Position
from streams.log import LogStartLostError
from streams.memory_log import MemoryLog
from streams.skipping_reader import SkippingReader


@pytest.fixture
def log() -> MemoryLog:
    """Two topics of five messages, both of which have lost the first three."""
    log = MemoryLog({"orders": 1, "decisions": 1})
    for topic in ("orders", "decisions"):
        for number in range(5):
            log.insert(Outgoing(topic, 0, None, b"%d" % number))
        log.expire(topic, 0, 3)
    return log


def test_it_goes_on_with_what_is_left(log: MemoryLog) -> None:
    """An alarm first, then every message that there is."""
    reader = SkippingReader(log.reader(), ("orders",))
    reader.seek((Position("orders", 0, 1),))
    assert reader.receive(("orders",), 10, 0) == ((), (Alarm("orders", 0, 1, 3),))
    messages, alarms = reader.receive(("orders",), 10, 0)
    assert ([message.value for message in messages], alarms) == ([b"3", b"4"], ())


def test_other_topics_stop_it_as_ever(log: MemoryLog) -> None:
    """What is kept for ever was taken away by somebody."""
    reader = SkippingReader(log.reader(), ("orders",))
    reader.seek((Position("decisions", 0, 1),))
    with pytest.raises(LogStartLostError):
        reader.receive(("decisions",), 10, 0)
