"""A throw-away learner: the whole journal once, its account, whom it would accuse; and it always ends."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest

from learners.accounting import message_bytes_max
from learners.blame import BlockEncoder
from learners.window import PieceWindow
from protocol.errors import CountersignError
from protocol.evidence.verify import verify_evidence
from schemas.evidence import Evidence
from schemas.topics import EVIDENCE, LEARNED, pieces_topic
from storage.effects import Alarm, Message, Outgoing, Position
from streams import learn_once as module
from streams.learn_once import LearnedJournal, learn_once
from streams.log import LogUnavailableError
from streams.memory_log import MemoryLogReader
from tests.unit.learners.cluster import Cluster, Corrupting


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second of quiet is enough here."""
    monkeypatch.setattr(module, "QUIET_RECEIVES", 2)


def learn(cluster: Cluster, reader: MemoryLogReader | None = None, check_clients: bool = False) -> LearnedJournal:
    clock = count()
    return learn_once(cluster.epochs, reader or cluster.log.reader(), lambda: next(clock), check_clients=check_clients)


@pytest.mark.parametrize("checksum", ["tree", "simple"])
@pytest.mark.parametrize("check_clients", [False, True])
def test_the_whole_journal_is_learned_once(checksum: str, check_clients: bool) -> None:
    """To where the topics end now, with every byte accounted for; nothing is published."""
    cluster = Cluster(checksum=checksum)
    cluster.decide(21)
    cluster.disperse()
    found = learn(cluster, check_clients=check_clients)
    report = found.report
    assert (found.halt, found.away, found.evidence, found.sequence) == (None, (), (), 19)
    assert (report.blocks, report.updates, report.messages) == (5, 20, 20)
    assert report.received.counted == report.counted_max
    assert (report.decodes, report.extra_bytes) == (5, 0)
    assert report.is_within_bounds()
    assert not cluster.log.messages(EVIDENCE)
    assert not cluster.log.messages(LEARNED)


def test_an_empty_ledger_is_learned_at_once() -> None:
    """No update, no block, no division by nothing."""
    found = learn(Cluster())
    assert (found.sequence, found.report.blocks, found.report.copies, found.halt) == (-1, 0, 0.0, None)


@pytest.mark.parametrize("checksum", ["tree", "simple"])
def test_a_liar_costs_what_the_theorem_allows_and_is_named(checksum: str) -> None:
    """One of four corrupts each piece: with trees one decode a block, else at most four; the evidence convicts it."""
    cluster = Cluster(checksum=checksum)
    cluster.decide(40)
    cluster.replica(0, Corrupting(3, 4, 0))
    cluster.disperse(1, 2, 3)
    found = learn(cluster)
    report = found.report
    assert (found.halt, report.blocks) == (None, 10)
    assert report.is_within_bounds()
    assert [replica.wrong for replica in report.replicas] == [10, 0, 0, 0]
    assert all(cost.wrong == {0} for cost in report.kept)
    assert report.decodes == 10 if checksum == "tree" else 10 <= report.decodes <= 10 + 3
    assert len(found.evidence) == 1
    evidence, dispersal = Evidence.body_of(found.evidence[0]), BlockEncoder(cluster.epochs)
    verdict = verify_evidence(evidence, cluster.world.ledger_id, dispersal=dispersal)
    assert verdict.convicts
    assert "0" in str(verdict.culprit)


def test_a_silent_replica_is_shown_as_lag_and_missing_blocks() -> None:
    """It is accused of nothing; what the others sent is within its bounds."""
    cluster = Cluster()
    cluster.decide(8)
    cluster.disperse(3)
    cluster.decide(8)
    cluster.disperse(0, 1, 2)
    report = learn(cluster).report
    assert (report.blocks, report.lag_blocks(3), report.replicas[3].missing) == (4, 2, 2)
    assert [cost.missing() for cost in report.kept] == [(), (), (3,), (3,)]
    assert not any(replica.wrong for replica in report.replicas)


def test_rubbish_and_repetitions_stand_apart() -> None:
    """Whatever anybody writes to the topics, the first good message of each replica is what the bound is about."""
    cluster = Cluster()
    cluster.decide(4)
    cluster.disperse()
    good = cluster.log.messages(pieces_topic(1))[0].value or b""
    cluster.publish(good, pieces_topic(1))
    cluster.publish(b"rubbish", pieces_topic(1))
    cluster.publish(good, pieces_topic(2))
    altered = replace(cluster.pieces(3)[0], slice=bytes(len(cluster.pieces(3)[0].slice))).to_message()
    cluster.log.insert(Outgoing(pieces_topic(3), 0, None, altered))
    other = cluster.epochs.latest
    header = replace(cluster.headers(0)[0], checksum="weird")
    cluster.lie(0, header, b"", cluster.last(0))
    found = learn(cluster)
    report = found.report
    assert (report.blocks, report.messages) == (1, 4)
    assert report.received.counted == 4 * message_bytes_max(other, report.journal_bytes)
    assert [replica.repeated for replica in report.replicas] == [0, 1, 0, 0]
    assert [replica.skipped for replica in report.replicas] == [1, 1, 1, 1]
    assert [replica.misconfigured for replica in report.replicas] == [1, 0, 0, 0]
    everything = sum(
        len(message.value or b"") for replica in range(4) for message in cluster.log.messages(pieces_topic(replica))
    )
    assert report.received.total + report.extra_bytes == everything


def test_more_liars_than_allowed_end_it_with_the_reason() -> None:
    """It never goes on by guessing."""
    cluster = Cluster()
    cluster.decide(4)
    for replica in (0, 1):
        cluster.replica(replica, Corrupting(3, 4, 0))
    cluster.disperse(2, 3)
    found = learn(cluster)
    assert found.halt is not None
    assert found.halt.code == "replicas.assumption"
    assert found.report.blocks == 0


def test_a_topic_that_cannot_be_read_is_named_and_done_without() -> None:
    """Three of four suffice; it ends when nothing more comes."""

    class Away(MemoryLogReader):
        def read_tail(self, topic: str, count: int) -> tuple[Message, ...]:
            if topic == pieces_topic(2):
                raise LogUnavailableError("away")
            return super().read_tail(topic, count)

    cluster = Cluster()
    cluster.decide(4)
    cluster.disperse(0, 1, 3)
    found = learn(cluster, Away(cluster.log))
    assert (found.away, found.report.blocks, found.halt) == ((pieces_topic(2),), 1, None)


def test_where_no_topic_can_be_read_it_gives_up() -> None:
    """The ledger is stopped: nobody waits for it."""

    class Down(MemoryLogReader):
        def read_tail(self, topic: str, count: int) -> tuple[Message, ...]:
            raise LogUnavailableError("away")

        def seek(self, positions: Sequence[Position]) -> None:
            pytest.fail("it would wait here for ever")

    cluster = Cluster()
    with pytest.raises(CountersignError) as caught:
        learn(cluster, Down(cluster.log))
    assert caught.value.code == "broker.unreachable"
    assert "countersign up" in caught.value.explained.remedy


def test_a_topic_that_fills_its_share_of_the_window_does_not_hold_it_up() -> None:
    """Two replicas only: no block can be learned, and it ends all the same."""
    cluster = Cluster()
    cluster.decide(8)
    cluster.disperse(0, 1)
    cluster.log.insert(Outgoing(pieces_topic(2), 0, None, b"rubbish"))
    found = learn(cluster)
    assert (found.report.blocks, found.halt) == (0, None)
    assert found.report.replicas[0].newest == 1


@pytest.mark.parametrize("still_ms", [29_999, 30_000])
def test_a_busy_ledger_does_not_keep_it_for_ever(still_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One replica's pieces fill its share, the blocks before them cannot be learned, and the others write on and on."""
    monkeypatch.setattr("learners.reconstruction.PieceWindow", lambda replicas, _: PieceWindow(replicas, 16_000))
    cluster = Cluster()
    cluster.decide(4 * 40)
    cluster.disperse(3)
    now_ms, calls = 0, 0

    class Busy(MemoryLogReader):
        def receive(
            self, topics: Sequence[str], max_messages: int, wait_ms: int
        ) -> tuple[tuple[Message, ...], tuple[Alarm, ...]]:
            nonlocal now_ms, calls
            if pieces_topic(3) in topics:
                return super().receive(topics, max_messages, wait_ms)
            calls += 1
            now_ms += still_ms if calls == 1 else 0
            assert calls < 10, "it never ends"
            cluster.publish(b"written meanwhile", pieces_topic(0))
            if calls == 3:
                now_ms += 1
            return super().receive(topics, max_messages, wait_ms)

    found = learn_once(cluster.epochs, Busy(cluster.log), lambda: now_ms)
    assert (found.halt, found.report.blocks) == (None, 0)
    assert 0 < found.report.replicas[3].newest < 39
    assert calls == (1 if still_ms == 30_000 else 3)


def test_what_takes_long_is_read_to_its_end() -> None:
    """However long: as long as what was there in the beginning still comes, nothing is left out."""
    cluster = Cluster()
    cluster.decide(4 * 20)
    cluster.disperse()
    now_ms = 0

    class Slow(MemoryLogReader):
        def receive(
            self, topics: Sequence[str], max_messages: int, wait_ms: int
        ) -> tuple[tuple[Message, ...], tuple[Alarm, ...]]:
            nonlocal now_ms
            now_ms += 29_000
            return super().receive(topics, 1, wait_ms)

    found = learn_once(cluster.epochs, Slow(cluster.log), lambda: now_ms)
    assert (found.report.blocks, found.halt) == (20, None)


@pytest.mark.parametrize("pauses", [1, 2])
def test_it_waits_as_long_as_it_says(pauses: int) -> None:
    """Two empty answers in a row are the end here; one, however often it comes, is none."""
    cluster = Cluster()
    cluster.decide(4 * 5)
    cluster.disperse()
    calls = 0

    class Pausing(MemoryLogReader):
        def receive(
            self, topics: Sequence[str], max_messages: int, wait_ms: int
        ) -> tuple[tuple[Message, ...], tuple[Alarm, ...]]:
            nonlocal calls
            calls += 1
            return super().receive(topics, 1, 0) if calls % (pauses + 1) == 0 else ((), ())

    assert learn(cluster, Pausing(cluster.log)).report.blocks == (5 if pauses == 1 else 0)


def test_its_progress_is_told() -> None:
    """Messages that were read, of those that there were; what is written meanwhile does not count."""
    cluster = Cluster()
    cluster.decide(4 * 10)
    cluster.disperse()
    told: list[tuple[int, int]] = []
    clock = count()
    learn_once(cluster.epochs, cluster.log.reader(), lambda: next(clock), lambda read, of: told.append((read, of)))
    assert told[-1] == (40, 40)
    assert [read for read, _ in told] == sorted({read for read, _ in told}), told
    assert all(0 < read <= of == 40 for read, of in told)
