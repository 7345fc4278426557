"""A whole ledger on each kind of store: killed, restarted, wiped and rebuilt, the records stay the same."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.initialize import AUDITOR, LEDGER
from deploy.local.stack import AUDITOR_STORE, LEDGER_STORE, LocalStack
from storage.record_stores import StoreKind
from tests.agreement import check_agreement
from tests.background_load import BackgroundLoad
from tests.pipeline import Pipeline, await_that

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def pipeline(
    stack: LocalStack, tmp_path: Path, unique_name: str, request: pytest.FixtureRequest
) -> Iterator[Pipeline]:
    """A ledger on the shared Kafka, its parties' stores of the kind that the test names."""
    store, store_of = request.param
    made = Pipeline(tmp_path, broker=stack.bootstrap_servers, prefix=unique_name, store=store, store_of=store_of)
    made.up()
    yield made
    made.down()


ON = {
    "sqlite": (StoreKind.SQLITE, {}),
    "postgresql": (StoreKind.POSTGRESQL, {}),
    "redis and postgresql": (StoreKind.REDIS, {"bank": StoreKind.POSTGRESQL}),
}


@pytest.mark.parametrize("pipeline", ON.values(), ids=ON, indirect=True)
def test_killed_wiped_and_rebuilt(pipeline: Pipeline) -> None:
    """Both parties and their stores are killed amid the load: nothing acknowledged is lost, and both hold the same.

    Then the Ledger's store is lost, and rebuilt from the log bit for bit.
    """
    load = BackgroundLoad(pipeline, seed=1)
    load.open_accounts()
    with load.running():
        load.await_answers(100)
        stores = [name for store in (AUDITOR_STORE, LEDGER_STORE) for name in pipeline.stack.services_of(store)]
        victims = [name for name in (*stores, AUDITOR, LEDGER) if pipeline.runs(name)]
        assert {AUDITOR, LEDGER} <= set(victims)
        for name in victims:
            pipeline.kill(name)
        for name in victims:
            pipeline.start(name)
        load.await_answers(100)
    check_agreement(pipeline, load)
    before, stood = pipeline.versions(LEDGER), pipeline.committed()
    pipeline.stack.supervisor.stop(LEDGER)
    for name in pipeline.stack.services_of(LEDGER_STORE):
        pipeline.stack.supervisor.stop(name)
        shutil.rmtree(pipeline.home.stack / name)
        pipeline.stack.restart(name)
    pipeline.start(LEDGER)
    await_that("the rebuild", lambda: pipeline.has_store(LEDGER) and pipeline.versions(LEDGER) == before)
    assert pipeline.committed().head == stood.head
    assert pipeline.committed().store_id != stood.store_id
    pipeline.serve()
