"""Stores and signing guards that are lost, wiped, rolled back or full, on real parts."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from deploy.initialize import AUDITOR, LEDGER
from deploy.local.stack import AUDITOR_STORE, LEDGER_STORE, LocalStack
from schemas.topics import DECISIONS, ORDERS
from storage.record_stores import StoreKind
from tests.agreement import await_rest, check_agreement, check_nobody_is_accused
from tests.background_load import BackgroundLoad
from tests.pipeline import DEFAULT_STORE, Pipeline, await_that

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def open_pipeline(directory: Path, stack: LocalStack, prefix: str) -> Iterator[Pipeline]:
    """A ledger with stores of its own on the shared Kafka."""
    made = Pipeline(directory, broker=stack.bootstrap_servers, prefix=prefix)
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def pipeline(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Shared by the tests after which it still works."""
    yield from open_pipeline(tmp_path_factory.mktemp("stores"), stack, "stores")


@pytest.fixture(scope="module")
def load(pipeline: Pipeline) -> BackgroundLoad:
    """What is sent, and remembered over the tests of this module."""
    made = BackgroundLoad(pipeline, seed=1)
    made.open_accounts()
    return made


@pytest.fixture
def own_pipeline(stack: LocalStack, tmp_path: Path, unique_name: str) -> Iterator[Pipeline]:
    """For one test, which ends it."""
    yield from open_pipeline(tmp_path, stack, unique_name)


def guard(pipeline: Pipeline, party: str) -> Path:
    """The directory of a party's signing guard."""
    return pipeline.home.role(party) / "guard"


def lose_store(pipeline: Pipeline, store: str) -> None:
    """Kill a Valkey, delete its directory and start it again, empty."""
    pipeline.kill(store)
    shutil.rmtree(pipeline.home.stack / store)
    pipeline.start(store)


def await_halt(pipeline: Pipeline, role: str, code: str) -> str:
    """Wait until a role has ended by itself with this code; give what it said."""
    await_that(f"{role} halts", lambda: not pipeline.runs(role))
    said = pipeline.deployment.status_of(role)
    assert (said["state"], said["code"]) == ("halted", code), said
    return f"{said['text']} {said['remedy']}"


def test_a_wiped_store_of_the_ledger_is_rebuilt_bit_for_bit(pipeline: Pipeline, load: BackgroundLoad) -> None:
    """At rest: every version of every record, and where the Ledger stands, is as before."""
    with load.running():
        load.await_answers(200)
    await_rest(pipeline)
    before, stood = pipeline.versions(LEDGER), pipeline.committed()
    pipeline.stack.supervisor.stop(LEDGER)
    lose_store(pipeline, LEDGER_STORE)
    pipeline.start(LEDGER)
    await_that("the rebuild", lambda: pipeline.has_store(LEDGER) and pipeline.versions(LEDGER) == before)
    assert pipeline.committed().head == stood.head
    assert pipeline.committed().store_id != stood.store_id
    pipeline.serve()
    check_agreement(pipeline, load)


@pytest.mark.parametrize("with_guard", [True, False], ids=["guard kept", "guard lost too"])
def test_the_ledgers_store_is_wiped_during_load(pipeline: Pipeline, load: BackgroundLoad, with_guard: bool) -> None:
    """The Ledger halts, says that it will rebuild, does so when it is started, and accuses nobody."""
    with load.running():
        lose_store(pipeline, LEDGER_STORE)
        assert "start it again" in await_halt(pipeline, LEDGER, "store.wiped")
        if not with_guard:
            shutil.rmtree(guard(pipeline, LEDGER))
        pipeline.start(LEDGER)
        load.await_answers(100)
    check_agreement(pipeline, load)


def test_the_rebuild_is_killed_again_and_again(pipeline: Pipeline, load: BackgroundLoad) -> None:
    """It goes on from where its store stands."""
    with load.running():
        pipeline.kill(LEDGER)
        lose_store(pipeline, LEDGER_STORE)
        for _ in range(3):
            pipeline.start(LEDGER)
            await_that("the rebuild begins", lambda: pipeline.has_store(LEDGER) or not pipeline.runs(LEDGER))
            pipeline.kill(LEDGER)
        pipeline.start(LEDGER)
        load.await_answers(100)
    check_agreement(pipeline, load)


def test_a_rolled_back_store_of_the_ledger_catches_up(pipeline: Pipeline, load: BackgroundLoad, tmp_path: Path) -> None:
    """An older copy of its store is brought up to date from the log."""
    with load.running():
        pipeline.kill(LEDGER_STORE)
        shutil.copytree(pipeline.home.stack / LEDGER_STORE, tmp_path / "older")
        pipeline.start(LEDGER_STORE)
        load.await_answers(200)
        pipeline.kill(LEDGER)
        pipeline.kill(LEDGER_STORE)
        shutil.rmtree(pipeline.home.stack / LEDGER_STORE)
        shutil.copytree(tmp_path / "older", pipeline.home.stack / LEDGER_STORE)
        pipeline.start(LEDGER_STORE)
        pipeline.start(LEDGER)
        load.await_answers(100)
    check_agreement(pipeline, load)


@pytest.mark.parametrize("party", [AUDITOR, LEDGER])
def test_a_lost_guard_beside_a_kept_store(pipeline: Pipeline, load: BackgroundLoad, party: str) -> None:
    """Whatever is signed again is a function of the store, so it goes on."""
    with load.running():
        pipeline.kill(party)
        shutil.rmtree(guard(pipeline, party))
        pipeline.start(party)
        load.await_answers(100)
    check_agreement(pipeline, load)


@pytest.mark.skipif(DEFAULT_STORE != StoreKind.REDIS, reason="fills Redis by its own setting `maxmemory`")
@pytest.mark.parametrize("party", [AUDITOR, LEDGER])
def test_a_full_store_is_waited_for(pipeline: Pipeline, load: BackgroundLoad, party: str) -> None:
    """It refuses every write for a while, says that it is full, and the party goes on when there is room."""
    with load.running(), redis.Redis.from_url(pipeline.home.load(party).store_url) as server:
        server.config_set("maxmemory", 1)
        logged = pipeline.log(party)
        await_that("the alarm", lambda: "disk.full" in pipeline.log(party)[len(logged) :])
        server.config_set("maxmemory", 0)
        load.await_answers(100)
    check_agreement(pipeline, load)


def signed(pipeline: Pipeline) -> set[bytes | None]:
    """What the Auditor has sent, each once: it may say again what it said."""
    return {message.value for topic in (ORDERS, DECISIONS) for message in pipeline.read(topic)}


def wipe(pipeline: Pipeline) -> None:
    lose_store(pipeline, AUDITOR_STORE)


def roll_back(pipeline: Pipeline) -> None:
    older, store = pipeline.home.stack / "older", pipeline.home.stack / AUDITOR_STORE
    pipeline.kill(AUDITOR_STORE)
    shutil.copytree(store, older)
    pipeline.start(AUDITOR_STORE)
    for _ in range(3):
        pipeline.serve()
    pipeline.kill(AUDITOR)
    pipeline.kill(AUDITOR_STORE)
    shutil.rmtree(store)
    older.rename(store)
    pipeline.start(AUDITOR_STORE)
    pipeline.start(AUDITOR)


@pytest.mark.parametrize(
    ("lose", "code", "said"), [(wipe, "store.wiped", "bring its store back"), (roll_back, "epoch.needed", " epoch")]
)
def test_a_lost_store_of_the_auditor_is_not_replaced(
    own_pipeline: Pipeline, lose: Callable[[Pipeline], None], code: str, said: str
) -> None:
    """The Auditor halts and says so, at every start; it signs nothing new, and nobody is accused."""
    own_pipeline.serve()
    await_rest(own_pipeline)
    lose(own_pipeline)
    before = signed(own_pipeline)
    with own_pipeline.client() as client:
        client.submit("object.put", {"key": "a", "value": 1})
        assert said in await_halt(own_pipeline, AUDITOR, code)
        client.close(timeout_s=0)
    own_pipeline.start(AUDITOR)
    await_halt(own_pipeline, AUDITOR, code)
    assert signed(own_pipeline) == before
    check_nobody_is_accused(own_pipeline)
    assert own_pipeline.runs(LEDGER)
