"""A replica's process: it recovers before it follows, and again when decisions turn out not to show what comes next."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from protocol.errors import CountersignError
from schemas.topics import DECISIONS, pieces_topic
from storage.effects import Halt
from storage.machine import Machine
from streams.learner_process import FollowerProcess
from streams.metrics import StageMeter
from streams.performer import Ports
from streams.replica_stage import run_replica
from streams.signature_pool import SignaturePool
from streams.stage import Stage
from streams.stop_signal import StopSignal
from tests.parties import key_of
from tests.pipeline import await_that
from tests.unit.learners.cluster import Cluster

INDEX = 1
STEP_MS = 2_000
"""The clock runs ahead, so that the longest pause is soon over."""


class Process:
    """What a replica's process has, over a log in memory."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.epochs = cluster.epochs
        self.key = key_of(f"replica {INDEX}")
        self.stop = StopSignal(drain_s=0.2)
        self.stages: list[str] = []
        self.result: list[Halt | None] = []
        self._pool = SignaturePool(1)
        self._now_ms = 0

    def _clock(self) -> int:
        self._now_ms += STEP_MS
        return self._now_ms

    def stage(self, name: str, make_machine: Callable[[], Machine], ends: frozenset[str]) -> Stage:
        self.stages.append(name)
        log = self.cluster.log
        ports = Ports(
            reader=log.reader(),
            writer=log.writer(),
            pool=self._pool,
            now_ms=self._clock,
            stop=self.stop,
            signing_key=self.key,
        )
        return Stage(make_machine, ports, StageMeter(name), ends)

    def run(self, index: int = INDEX) -> None:
        self.result.append(run_replica(cast(FollowerProcess, cast(Any, self)), index))

    def blocks(self) -> list[int]:
        return [header.block for header in self.cluster.headers(INDEX)]


@pytest.fixture
def started() -> Iterator[Callable[[Cluster], Process]]:
    """Starts a replica's process; it is stopped in the end."""
    running: list[tuple[Process, threading.Thread]] = []

    def start(cluster: Cluster) -> Process:
        process = Process(cluster)
        thread = threading.Thread(target=process.run)
        thread.start()
        running.append((process, thread))
        return process

    yield start
    for process, thread in running:
        process.stop.request()
        thread.join(10)
        assert not thread.is_alive()
        assert process.result == [None]


def test_it_recovers_and_follows(started: Callable[[Cluster], Process]) -> None:
    """Its topic is empty and decisions begin in the middle: the others' pieces, and then the decisions."""
    cluster = Cluster()
    cluster.decide(8)
    cluster.disperse(0, 2, 3)
    cluster.decide(4)
    cluster.log.expire(DECISIONS, 0, 6)
    process = started(cluster)
    await_that("every block", lambda: process.blocks() == [0, 1, 2], 20)
    assert process.stages == ["recover", "replica"]


def test_a_position_that_the_log_has_passed_sends_it_back_to_recover(
    started: Callable[[Cluster], Process], caplog: pytest.LogCaptureFixture
) -> None:
    """Its hint leads before the start of the log: it looks again, from what is left."""
    cluster = Cluster()
    cluster.decide(4)
    cluster.disperse(INDEX)
    cluster.decide(4)
    for message in cluster.log.messages(DECISIONS):
        cluster.publish(message.value or b"")
    cluster.log.expire(DECISIONS, 0, 8)
    process = started(cluster)
    await_that("the next block", lambda: process.blocks() == [0, 1], 20)
    assert process.stages == ["recover", "replica", "recover", "replica"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"], "it goes on by itself"


def test_a_decision_that_never_comes_is_recovered_from_the_others(started: Callable[[Cluster], Process]) -> None:
    """Decisions begin at 0, and 5 is kept from this replica alone."""
    whole, cluster = Cluster(), Cluster()
    whole.decide(12)
    whole.disperse(0, 2, 3)
    for sequence, message in enumerate(whole.log.messages(DECISIONS)):
        if sequence != 5:
            cluster.publish(message.value or b"")
    for replica in (0, 2, 3):
        for message in whole.log.messages(pieces_topic(replica)):
            cluster.publish(message.value or b"", pieces_topic(replica))
    process = started(cluster)
    await_that("every block", lambda: process.blocks() == [0, 1, 2], 40)
    assert process.stages[:3] == ["recover", "replica", "recover"]


def test_another_replica_s_key_is_refused() -> None:
    """Before anything is read."""
    with pytest.raises(CountersignError, match="replica 2"):
        Process(Cluster()).run(2)
