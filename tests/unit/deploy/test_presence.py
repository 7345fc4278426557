"""A ledger that is not there is known at once; one that may be there, however slow, is not given up."""

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.home import Home
from deploy.initialize import AUDITOR, CLIENT, LEDGER, NewLedger, initialize
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.processes import identify
from deploy.local.settings import STACK_FILE, StackSettings
from deploy.presence import require_deciding, require_listening, require_running
from deploy.roles.entry import RoleStatus
from protocol.errors import CountersignError
from streams.role_directory import STATUS_FILE

SOON_S = 3.0
"""Less than what an address that swallows everything is given, and enough for a machine that is busy."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A ledger that was made and never started."""
    home = Home(tmp_path / "home")
    initialize(home, NewLedger())
    return home


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Somebody who takes connections and never says a word."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server


def _address(listener: socket.socket) -> str:
    return f"{LOOPBACK}:{listener.getsockname()[1]}"


def _started(home: Home, *, kafka_port: int | None = None, broker: str = "") -> None:
    """Let a home look like after an `up`."""
    ports = {"auditor-store": 1, "ledger-store": 2, **({} if kafka_port is None else {"kafka": kafka_port})}
    StackSettings(broker=broker, ports=ports, passwords={}).save(home.stack / STACK_FILE)
    address = broker or f"{LOOPBACK}:{kafka_port}"
    replace(home.load(CLIENT), bootstrap_servers=address).save()


def _runs_here(home: Home, name: str) -> None:
    """Let this process pass for a service."""
    identity = identify(os.getpid())
    assert identity is not None
    (home.stack / "run").mkdir(exist_ok=True)
    (home.stack / "run" / f"{name}.pid").write_text(identity.to_text())


def _code(work: Callable[[], None]) -> str:
    """The code of the error that comes soon, "" where none comes."""
    began = time.monotonic()
    try:
        work()
    except CountersignError as error:
        return error.code
    finally:
        assert time.monotonic() - began < SOON_S
    return ""


def test_a_ledger_that_was_never_started_is_down(home: Home) -> None:
    """Nobody knows where its Kafka is."""
    assert _code(lambda: require_running(home)) == "stack.down"


def test_a_stopped_ledger_is_down_whoever_has_its_port_now(home: Home, listener: socket.socket) -> None:
    """Its pid files say so."""
    _started(home, kafka_port=listener.getsockname()[1])
    assert _code(lambda: require_running(home)) == "stack.down"
    _runs_here(home, "ledger-store")
    with pytest.raises(CountersignError, match="not running: auditor-store, kafka"):
        require_running(home)
    _runs_here(home, "kafka")
    assert _code(lambda: require_running(home)) == ""


def test_a_stopped_ledger_on_a_kafka_elsewhere_is_down(home: Home, listener: socket.socket) -> None:
    """Though that Kafka is there."""
    _started(home, broker=_address(listener))
    assert _code(lambda: require_running(home)) == "stack.down"
    _runs_here(home, "auditor-store")
    assert _code(lambda: require_running(home)) == ""


def test_parties_under_another_supervisor_are_not_taken_for_stopped(home: Home, listener: socket.socket) -> None:
    """Whatever this home's own pid files say."""
    _started(home, broker=_address(listener))
    RoleStatus(home.role(AUDITOR)).write("active")
    assert _code(lambda: require_running(home)) == ""


def test_parties_elsewhere_are_not_taken_for_stopped(home: Home, listener: socket.socket) -> None:
    """A client whose home was started once, and that was told another address since."""
    _started(home, kafka_port=1)
    replace(home.load(CLIENT), bootstrap_servers=_address(listener)).save()
    assert _code(lambda: require_running(home)) == ""


def test_a_kafka_that_listens_is_there_however_slow(listener: socket.socket) -> None:
    """One of its addresses is enough."""
    nobody = f"{LOOPBACK}:{free_port(frozenset())}"
    assert _code(lambda: require_listening(f"{nobody}, PLAINTEXT://{_address(listener)}")) == ""


@pytest.mark.parametrize("addresses", ["127.0.0.1:{port}", "127.0.0.1:{port},[::1]:{port}", "127.0.0.1:99999", ""])
def test_where_nobody_listens_is_said_with_the_address(addresses: str) -> None:
    """As the broker that does not answer."""
    said = addresses.format(port=free_port(frozenset()))
    with pytest.raises(CountersignError) as caught:
        require_listening(said)
    assert caught.value.code == "broker.unreachable"
    assert all(address in caught.value.detail for address in said.split(","))


def test_an_address_that_swallows_everything_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bounded time for all addresses together."""
    waits: list[float] = []

    def swallow(_: object, timeout_s: float) -> socket.socket:
        waits.append(timeout_s)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", swallow)
    with pytest.raises(CountersignError, match="timed out"):
        require_listening("10.255.255.1:9092")
    assert 3 < waits[0] <= 4


def test_a_party_that_halted_is_no_reason_to_wait(home: Home) -> None:
    """What it halted with is said as its own code; nobody waits until the request expires."""
    require_deciding(home)
    RoleStatus(home.role(LEDGER)).write("active")
    require_deciding(home)
    RoleStatus(home.role(LEDGER)).write("halted", "epoch.needed", "the store is another one")
    with pytest.raises(CountersignError, match="the ledger has halted: the store is another one") as caught:
        require_deciding(home)
    assert caught.value.code == "epoch.needed"


def test_a_process_that_has_the_id_of_one_that_ended_is_not_that_one(home: Home, listener: socket.socket) -> None:
    """After a crash, or in a container that was started again: a party that ended is not there, and its next process is
    heard when it halts."""
    _started(home, broker=_address(listener))
    status = RoleStatus(home.role(AUDITOR))
    ended = {"state": "active", "pid": os.getppid(), "start": "of one that ended"}
    (home.role(AUDITOR) / STATUS_FILE).write_text(json.dumps(ended))
    assert status.active() is None
    assert _code(lambda: require_running(home)) == "stack.down"
    status.write("halted", "store.wiped", "gone")
    assert _code(lambda: require_deciding(home)) == "store.wiped"


def test_who_is_active_is_not_overwritten_by_who_is_not(home: Home) -> None:
    """A standby that ends says nothing in the place of the one that works; one that takes over does."""
    parent = identify(os.getppid())
    assert parent is not None
    works = {"state": "active", "pid": parent.pid, "start": parent.start}
    (home.role(AUDITOR) / STATUS_FILE).write_text(json.dumps(works))
    RoleStatus(home.role(AUDITOR)).write("stopped")
    assert RoleStatus(home.role(AUDITOR)).active() == parent
    RoleStatus(home.role(AUDITOR)).write("active")
    assert RoleStatus(home.role(AUDITOR)).active() == identify(os.getpid())


@pytest.mark.parametrize("text", ["", "[]", "3", '{"state": "active"}', '{"state": "active", "pid": "1", "start": 2}'])
def test_a_state_that_nobody_can_read_is_none(home: Home, text: str) -> None:
    """Nobody falls over a file that a crash left."""
    (home.role(AUDITOR) / STATUS_FILE).write_text(text)
    assert RoleStatus(home.role(AUDITOR)).active() is None
    require_deciding(home)


def test_a_party_whose_directory_is_elsewhere_may_run_there(home: Home, listener: socket.socket) -> None:
    """Nothing of this home runs, for its stores are files: only who has both parties here knows that none does."""
    _started(home, broker=_address(listener))
    shutil.rmtree(home.role(AUDITOR))
    assert _code(lambda: require_running(home)) == ""


def test_settings_that_nobody_can_read_are_said(home: Home, listener: socket.socket) -> None:
    """And not taken for those of a ledger that was never started here."""
    _started(home, broker=_address(listener))
    (home.stack / STACK_FILE).write_text("[]")
    assert _code(lambda: require_running(home)) == "config.invalid"


def test_all_addresses_share_the_time_and_the_usual_port_is_kafka_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one still has a moment; where no port is named it is 9092."""
    asked: list[tuple[object, float]] = []
    now_s = [0.0]

    def swallow(address: object, timeout_s: float) -> socket.socket:
        asked.append((address, timeout_s))
        now_s[0] += 3
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", swallow)
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    with pytest.raises(CountersignError, match="timed out"):
        require_listening("one,two:1,three")
    assert asked == [(("one", 9092), 4.0), (("two", 1), 1.0), (("three", 9092), 0.5)]
