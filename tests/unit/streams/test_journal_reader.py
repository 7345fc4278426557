"""The learner beside a party gives the block that holds a sequence, or nothing, and always comes back."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from protocol.errors import CountersignError
from schemas.topics import pieces_topic
from storage.effects import Alarm, JournalRead, Message, ReadJournal
from streams import journal_reader
from streams.journal_reader import JournalReader
from streams.log import LogRefusedError, LogUnavailableError
from streams.memory_log import MemoryLogReader
from streams.performer import StoppedError
from streams.signature_pool import SignaturePool
from streams.stop_signal import StopSignal
from tests.unit.learners.cluster import Cluster, Corrupting

Received = tuple[tuple[Message, ...], tuple[Alarm, ...]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory gives what it has at once."""
    monkeypatch.setattr(journal_reader, "_QUIET_RECEIVES", 2)
    monkeypatch.setattr(journal_reader, "_FIRST_RECEIVES", 4)


@pytest.fixture
def pool() -> Iterator[SignaturePool]:
    made = SignaturePool(1)
    yield made
    made.close()


class Counting(MemoryLogReader):
    """Counts what is asked of it, and does something before each receive."""

    before: Callable[[int], None] = staticmethod(lambda calls: None)
    calls = 0

    def receive(self, topics: Sequence[str], max_messages: int, wait_ms: int) -> Received:
        self.calls += 1
        assert self.calls < 200, "it hangs"
        self.before(self.calls)
        return super().receive(topics, max_messages, 0)


def decided(blocks: int, *replicas: int) -> Cluster:
    cluster = Cluster()
    cluster.decide(4 * blocks)
    if blocks:
        cluster.disperse(*replicas)
    return cluster


def made(cluster: Cluster, pool: SignaturePool, reader: MemoryLogReader | None = None) -> JournalReader:
    return JournalReader(cluster.epochs, reader or Counting(cluster.log), pool, lambda: 1, StopSignal())


def sequences(cluster: Cluster, read: JournalRead) -> list[int]:
    """Which updates these are, bit for bit."""
    known = {update.to_bytes(): sequence for sequence, update in cluster.world.updates.items()}
    return [known[update] for update in read.updates]


def test_each_sequence_is_found_in_its_block_in_whatever_order(pool: SignaturePool) -> None:
    """Forwards, the same again, and back from the start: a store may have been rolled back meanwhile."""
    cluster = decided(4)
    journal = made(cluster, pool)
    for sequence in (0, 1, 3, 3, 4, 15, 12, 11, 0, 7, 2):
        read = journal.read(ReadJournal(sequence=sequence))
        first = sequence // 4 * 4
        assert sequences(cluster, read) == [*range(first, first + 4)]
        assert read.last == cluster.last(sequence // 4)


def test_what_is_not_there_is_nothing_and_comes_later(pool: SignaturePool) -> None:
    """An empty answer changes nothing: the next block is given as soon as it is there."""
    cluster = decided(1)
    journal = made(cluster, pool)
    assert journal.read(ReadJournal(sequence=4)) == JournalRead(now_ms=1)
    assert sequences(cluster, journal.read(ReadJournal(sequence=2))) == [0, 1, 2, 3]
    cluster.decide(4)
    cluster.disperse()
    assert sequences(cluster, journal.read(ReadJournal(sequence=4))) == [4, 5, 6, 7]


def test_a_new_ledger_is_not_waited_for(pool: SignaturePool) -> None:
    """No replica has a piece: nothing is received at all; and once there is one, it is read."""
    cluster = decided(0)
    reader = Counting(cluster.log)
    journal = made(cluster, pool, reader)
    assert journal.read(ReadJournal(sequence=0)) == JournalRead(now_ms=1)
    assert reader.calls == 0
    cluster.decide(4)
    cluster.disperse()
    assert sequences(cluster, journal.read(ReadJournal(sequence=0))) == [0, 1, 2, 3]


def test_one_replica_that_cannot_be_asked_may_have_pieces(pool: SignaturePool) -> None:
    """So they are waited for; whoever took it for nothing would begin an empty ledger anew."""
    cluster = decided(0)

    class Away(Counting):
        def read_tail(self, topic: str, count: int) -> tuple[Message, ...]:
            if topic == pieces_topic(1):
                raise LogUnavailableError("away")
            return super().read_tail(topic, count)

    reader = Away(cluster.log)
    assert made(cluster, pool, reader).read(ReadJournal(sequence=0)) == JournalRead(now_ms=1)
    assert reader.calls == 4, "as long as for a first message"


def test_a_broker_that_refuses_is_said_to(pool: SignaturePool) -> None:
    """It is no empty journal."""
    cluster = decided(0)

    class Refusing(Counting):
        def read_tail(self, topic: str, count: int) -> tuple[Message, ...]:
            raise LogRefusedError("no right")

    with pytest.raises(LogRefusedError):
        made(cluster, pool, Refusing(cluster.log)).read(ReadJournal(sequence=0))


def test_it_is_patient_until_the_first_message_and_less_so_then(pool: SignaturePool) -> None:
    """Three empty answers before the first message are none too many; two after it are the end."""
    cluster = decided(1)

    class Slow(Counting):
        def receive(self, topics: Sequence[str], max_messages: int, wait_ms: int) -> Received:
            given = super().receive(topics, max_messages, wait_ms) if self.calls == 3 else ((), ())
            self.calls += given == ((), ())
            return given

    reader = Slow(cluster.log)
    journal = made(cluster, pool, reader)
    assert sequences(cluster, journal.read(ReadJournal(sequence=0))) == [0, 1, 2, 3]
    before = reader.calls
    assert journal.read(ReadJournal(sequence=4)) == JournalRead(now_ms=1)
    assert reader.calls == before + 2


def test_more_liars_than_allowed_are_an_error_with_a_code(pool: SignaturePool) -> None:
    """A party does not guess, and does not wait for what will never come."""
    cluster = decided(1, 2, 3)
    for replica in (0, 1):
        cluster.replica(replica, Corrupting(3, 4, 0))
    with pytest.raises(CountersignError) as caught:
        made(cluster, pool).read(ReadJournal(sequence=0))
    assert caught.value.code == "replicas.assumption"


def test_a_stop_ends_it_although_something_always_comes(pool: SignaturePool) -> None:
    """Rubbish on one topic keeps it reading for as long as it comes, and not a moment longer than it may."""
    cluster = decided(1, 0, 1)
    reader, stop = Counting(cluster.log), StopSignal()

    def before(calls: int) -> None:
        cluster.publish(b"rubbish", pieces_topic(3))
        if calls == 50:
            stop.request()

    reader.before = before
    journal = JournalReader(cluster.epochs, reader, pool, lambda: 1, stop)
    with pytest.raises(StoppedError):
        journal.read(ReadJournal(sequence=0))
    assert reader.calls == 50
