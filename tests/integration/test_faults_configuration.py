"""Roles that are configured wrongly, or find a world that is not theirs: each says what is wrong and harms nothing."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.deployment import Deployment
from deploy.home import Home
from deploy.initialize import AUDITOR, LEARNER, LEDGER
from deploy.local.ports import LOOPBACK
from deploy.local.stack import LocalStack
from deploy.roles.entry import EXIT_FAILED, EXIT_HALTED
from protocol.contracts.fingerprint import engine_answers
from protocol.errors import ERRORS, CountersignError
from schemas.epoch import Configuration, SignedConfiguration
from streams.client import Client
from streams.role_directory import load_key
from tests.agreement import await_rest, check_nobody_halted, check_nobody_is_accused, check_same_records
from tests.parties import sign_configuration
from tests.pipeline import Pipeline, await_that

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="module")
def unharmed(ledger: Pipeline) -> Iterator[Pipeline]:
    """The ledger whose configuration is copied; at the end it is as it should be."""
    ledger.serve()
    yield ledger
    ledger.serve()
    await_rest(ledger)
    check_nobody_halted(ledger)
    check_nobody_is_accused(ledger)
    check_same_records(ledger)


@pytest.fixture
def copy(unharmed: Pipeline, tmp_path: Path) -> Home:
    """A copy of all directories but the stack's, each role with a guard of its own."""
    shutil.copytree(
        unharmed.home.directory,
        tmp_path / "home",
        ignore=shutil.ignore_patterns("stack", "guard", "status.json", "*.duckdb*"),
    )
    return Home(tmp_path / "home")


def start(directory: Path, module: str = "") -> subprocess.Popen[str]:
    """Start a role's process on a directory."""
    module = module or directory.name.partition("-")[0]
    return subprocess.Popen(
        [sys.executable, "-m", f"deploy.roles.{module}", str(directory)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ending(directory: Path) -> tuple[int, dict[str, Any], str]:
    """Run a role until it ends by itself: exit code, what it said of itself, and its log."""
    with start(directory) as process:
        try:
            _, log = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, json.loads((directory / "status.json").read_text()), log


def setting(name: str, value: str) -> Callable[[Path], None]:
    """Change a setting of `role.toml`, or add it."""

    def change(directory: Path) -> None:
        file = directory / "role.toml"
        kept = [line for line in file.read_text().splitlines() if not line.startswith(f"{name} =")]
        file.write_text("\n".join([f"{name} = {value}", *kept]) + "\n")

    return change


def writing(name: str, content: bytes, mode: int = 0o600) -> Callable[[Path], None]:
    """Replace a file of the role."""

    def change(directory: Path) -> None:
        (directory / name).write_bytes(content)
        (directory / name).chmod(mode)

    return change


def missing(name: str) -> Callable[[Path], None]:
    """Remove a file of the role."""
    return lambda directory: (directory / name).unlink()


def of_another(role: str, name: str) -> Callable[[Path], None]:
    """Take a file of another role."""

    def change(directory: Path) -> None:
        shutil.copy(directory.parent / role / name, directory / name)

    return change


def open_to_others(directory: Path) -> None:
    (directory / "key.pem").chmod(0o644)


def with_store_of(role: str) -> Callable[[Path], None]:
    """Name another role's store."""

    def change(directory: Path) -> None:
        home = Home(directory.parent)
        other = home.load(role)
        own = home.load(directory.name)
        replace(own, store_url=other.store_url, namespace_stores=other.namespace_stores).save()

    return change


WRONG: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "no file": (AUDITOR, missing("role.toml"), "config.invalid"),
    "no TOML": (LEDGER, writing("role.toml", b"ledger_id = "), "config.invalid"),
    "no text": ("replica-0", writing("role.toml", b"\xff\xfe"), "config.invalid"),
    "an unknown setting": (LEARNER, setting("colour", '"blue"'), "config.invalid"),
    "a setting of another type": (AUDITOR, setting("partitions", '"four"'), "config.invalid"),
    "a number out of range": (LEARNER, setting("port", "70000"), "config.invalid"),
    "no partitions": (AUDITOR, setting("partitions", "0"), "config.invalid"),
    "a ledger_id that is none": (LEDGER, setting("ledger_id", '"xyz"'), "config.invalid"),
    "another ledger's id": (LEDGER, setting("ledger_id", f'"{"00" * 32}"'), "genesis.untrusted"),
    "no public directory": ("replica-1", setting("public", '"../nowhere"'), "config.invalid"),
    "a topic prefix that is none": ("replica-1", setting("topic_prefix", '"a b"'), "config.invalid"),
    "a store's address that is none": (AUDITOR, setting("store_url", '"somewhere"'), "config.invalid"),
    "a key of the other party": (AUDITOR, of_another(LEDGER, "key.pem"), "config.invalid"),
    "a key of another replica": ("replica-2", of_another("replica-3", "key.pem"), "config.invalid"),
    "a key that is none": (LEDGER, writing("key.pem", b"key"), "config.invalid"),
    "no key": (LEDGER, missing("key.pem"), "config.invalid"),
    "a key that others can read": (LEDGER, open_to_others, "config.invalid"),
    "no salt": (AUDITOR, missing("salt.secret"), "config.invalid"),
    "the Auditor's store": (LEDGER, with_store_of(AUDITOR), "store.damaged"),
    "the Ledger's store": (AUDITOR, with_store_of(LEDGER), "store.damaged"),
    "settings of Kafka that lose messages": (AUDITOR, setting("kafka", '{acks = "0"}'), "config.invalid"),
    "settings of Kafka that are none": ("replica-3", setting("kafka", '{"no.such.setting" = "1"}'), "config.invalid"),
}


@pytest.mark.parametrize(("role", "change", "code"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_configuration(copy: Home, role: str, change: Callable[[Path], None], code: str) -> None:
    """The role ends with a code, and says what to do."""
    change(copy.role(role))
    exit_code, said, log = ending(copy.role(role))
    assert (said["state"], said["code"]) == ("halted", code), log
    assert exit_code in (EXIT_FAILED, EXIT_HALTED)
    assert said["remedy"] == ERRORS[code].remedy
    assert code in log
    assert "Traceback" not in log


def test_damaged_public_files(copy: Home) -> None:
    """What both parties signed is checked before anything else is done."""
    (copy.public / "configuration-0.avro").write_bytes(b"damaged")
    assert ending(copy.role(LEDGER))[1]["code"] == "epoch.malformed"
    (copy.public / "genesis.avro").write_bytes(b"damaged")
    assert ending(copy.role(LEDGER))[1]["code"] == "genesis.malformed"


ENGINES = {"version": {"engine_version": "starlark-pyo3 1.0"}, "answers": {"engine_answers": bytes(32)}}


@pytest.mark.parametrize("role", [AUDITOR, LEDGER])
@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
def test_another_contract_engine(copy: Home, role: str, engine: dict[str, Any]) -> None:
    """Both parties have signed an epoch with an engine that is not the one here: neither starts."""
    keys = {party: load_key(copy.role(party) / "key.pem") for party in (AUDITOR, LEDGER)}
    file = copy.public / "configuration-0.avro"
    agreed = Configuration.from_bytes(SignedConfiguration.from_bytes(file.read_bytes()).configuration)
    file.write_bytes(sign_configuration(replace(agreed, **engine), {"auditor": keys[AUDITOR], "ledger": keys[LEDGER]}))
    exit_code, said, log = ending(copy.role(role))
    assert (exit_code, said["state"], said["code"]) == (EXIT_FAILED, "halted", "engine.differs"), log
    assert said["text"].count(engine_answers().hex()) == (2 if "engine_version" in engine else 1)
    assert "engine.differs" not in said["text"]


@pytest.mark.parametrize("role", [LEARNER, "views", "dashboard"])
def test_a_port_that_is_taken(copy: Home, role: str) -> None:
    """The role ends, and names the port."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        setting("port", str(port))(copy.role(role))
        _, said, log = ending(copy.role(role))
    assert (said["state"], said["code"]) == ("halted", "port.taken"), log
    assert str(port) in said["text"]


def test_a_second_learner_on_the_same_views(unharmed: Pipeline) -> None:
    """It ends, and the first one's state stays what it is."""
    with start(unharmed.home.role(LEARNER)) as process:
        _, log = process.communicate(timeout=60)
    assert process.returncode == EXIT_FAILED
    assert "views.locked" in log
    assert unharmed.said(LEARNER)["state"] == "active"
    assert unharmed.views().health()["status"] == "ok"


def test_a_store_that_may_forget(stack: LocalStack, copy: Home, fresh_stores: LocalStack) -> None:
    """A server that does not sync every write is refused."""
    url = fresh_stores.store_url("ledger-store")
    with redis.Redis.from_url(url) as server:
        server.config_set("appendfsync", "everysec")
    setting("store_url", f'"{url}"')(copy.role(LEDGER))
    assert ending(copy.role(LEDGER))[1]["code"] == "store.unsafe_durability"


@pytest.mark.parametrize(
    ("role", "name", "value", "code"),
    [
        (LEARNER, "bootstrap_servers", f'"{NOWHERE}"', "broker.unreachable"),
        ("replica-0", "bootstrap_servers", f'"{NOWHERE}"', "broker.unreachable"),
        (LEDGER, "store_url", f'"redis://:secret@{NOWHERE}/0"', "store.unreachable"),
    ],
)
def test_a_world_that_is_away(copy: Home, role: str, name: str, value: str, code: str) -> None:
    """The role waits, says for what, and ends at once when it is told to."""
    setting(name, value)(copy.role(role))
    with start(copy.role(role)) as process:
        assert process.stderr is not None
        try:
            said = ""
            while code not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            assert "secret" not in said
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_a_client_whose_broker_is_away(copy: Home) -> None:
    """It says so, instead of waiting for ever."""
    setting("bootstrap_servers", f'"{NOWHERE}"')(copy.client)
    with pytest.raises(CountersignError) as failed:
        Client.open(copy.client, "admin")
    assert failed.value.code == "broker.unreachable"


def test_a_deployment_whose_broker_is_away(tmp_path: Path) -> None:
    """`up` says so and leaves nothing running."""
    deployment = Deployment(Home(tmp_path), broker=NOWHERE)
    with pytest.raises(CountersignError) as failed:
        deployment.up(lambda _: None)
    assert failed.value.code == "broker.unreachable"
    assert deployment.stack.status() == ()


def test_a_deployment_that_is_up_already(unharmed: Pipeline) -> None:
    """A second `up` says so and disturbs nothing."""
    pids = {each.name: each.pid for each in unharmed.stack.status()}
    with pytest.raises(CountersignError) as refused:
        Deployment(unharmed.home).up(lambda _: None)
    assert refused.value.code == "stack.running"
    assert {each.name: each.pid for each in unharmed.stack.status()} == pids
    await_that("all of them run", lambda: all(each.pid for each in unharmed.stack.status()))
    os.stat(unharmed.home.directory)
