"""Standbys that take over during load, and processes that wake up after another one took their place.

The lock of the signing guard makes one process active, and a stopped process keeps it. So a second active one
comes about only where the lock is lost: its file is removed, or the guard is on a disk that is copied. In both
cases the store, and what is noted in the guard, decide who goes on.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.initialize import AUDITOR, KEY_FILE, LEDGER
from deploy.local.stack import LocalStack
from deploy.status import ledger_status
from protocol.configuration import configuration_hash
from protocol.limits import Limits
from protocol.signing import Role, SigningKey
from schemas.epoch import Cut
from schemas.order import Order, OrderHeader
from schemas.statement import Result, Statement
from schemas.topics import ORDERS, RESULTS
from storage.signing_guard import FileSigningGuard
from streams.role_directory import load_key
from tests.agreement import check_agreement
from tests.background_load import BackgroundLoad
from tests.parties import sign_configuration
from tests.pipeline import STORES, Pipeline, await_that, standby_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PARTIES = pytest.mark.parametrize("party", [AUDITOR, LEDGER])
TAKEOVER_S = 15.0
"""It takes about two seconds where nothing else is done on the machine."""


@pytest.fixture(scope="module")
def pipeline(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A ledger on the shared Kafka."""
    made = Pipeline(tmp_path_factory.mktemp("standbys"), broker=stack.bootstrap_servers, prefix="standbys")
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def load(pipeline: Pipeline) -> BackgroundLoad:
    """What is sent, and remembered over the tests of this module."""
    made = BackgroundLoad(pipeline, seed=2)
    made.open_accounts()
    return made


def stop_before_sending(pipeline: Pipeline, party: str) -> None:
    """Stop a process when its store has a batch that it has not noted, signed or sent."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with pipeline.paused(STORES[party]):
            time.sleep(0.2)  # it comes to wait for the store's answer
            pipeline.pause(party)
        time.sleep(0.1)  # the store does what it was asked, and what was sent before arrives
        if stored(pipeline, party) > sent(pipeline, party):
            return
        pipeline.resume(party)
        time.sleep(0.05)
    raise AssertionError(f"{party} was never caught between storing and sending")


def stored(pipeline: Pipeline, party: str) -> int:
    """The last sequence in a party's store."""
    return pipeline.ordered().sequence if party == AUDITOR else pipeline.committed().sequence


def sent(pipeline: Pipeline, party: str) -> int:
    """The last sequence that a party has sent."""
    if party == AUDITOR:
        headers = [Order.from_message(message.value or b"").header for message in pipeline.read(ORDERS)]
        return max(OrderHeader.from_bytes(header).sequence for header in headers)
    results = [Result.from_message(message.value or b"").statement for message in pipeline.read(RESULTS)]
    return max(Statement.from_bytes(statement).sequence for statement in results)


def noted(directory: Path, party: str) -> int:
    """The last sequence in the guard of a party that was stopped."""
    guard = FileSigningGuard(directory / "guard" / "signing.guard", window=Limits().window_sequences)
    assert guard.acquire(wait=False)
    highest = guard.highest("order" if party == AUDITOR else "statement")
    guard.close()
    assert highest is not None
    return highest.sequence


def active_pid(pipeline: Pipeline, party: str) -> object:
    """Which process says that it is the active one."""
    return pipeline.said(party).get("pid")


@PARTIES
def test_a_standby_takes_over(pipeline: Pipeline, load: BackgroundLoad, party: str) -> None:
    """Within seconds, twice, and from a process that had stored a batch and not sent it."""
    standby = standby_of(party)
    supervisor = pipeline.stack.supervisor
    with load.running():
        pipeline.start_another(party, standby)
        assert active_pid(pipeline, party) == supervisor.pid(party)
        for active, other in ((party, standby), (standby, party)):
            if active == party:
                stop_before_sending(pipeline, party)
            pipeline.kill(active)
            killed = time.monotonic()
            load.await_answers(20)
            assert time.monotonic() - killed < TAKEOVER_S
            assert active_pid(pipeline, party) == supervisor.pid(other)
            pipeline.start_another(party, active)
    states = {row[0]: row[2] for row in ledger_status(pipeline.deployment).process_rows()}
    assert (states[party], states[standby]) == ("active", "running")
    check_agreement(pipeline, load)
    supervisor.stop(standby)
    assert pipeline.said(party)["state"] == "active"


@PARTIES
def test_a_standby_that_waited_through_a_change_of_epochs(
    pipeline: Pipeline, load: BackgroundLoad, party: str
) -> None:
    """It goes by the configuration that is there when it takes over, not by the one of its start.

    Here the store was not brought into the new epoch, so it ends and says so; it signs nothing above the cut.
    """
    standby = standby_of(party)
    pipeline.start_another(party, standby)
    newer = pipeline.home.public / "configuration-1.avro"
    newer.write_bytes(next_configuration(pipeline))
    head = stored(pipeline, party)
    pipeline.kill(party)
    await_that("the standby ends", lambda: not pipeline.runs(standby))
    assert "epoch.needed" in pipeline.log(standby)
    assert stored(pipeline, party) == head
    pipeline.stack.supervisor.stop(standby)
    newer.unlink()
    pipeline.start(party)
    with load.running():
        load.await_answers(20)
    check_agreement(pipeline, load)


def next_configuration(pipeline: Pipeline) -> bytes:
    """Epoch 1, from where the Ledger is on, and else as epoch 0."""
    head, before = pipeline.committed().head, pipeline.deployment.epochs().latest
    configuration = replace(
        before,
        epoch=1,
        previous_epoch_hash=configuration_hash(before.to_bytes()),
        cut=Cut(
            sequence=head.sequence,
            statement_hash=head.statement_hash,
            journal_size=head.sequence + 1,
            journal_root=head.frontier.root(),
        ),
    )
    auditor, ledger = (load_key(pipeline.home.role(party) / KEY_FILE) for party in (AUDITOR, LEDGER))
    keys: dict[Role, SigningKey] = {"auditor": auditor, "ledger": ledger}
    return sign_configuration(configuration, keys, keys)


@pytest.mark.parametrize("name", [AUDITOR, LEDGER, *STORES.values()])
def test_one_is_stopped_for_long(pipeline: Pipeline, load: BackgroundLoad, name: str) -> None:
    """It keeps its lock and its connections, and goes on where it was."""
    with load.running():
        pids = [active_pid(pipeline, party) for party in STORES]
        with pipeline.paused(name):
            time.sleep(4)
        load.await_answers(20)
        assert [active_pid(pipeline, party) for party in STORES] == pids
    check_agreement(pipeline, load)


@PARTIES
def test_a_zombie_whose_lock_was_removed(pipeline: Pipeline, load: BackgroundLoad, party: str) -> None:
    """Somebody takes a stopped process for dead, removes its lock and starts another one on the same guard.

    The first wakes up with a batch that it has stored and not sent. It does no harm, and the guard's file is
    whole: the next process opens it.
    """
    guard = pipeline.home.role(party) / "guard"
    standby = standby_of(party)
    with load.running():
        stop_before_sending(pipeline, party)
        (guard / "signing.guard.lock").unlink()
        pipeline.start_another(party, standby)
        load.await_answers(50)
        assert active_pid(pipeline, party) == pipeline.stack.supervisor.pid(standby)
        pipeline.resume(party)
        load.await_answers(50)
        await_that("the zombie ends", lambda: not pipeline.runs(party))
        assert "guard.contradiction" in pipeline.log(party)
        pipeline.kill(standby)
        pipeline.start(party)
        load.await_answers(50)
        pipeline.stack.supervisor.stop(standby)
    check_agreement(pipeline, load)


@PARTIES
def test_a_zombie_beside_a_copy_of_its_guard(pipeline: Pipeline, load: BackgroundLoad, party: str) -> None:
    """A party fails over to a copy of its disk, and the stopped process wakes up.

    With guards of their own both believe themselves active. Who misses something in its guard halts; the other
    one goes on, and nobody is accused.
    """
    own, copy = pipeline.home.role(party), pipeline.home.role(f"{party}-copy")
    names = (party, copy.name)
    with load.running():
        stop_before_sending(pipeline, party)
        shutil.copytree(own, copy)
        pipeline.start_another(party, copy.name, copy)
        load.await_answers(50)
        pipeline.resume(party)
        load.await_answers(200)
        alive = [name for name in names if pipeline.runs(name)]
        assert alive
        for name in set(names) - set(alive):
            assert "guard.contradiction" in pipeline.log(name)
        for name in names:
            pipeline.stack.supervisor.stop(name)
        if noted(copy, party) > noted(own, party):  # both may be alive: who misses something halts when he signs next
            shutil.rmtree(own / "guard")
            shutil.copytree(copy / "guard", own / "guard")
        pipeline.start(party)
        load.await_answers(50)
    check_agreement(pipeline, load)
