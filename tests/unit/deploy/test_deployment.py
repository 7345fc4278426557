"""`up` as far as it comes without a server."""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

import deploy.deployment as module
from deploy.deployment import Deployment, MachineHaltedError
from deploy.home import Home
from deploy.initialize import AUDITOR, LEDGER, NewLedger, initialize
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.processes import identify
from deploy.local.settings import STACK_FILE, StackSettings
from deploy.local.stack import LocalStack
from deploy.local.supervisor import Service
from deploy.roles.entry import RoleStatus
from deploy.stores import is_filled
from protocol.configuration import Epochs
from protocol.errors import CountersignError
from storage.record_stores import StoreKind
from streams.kafka_admin import KafkaAdmin
from streams.log import LogRefusedError, LogUnavailableError
from streams.role_directory import STATUS_FILE


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A ledger that was made and never started."""
    home = Home(tmp_path / "home")
    initialize(home, NewLedger())
    return home


def _say_nothing(_: str) -> None:
    return


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    return f"{LOOPBACK}:{free_port(frozenset())}"


@pytest.fixture
def somebody() -> Iterator[str]:
    """An address at which somebody listens who is no Kafka."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield f"{LOOPBACK}:{server.getsockname()[1]}"


@pytest.fixture
def stores_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack that starts as if it did, and a Kafka that never answers."""

    def start(stack: LocalStack, _: object) -> None:
        ports = {"auditor-store": 10_001, "ledger-store": 10_002}
        passwords = dict.fromkeys(ports, "secret")
        settings = StackSettings(broker=stack.external_broker, ports=ports, passwords=passwords)
        settings.save(stack.directory / STACK_FILE)

    def describe(_: KafkaAdmin) -> None:
        raise LogUnavailableError("no answer")

    monkeypatch.setattr(LocalStack, "start", start)
    monkeypatch.setattr(KafkaAdmin, "describe", describe)


def test_where_nobody_listens_nothing_is_made(tmp_path: Path, nobody: str) -> None:
    """A mistyped address leaves no ledger behind."""
    home = Home(tmp_path / "new")
    with pytest.raises(LogUnavailableError, match=nobody):
        Deployment(home, broker=nobody).up(_say_nothing)
    assert not home.directory.exists()


@pytest.mark.usefixtures("stores_only")
def test_a_broker_that_does_not_answer_is_written_nowhere(home: Home, somebody: str) -> None:
    """The roles' files keep the address of the one that did, and the next `up` does not go by it."""
    before = home.load(AUDITOR)
    with pytest.raises(LogUnavailableError):
        Deployment(home, broker=somebody).up(_say_nothing)
    assert home.load(AUDITOR) == before
    settings = StackSettings.load(home.stack / STACK_FILE)
    assert settings is not None
    assert (settings.broker, settings.passwords["auditor-store"]) == ("", "secret")
    assert LocalStack(home.stack).external_broker == ""
    with pytest.raises(CountersignError) as caught:
        _ = LocalStack(home.stack).bootstrap_servers
    assert caught.value.code == "stack.down"


@pytest.mark.usefixtures("stores_only")
def test_a_broker_that_came_up_is_used_again(home: Home, somebody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's topics are there: without it a later `up` would start an empty Kafka."""
    monkeypatch.setattr(Deployment, "_start_roles", lambda *_: None)
    Deployment(home, broker=somebody).up(_say_nothing)
    assert Deployment(home).stack.external_broker == somebody
    monkeypatch.undo()
    with pytest.raises(LogUnavailableError):
        Deployment(home, broker="127.0.0.1:1").up(_say_nothing)
    assert Deployment(home).stack.external_broker == somebody


@pytest.mark.usefixtures("stores_only")
def test_a_ledger_does_not_leave_its_own_kafka(home: Home, somebody: str) -> None:
    """Its topics would not come with it; before they are made it may go where it likes."""
    ports = {"auditor-store": 10_001, "ledger-store": 10_002, "kafka": 10_003}
    StackSettings(broker="", ports=ports, passwords={}).save(home.stack / STACK_FILE)
    (home.stack / "kafka").mkdir()
    with pytest.raises(LogUnavailableError):
        Deployment(home, broker=somebody).up(_say_nothing)
    (home.role(AUDITOR) / "store.created").touch()
    with pytest.raises(CountersignError, match=somebody) as caught:
        Deployment(home, broker=somebody).up(_say_nothing)
    assert caught.value.code == "config.invalid"
    assert LocalStack(home.stack).external_broker == ""


@pytest.mark.usefixtures("stores_only")
def test_a_ledger_that_runs_in_part_stays_on_its_broker(
    home: Home, somebody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other part would write into topics of another Kafka; the same one, or none, may be named. As a whole one, it
    is not started on a disk that is as good as full."""
    StackSettings(broker=somebody, ports={}, passwords={}, store=StoreKind.SQLITE).save(home.stack / STACK_FILE)
    waiting = (sys.executable, "-c", "import signal; signal.pause()")
    supervisor = LocalStack(home.stack).supervisor
    supervisor.start(Service(name="learner", argv=waiting, log_file=home.stack / "learner.log"))
    try:
        with socket.create_server((LOOPBACK, 0)) as server, pytest.raises(CountersignError, match=somebody) as caught:
            Deployment(home, broker=f"{LOOPBACK}:{server.getsockname()[1]}").up(_say_nothing)
        assert caught.value.code == "config.invalid"
        for same in (somebody, ""):
            with pytest.raises(LogUnavailableError):
                Deployment(home, broker=same).up(_say_nothing)
        monkeypatch.setattr(module, "SPACE_BYTES_MIN", 1 << 80)
        with pytest.raises(CountersignError) as caught:
            Deployment(home).up(_say_nothing)
        assert caught.value.code == "disk.full"
    finally:
        supervisor.stop("learner")


def test_only_one_starts_or_stops_a_ledger_at_a_time(home: Home) -> None:
    """A second `up` does not take the roles that the first one is about to start for missing ones."""
    with LocalStack(home.stack).alone():
        for work in (Deployment(home).up, Deployment(home).down):
            with pytest.raises(CountersignError, match="another process") as caught:
                work(_say_nothing)
            assert caught.value.code == "stack.running"


@pytest.mark.parametrize("end", ["publishing", "noting it"])
def test_a_start_that_ends_between_making_a_store_and_noting_it_is_no_end(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The next start takes the stores that are made, and says again what it may not have said."""
    for role in (AUDITOR, LEDGER):
        replace(home.load(role), store_url=f"sqlite://{tmp_path / role}.db").save()
    published: list[Epochs] = []
    monkeypatch.setattr(KafkaAdmin, "create_topics", lambda *_: None)
    monkeypatch.setattr(Deployment, "_publish_epochs", lambda _, epochs: published.append(epochs))
    with monkeypatch.context() as killed:
        place, name = (Deployment, "_publish_epochs") if end == "publishing" else (Path, "touch")
        killed.setattr(place, name, _end)
        with pytest.raises(SystemExit):
            Deployment(home)._prepare(_say_nothing)
    for _ in range(2):
        Deployment(home)._prepare(_say_nothing)
    assert len(published) == (1 if end == "publishing" else 2)
    stores = [home.load(role).open_store() for role in (AUDITOR, LEDGER)]
    assert all(is_filled(store) for store in stores)
    for store in stores:
        store.close()


@pytest.mark.parametrize(("broker", "told"), [("", []), ("127.0.0.1:1", ["decisions: 3 partitions, not 1"])])
def test_topics_that_were_made_by_hand_are_looked_at(
    home: Home, monkeypatch: pytest.MonkeyPatch, broker: str, told: list[str]
) -> None:
    """What differs is said, and is the operator's to judge; who may not see it goes on without."""
    for role in (AUDITOR, LEDGER):
        (home.role(role) / "store.created").touch()
    monkeypatch.setattr(KafkaAdmin, "create_topics", lambda *_: None)
    monkeypatch.setattr(KafkaAdmin, "differences", lambda *_: ("decisions: 3 partitions, not 1",))
    monkeypatch.setattr(KafkaAdmin, "too_low", lambda *_: ("broker 1: set it",))
    said: list[str] = []
    Deployment(home, broker=broker)._prepare(said.append)
    assert [line.partition("has it: ")[2] for line in said if "has it: " in line] == told
    low = ["long messages will not be taken: broker 1: set it"]
    assert [line for line in said if "broker 1" in line] == (low if told else [])

    def refuse(*_: object) -> None:
        raise LogRefusedError("no right")

    monkeypatch.setattr(KafkaAdmin, "differences", refuse)
    monkeypatch.setattr(KafkaAdmin, "too_low", refuse)
    Deployment(home, broker=broker)._prepare(_say_nothing)


def _end(*_: object) -> None:
    raise SystemExit


def _start_program(deployment: Deployment, role: str, program: str) -> None:
    """Start a role that does this once it was seen to run: one that ends before has ended while it started."""
    seen = deployment.stack.log_file(role).with_suffix(".seen")
    seen.unlink(missing_ok=True)
    waits = f"import time; from pathlib import Path\nwhile not Path({str(seen)!r}).exists(): time.sleep(0.001)\n"
    argv = (sys.executable, "-c", waits + program)
    deployment.stack.supervisor.start(Service(name=role, argv=argv, log_file=deployment.stack.log_file(role)))
    seen.touch()


def _script(home: Home, states: Mapping[str, tuple[str, str]]) -> Callable[..., None]:
    """Roles as processes that say this of themselves, a state and a code, and end where they halted."""

    def start_role(deployment: Deployment, role: str, **_: object) -> None:
        state, code = states.get(role, ("active", ""))
        program = (
            "import signal; from deploy.roles.entry import RoleStatus\n"
            f"RoleStatus(Path({str(home.role(role))!r})).write({state!r}, {code!r}, 'why')\n"
            f"if {state!r} != 'halted': signal.pause()"
        )
        _start_program(deployment, role, program)

    return start_role


@pytest.fixture
def scripted(stores_only: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Deployment]]:
    """Makes a ledger of which only the roles are processes."""
    made: list[Deployment] = []

    def make(home: Home, **states: tuple[str, str]) -> Deployment:
        monkeypatch.setattr(KafkaAdmin, "describe", lambda _: None)
        monkeypatch.setattr(Deployment, "_prepare", lambda *_: None)
        monkeypatch.setattr(Deployment, "start_role", _script(home, states))
        made.append(Deployment(home))
        return made[-1]

    yield make
    for each in made:
        each.down(_say_nothing)


@pytest.mark.parametrize("rest_stays", [True, False])
def test_a_machine_that_halts_stops_nothing_else(
    home: Home, somebody: str, scripted: Callable[..., Deployment], rest_stays: bool
) -> None:
    """Its evidence stands in the log, and who is told to fetch it needs one that runs."""
    deployment = scripted(home, auditor=("halted", "evidence.raised"))
    others = tuple(role for role in deployment.roles() if role not in (AUDITOR, LEDGER))
    with pytest.raises(MachineHaltedError, match="auditor has halted: why") as caught:
        Deployment(home, broker=somebody).up(_say_nothing, without=others, rest_stays=rest_stays)
    assert caught.value.code == "evidence.raised"
    runs = {each.name for each in deployment.stack.status() if each.pid}
    assert runs == ({LEDGER} if rest_stays else set())
    assert deployment.stack.external_broker == somebody


@pytest.mark.parametrize("code", ["engine.differs", "config.invalid"])
def test_a_version_or_a_setting_that_does_not_fit_leaves_nothing_running(
    home: Home, somebody: str, scripted: Callable[..., Deployment], code: str
) -> None:
    """The version that was there before goes on with this ledger, alone. What is told is the role's own code."""
    deployment = scripted(home, ledger=("halted", code))
    others = tuple(role for role in deployment.roles() if role not in (AUDITOR, LEDGER))
    with pytest.raises(CountersignError) as caught:
        Deployment(home, broker=somebody).up(_say_nothing, without=others, rest_stays=True)
    assert (caught.value.code, caught.value.detail) == (code, "ledger: why"), "whose remedy is the right one"
    assert deployment.stack.status() == ()


@pytest.mark.parametrize(("log", "code"), [("no: No space left on device", "disk.full"), ("odd", "service.failed")])
def test_a_role_that_can_note_nothing_is_explained_by_its_log(
    home: Home, somebody: str, scripted: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch, log: str, code: str
) -> None:
    """On a full disk its file still has what the process before it said, which explains nothing."""
    deployment = scripted(home)
    RoleStatus(home.role(AUDITOR)).write("halted", "store.wiped", "of another time")

    def start_role(_: Deployment, role: str, **__: object) -> None:
        _start_program(deployment, role, f"print({log!r})")

    monkeypatch.setattr(Deployment, "start_role", start_role)
    others = tuple(role for role in deployment.roles() if role != AUDITOR)
    with pytest.raises(CountersignError, match=f"auditor is gone: {log}") as caught:
        Deployment(home, broker=somebody).up(_say_nothing, without=others)
    assert caught.value.code == code


def test_a_role_that_never_works_is_not_waited_for_for_ever(
    home: Home, somebody: str, scripted: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs, and another process works in its directory: everything that was started is stopped again."""
    monkeypatch.setattr(module, "_ACTIVE_DEADLINE_S", 0.5)
    deployment = scripted(home, auditor=("standby", ""))
    works = identify(os.getppid())
    assert works is not None
    elsewhere = {"state": "active", "pid": works.pid, "start": works.start}
    (home.role(AUDITOR) / STATUS_FILE).write_text(json.dumps(elsewhere))
    others = tuple(role for role in deployment.roles() if role != AUDITOR)
    with pytest.raises(CountersignError, match="auditor is active") as caught:
        Deployment(home, broker=somebody).up(_say_nothing, without=others, rest_stays=True)
    assert caught.value.code == "service.failed"
    assert deployment.stack.status() == ()


@pytest.mark.usefixtures("stores_only")
def test_a_kafka_elsewhere_may_move(home: Home, somebody: str) -> None:
    """Only a Kafka of its own is not left by a ledger: another one may have another address by now."""
    StackSettings(broker="127.0.0.1:1", ports={}, passwords={}).save(home.stack / STACK_FILE)
    (home.role(AUDITOR) / "store.created").touch()
    with pytest.raises(LogUnavailableError, match="no answer"):
        Deployment(home, broker=somebody).up(_say_nothing)


def test_what_is_missing_is_started_by_one_at_a_time(home: Home, somebody: str) -> None:
    """Of a ledger that runs in part, too."""
    StackSettings(broker=somebody, ports={}, passwords={}).save(home.stack / STACK_FILE)
    own = identify(os.getpid())
    assert own is not None
    (home.stack / "run").mkdir()
    (home.stack / "run" / "learner.pid").write_text(own.to_text())
    with LocalStack(home.stack).alone(), pytest.raises(CountersignError) as caught:
        Deployment(home).up(_say_nothing)
    assert caught.value.code == "stack.running"
