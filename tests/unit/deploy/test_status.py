"""What `status` makes of a home, with servers that are known by their pid files alone."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy import status
from deploy.deployment import Deployment
from deploy.home import Home
from deploy.initialize import DASHBOARD, NewLedger, initialize
from deploy.local.ports import free_port
from deploy.local.processes import identify
from deploy.local.settings import STACK_FILE, StackSettings
from deploy.roles.entry import RoleStatus
from deploy.status import ledger_status
from streams.kafka_admin import Extent, KafkaAdmin
from streams.log import LogRefusedError, LogUnavailableError
from streams.role_directory import STATUS_FILE
from tests.command_line import app

SERVERS = ("auditor-store", "ledger-store", "kafka")


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """A ledger that was made and never started."""
    home = Home(tmp_path / "home")
    initialize(home, NewLedger())
    return Deployment(home)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the broker would say; it does not answer as long as this is empty."""
    said: dict[str, int] = {}

    def look(_: Deployment) -> dict[str, int]:
        if not said:
            raise LogUnavailableError("away")
        return said

    monkeypatch.setattr(status, "_topics", look)
    monkeypatch.setattr(KafkaAdmin, "too_low", lambda *_: ())
    return said


def _start(deployment: Deployment, *without: str) -> None:
    """Let this process pass for every server and role."""
    ports = {name: 10_000 + number for number, name in enumerate(SERVERS)}
    run = deployment.home.stack / "run"
    run.mkdir(parents=True)
    StackSettings(broker="", ports=ports, passwords={}).save(deployment.home.stack / STACK_FILE)
    identity = identify(os.getpid())
    assert identity is not None
    for name in (*SERVERS, *deployment.roles()):
        if name not in without:
            (run / f"{name}.pid").write_text(identity.to_text())


def _invoke(deployment: Deployment) -> tuple[int, str, Any]:
    words = ["status", "--home", str(deployment.home.directory), "--json"]
    done = CliRunner().invoke(app, words)
    return done.exit_code, done.stderr, json.loads(done.stdout.splitlines()[-1])


def test_a_ledger_that_does_not_run_says_how_to_start_it(deployment: Deployment) -> None:
    """And finds nothing: it was stopped, as far as anybody knows."""
    code, said, result = _invoke(deployment)
    assert (code, result["findings"], result["processes"]) == (0, [], [])
    assert f"countersign up --home {deployment.home.directory}" in said


def test_a_broker_that_does_not_answer_hides_no_process(deployment: Deployment, topics: dict[str, int]) -> None:
    """The processes are listed from what the stack knows; the log is named."""
    _start(deployment)
    log = deployment.stack.log_file("kafka")
    log.parent.mkdir()
    log.touch()
    code, said, result = _invoke(deployment)
    assert code == 5
    assert f" {os.getpid()} " in said
    assert {"kafka", "auditor", "replica-3"} <= {process["name"] for process in result["processes"]}
    assert [(each["kind"], each["who"]) for each in result["findings"]] == [("no answer", "kafka")]
    assert str(log) in result["findings"][0]["text"]


def test_a_broker_that_takes_less_than_is_sent_is_found(
    deployment: Deployment, topics: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its setting: nothing else tells why messages wait. Who may not see it is shown all the rest."""
    topics["requests"] = 1
    _start(deployment)
    monkeypatch.setattr(KafkaAdmin, "too_low", lambda *_: ("broker 1: socket.request.max.bytes is 1",))
    code, _, result = _invoke(deployment)
    assert (code, [(each["kind"], each["who"]) for each in result["findings"]]) == (5, [("broker", "kafka")])
    assert result["findings"][0]["text"].endswith("broker 1: socket.request.max.bytes is 1")

    def refuse(*_: object) -> None:
        raise LogRefusedError("no right")

    monkeypatch.setattr(KafkaAdmin, "too_low", refuse)
    assert _invoke(deployment)[2]["findings"] == []
    assert _invoke(deployment)[2]["topics"] == {"requests": 1}


def test_a_broker_that_ended_is_not_waited_for(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it does not run is known without asking it; its log is named."""
    monkeypatch.setattr(status, "_topics", lambda _: pytest.fail("it was asked"))
    _start(deployment, "kafka")
    (finding,) = ledger_status(deployment).findings
    assert (finding.kind, finding.who) == ("not running", "kafka")
    assert str(deployment.stack.log_file("kafka")) in finding.text
    assert f"countersign up --home {deployment.home.directory}`" in finding.text


def test_a_full_disk_is_found_first(
    deployment: Deployment, topics: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended because of it could write nothing of that into its log; every disk is named once."""
    topics["requests"] = 1
    _start(deployment, "kafka")
    assert [each.kind for each in ledger_status(deployment).findings] == ["not running"]
    monkeypatch.setattr(status, "SPACE_BYTES_MIN", 1 << 80)
    code, _, result = _invoke(deployment)
    assert (code, [each["kind"] for each in result["findings"]]) == (5, ["disk", "not running"])
    assert str(deployment.home.directory) in result["findings"][0]["text"]


def test_a_missing_role_and_evidence_are_found(deployment: Deployment, topics: dict[str, int]) -> None:
    """In the result for programs too, with the exit code of a check that failed."""
    topics["evidence"] = 0
    _start(deployment, "learner", "ledger-store")
    assert "evidence" not in [each["kind"] for each in _invoke(deployment)[2]["findings"]]
    topics["evidence"] = 1
    code, _, result = _invoke(deployment)
    kinds = [(each["kind"], each["who"]) for each in result["findings"]]
    assert (code, kinds) == (5, [("not running", "ledger-store"), ("not running", "learner"), ("evidence", "")])


def test_who_halted_is_found_with_what_to_do(deployment: Deployment, topics: dict[str, int]) -> None:
    """What it said is printed as it is, whatever a terminal would make of it."""
    topics["requests"] = 1
    _start(deployment)
    RoleStatus(deployment.home.role("auditor")).write("halted", "store.wiped", "[/red] gone", remedy="look")
    code, said, result = _invoke(deployment)
    assert (code, [each["kind"] for each in result["findings"]]) == (5, ["halted"])
    assert "auditor: store.wiped: [/red] gone. look" in said


def test_a_remedy_names_the_home_once(
    deployment: Deployment, topics: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the finding and in the list of who halted."""
    monkeypatch.setattr("deploy.instructions._program", lambda: "countersign")
    RoleStatus(deployment.home.role("auditor")).write("halted", "store.wiped", "gone", remedy="try `countersign up`")
    found = ledger_status(deployment)
    told = [each.text for each in found.findings if each.kind == "halted"]
    assert [text.count("--home") for text in (*told, found.halted[0]["remedy"])] == [1, 1]


def test_who_halted_is_not_told_to_be_started_again(deployment: Deployment, topics: dict[str, int]) -> None:
    """He would halt again; who ended without a word is."""
    topics["requests"] = 1
    _start(deployment, "auditor", "ledger")
    RoleStatus(deployment.home.role("auditor")).write("halted", "store.wiped", "gone.", remedy="look")
    findings = ledger_status(deployment).findings
    assert [(each.kind, each.who) for each in findings] == [("halted", "auditor"), ("not running", "ledger")]
    assert "gone. look" in findings[0].text


SNAPSHOT = {
    "stages": {"order": {"name": "order", "state": "live", "sequence": 7, "lag": None, "busy": {}}},
    "suspected": [
        {"who": "ledger", "kind": "lag", "text": "behind"},
        {"who": "auditor", "kind": "halt", "text": "halted"},
    ],
    "evidence": {"exposed": []},
    "skipped": [{"who": "auditor", "topic": "requests", "messages": 3, "late": 1, "text": "3 are none"}],
}


@pytest.fixture
def dashboard(deployment: Deployment) -> Iterator[None]:
    """Serves a snapshot, as the dashboard's process does."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(SNAPSHOT).encode())

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    RoleStatus(deployment.home.role(DASHBOARD)).write("active", address=address)
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("dashboard")
def test_sequences_lag_and_suspicions_are_what_the_dashboard_knows(
    deployment: Deployment, topics: dict[str, int]
) -> None:
    """A suspicion alone is no alarm, nor are messages that anybody may send; who halted is told by himself."""
    topics["requests"] = 1
    _start(deployment)
    found = ledger_status(deployment)
    assert found.stage_rows() == [("order", "live", 7, "-")]
    told = [("suspected", "ledger: lag: behind"), ("skipped", "requests: 3 are none")]
    assert [(each.kind, each.text) for each in found.findings] == told
    assert not found.is_alarming
    code, said, result = _invoke(deployment)
    assert (code, result["skipped"]) == (0, SNAPSHOT["skipped"])
    assert "skipped requests: 3 are none" in said
    assert "no findings" not in said


@pytest.mark.usefixtures("dashboard")
def test_what_a_process_before_this_one_said_is_not_its_word(
    deployment: Deployment, topics: dict[str, int]
) -> None:
    """A process is asked and believed where it is the one that said it; one that ended shows how."""
    topics["requests"] = 1
    _start(deployment, "learner", "views")
    for role, state in (("auditor", "active"), ("learner", "halted")):
        RoleStatus(deployment.home.role(role)).write(state, "views.damaged" if state == "halted" else "")
    for role in (DASHBOARD, "auditor"):
        file = deployment.home.role(role) / STATUS_FILE
        file.write_text(json.dumps({**json.loads(file.read_text()), "pid": os.getpid() + 1}))
    for role in ("learner", "views"):
        (deployment.home.stack / "run" / f"{role}.pid").write_text("1 of one that ended")
    found = ledger_status(deployment)
    assert found.stages == []
    states = {each["name"]: each["state"] for each in found.processes}
    wanted = {"auditor": "running", "ledger": "running", "learner": "halted", "views": "gone"}
    assert {role: states[role] for role in wanted} == wanted


def test_a_dashboard_that_does_not_answer_hides_nothing_else(deployment: Deployment, topics: dict[str, int]) -> None:
    """Nobody listens where it said that it does."""
    topics["requests"] = 1
    _start(deployment)
    RoleStatus(deployment.home.role(DASHBOARD)).write("active", address=f"http://127.0.0.1:{free_port()}")
    found = ledger_status(deployment)
    assert (found.stages, found.findings, found.topics) == ([], [], {"requests": 1})


def test_a_topic_has_the_messages_of_all_its_partitions(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are kept: what retention took away is not counted."""
    extents = {
        ("requests", 0): Extent(first=3, end=5),
        ("requests", 1): Extent(first=0, end=4),
        ("orders", 0): Extent(first=7, end=7),
    }
    monkeypatch.setattr(KafkaAdmin, "extents", lambda *_: extents)
    monkeypatch.setattr(KafkaAdmin, "too_low", lambda *_: ())
    _start(deployment)
    assert ledger_status(deployment).topics == {"requests": 6, "orders": 0}
