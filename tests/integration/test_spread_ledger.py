"""A whole ledger on Redis whose bank lies in PostgreSQL: what its operator can do wrong there, or evil."""

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import psycopg
import pytest

from deploy.initialize import LEDGER
from deploy.judge import collect_evidence
from deploy.local.stack import LocalStack
from protocol.canonical_json import dumps
from protocol.evidence.verdicts import Finding
from protocol.records import HEAD_BYTES, RecordKey, pack, record_hash, unpack
from storage.record_stores import StoreKind
from tests.pipeline import Pipeline, await_that

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ALICE = RecordKey("bank", "alice")


@pytest.fixture(scope="module")
def pipeline(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Two accounts, a transfer between them, and an object that is at home."""
    made = Pipeline(
        tmp_path_factory.mktemp("spread"),
        broker=stack.bootstrap_servers,
        prefix="spread",
        store=StoreKind.REDIS,
        store_of={"bank": StoreKind.POSTGRESQL},
    )
    made.up()
    with made.client() as client:
        for name in ("alice", "bob"):
            assert client.execute("account.open", {"account": name, "balance": 100}).ok
        assert client.execute("transfer", {"from": "alice", "to": "bob", "amount": 1}).ok
    yield made
    made.down()


@contextmanager
def configured(pipeline: Pipeline, namespace_stores: dict[str, str]) -> Iterator[None]:
    """The Ledger's file says this for a while."""
    before = pipeline.home.load(LEDGER).namespace_stores
    pipeline.configure(LEDGER, namespace_stores=namespace_stores)
    try:
        yield
    finally:
        pipeline.configure(LEDGER, namespace_stores=before)


def test_a_namespace_that_is_said_to_lie_elsewhere_halts_the_ledger(pipeline: Pipeline) -> None:
    """Its records would seem absent: it says what is wrong before it signs anything, and accuses nobody.

    With its file as it was it goes on.
    """
    url = pipeline.home.load(LEDGER).namespace_stores["bank"]
    pipeline.kill(LEDGER)
    with configured(pipeline, {"bank": url, "object": url}):
        pipeline.start(LEDGER)
        await_that("the Ledger halts", lambda: pipeline.deployment.status_of(LEDGER).get("state") == "halted")
        await_that("its end", lambda: not pipeline.runs(LEDGER))
        said = pipeline.deployment.status_of(LEDGER)
        assert said["code"] == "config.invalid"
        assert "in other databases lie: bank" in str(said["text"])
    pipeline.start(LEDGER)
    pipeline.serve()
    assert pipeline.evidence() == []


def alter(pipeline: Pipeline, balance: int) -> None:
    """Change an account in the Ledger's PostgreSQL, in plain SQL, its hash computed again."""
    configuration = pipeline.home.load(LEDGER)
    with psycopg.connect(configuration.namespace_stores["bank"]) as connection:
        where = "WHERE namespace = %s AND key = %s"
        names = (ALICE.namespace.encode(), ALICE.key.encode())
        found = connection.execute(f'SELECT packed FROM "cs_store_1"."records" {where}', names).fetchall()
        record = unpack(bytes(found[0][0]))
        value = dumps({**orjson.loads(record.value), "balance": balance})
        hashed = record_hash(
            bytes.fromhex(configuration.ledger_id),
            ALICE,
            record.version,
            record.deleted,
            value,
            record.request_id,
            record.previous_hash,
        )
        packed = pack(record._replace(value=value, record_hash=hashed))
        update = f'UPDATE "cs_store_1"."records" SET head = %s, packed = %s {where}'
        assert connection.execute(update, (packed[:HEAD_BYTES], packed, *names)).rowcount == 1


def test_an_account_altered_in_postgresql_is_evidence_against_the_ledger(pipeline: Pipeline) -> None:
    """The Ledger is killed and started again, and uses what it finds: its outcome is not the Auditor's.

    Both must be able to carry out the transfer: one that only the Ledger can writes what was not ordered, and halts it.
    """
    pipeline.kill(LEDGER)
    alter(pipeline, 1_000_000)
    pipeline.start(LEDGER)
    with pipeline.client() as client:
        client.submit("transfer", {"from": "alice", "to": "bob", "amount": 1}, keys=[ALICE])
        await_that("evidence", lambda: bool(pipeline.evidence()))
        client.close(timeout_s=0)
    guilty = [each.verdict for each in collect_evidence(pipeline.home) if each.verdict.finding is Finding.GUILTY]
    assert {str(verdict.culprit) for verdict in guilty} == {"ledger"}
