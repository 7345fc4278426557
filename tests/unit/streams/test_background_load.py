"""The load of the tests that break things: a failure shows at once, whatever the load itself waits for."""

from contextlib import ExitStack
from typing import Any, cast

import pytest

from streams.client import Client
from streams.client_options import ClientOptions
from tests import background_load
from tests.background_load import BackgroundLoad
from tests.mock_cluster import MockCluster
from tests.parties import key_of
from tests.pipeline import Pipeline, await_that
from tests.unit.streams.client_world import connection, ledger
from tests.worlds import World

IN_FLIGHT = 40

pytestmark = pytest.mark.timeout(60)


class OneClient:
    """In a pipeline's place: gives clients of a ledger, and remembers the last one."""

    def __init__(self, cluster: MockCluster, world: World) -> None:
        self._cluster, self._world = cluster, world
        self.last: Client | None = None

    def client(self, options: ClientOptions | None = None) -> Client:
        self.last = Client(
            connection(self._cluster),
            self._world.epochs,
            entity="admin",
            key=key_of("admin"),
            partitions=1,
            options=options,
        )
        return self.last

    def is_full(self) -> bool:
        """Whether its client's next call would wait for room."""
        return self.last is not None and self.last._unanswered() >= IN_FLIGHT


@pytest.fixture
def pipeline(cluster: MockCluster, world: World, monkeypatch: pytest.MonkeyPatch) -> OneClient:
    monkeypatch.setattr(background_load, "_OPTIONS", ClientOptions(in_flight=IN_FLIGHT, signed_together=1))
    monkeypatch.setattr(background_load, "_GRACE_S", 0.1)
    return OneClient(cluster, world)


def load_of(pipeline: OneClient, rate: float = 500) -> BackgroundLoad:
    return BackgroundLoad(cast(Pipeline, pipeline), seed=1, rate=rate)


def test_every_answer_is_taken_at_the_end(pipeline: OneClient, cluster: MockCluster, world: World) -> None:
    """Where all is well nothing that was sent is left out."""
    load = load_of(pipeline)
    with ledger(cluster, world), load.running():
        load.await_answers(20)
    assert len(load.answers) == load._sent >= 40
    assert load.unanswered == load.rejected == []


def test_answers_are_counted_while_the_ledger_is_slower_than_the_load(
    pipeline: OneClient, cluster: MockCluster, world: World
) -> None:
    """As on a machine that is busy: what is due grows and grows, and answers are counted before all of it is sent."""
    load = load_of(pipeline, rate=100_000)
    with ledger(cluster, world), load.running():
        for _ in range(3):
            load.await_answers(20)
    assert len(load.answers) == load._sent < 10_000


def test_a_failure_shows_although_the_load_waits_for_room(
    pipeline: OneClient, cluster: MockCluster, world: World
) -> None:
    """With a ledger that is gone as much is in flight as may be, and that never changes."""
    load = load_of(pipeline)

    def fail_when_full() -> None:
        with ExitStack() as serving:
            serving.enter_context(ledger(cluster, world))
            with load.running():
                serving.close()
                await_that("nothing more can be sent", pipeline.is_full)
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_when_full()
    assert "client.closed" in load.unanswered[0]


def test_what_ends_the_load_is_what_shows(
    pipeline: OneClient, cluster: MockCluster, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not, a minute later, that no more answers came."""
    load = load_of(pipeline)

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    def break_it() -> None:
        with ledger(cluster, world), load.running():
            monkeypatch.setattr(Client, "submit", fail)
            load.await_answers(1)

    with pytest.raises(ZeroDivisionError):
        break_it()
