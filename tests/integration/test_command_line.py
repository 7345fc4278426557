"""The command line on a real ledger: every command does what its help says, and says no with a code.

Its stores are of the kind that `COUNTERSIGN_TEST_STORE` and `COUNTERSIGN_TEST_STORE_OF` name (`tests.pipeline`).
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline import DEFAULT_STORE, DEFAULT_STORE_OF

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


class CommandLine:
    """Runs `countersign` in one home, as a user would."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command; the result as it was."""
        environment = {**os.environ, "COUNTERSIGN_HOME": str(self.home), "COLUMNS": "160", "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", *arguments],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def json(self, *arguments: str, code: int = 0, stdin: str = "") -> Any:
        """Run a command with --json; the object on its last line."""
        done = self.run(*arguments, "--json", stdin=stdin)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A ledger that is up, made by the command itself."""
    command = CommandLine(tmp_path_factory.mktemp("ledger"))
    spread = [f"--store-of={namespace}={kind}" for namespace, kind in DEFAULT_STORE_OF.items()]
    done = command.run("up", "--store", DEFAULT_STORE, *spread, "--json")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        yield command
    finally:
        assert command.run("down").returncode == 0


def test_a_write_is_read_back_and_its_receipt_holds(command: CommandLine) -> None:
    """execute, get, history and receipt verify agree on what both parties signed."""
    first = command.json("execute", "object.put", '{"key":"color","value":"blue"}')
    second = command.json("execute", "object.put", "-", stdin='{"key":"color","value":"red"}')
    assert second["sequence"] > first["sequence"]
    assert command.json("get", "color")["output"] == "red"
    assert len(command.json("history", "color", "--limit", "5")["output"]) == 2
    verified = command.json("receipt", "verify", first["receipt"])
    assert (verified["valid"], verified["request_id"]) == (True, first["request_id"])


def test_a_receipt_of_another_ledger_or_with_a_changed_byte_is_refused(command: CommandLine) -> None:
    """Exit code 5, with the code of the step that failed."""
    receipt = Path(command.json("execute", "object.put", '{"key":"k","value":1}')["receipt"])
    other = command.json("receipt", "verify", str(receipt), "--ledger-id", "00" * 32, code=5)
    assert other["error"] == "genesis.untrusted"
    data = bytearray(receipt.read_bytes())
    data[len(data) // 2] ^= 1
    receipt.write_bytes(data)
    assert command.json("receipt", "verify", str(receipt), code=5)["error"]


def test_entities_register_rotate_and_lose_keys(command: CommandLine) -> None:
    """A new entity signs with its key; after a rotation with the next; a revoked one is turned away."""
    command.json("entity", "register", "alice")
    assert command.json("execute", "object.put", '{"key":"a","value":1}', "--as", "alice")["status"] == "ok"
    assert command.json("entity", "rotate", "alice")["key_version"] == 2
    assert command.json("execute", "object.put", '{"key":"a","value":2}', "--as", "alice")["status"] == "ok"
    command.json("entity", "revoke", "alice", "2")
    refused = command.json("execute", "object.put", '{"key":"a","value":3}', "--as", "alice", code=3)
    assert refused["error"] == "entity.key_revoked"


def test_a_contract_is_registered_and_called(command: CommandLine, tmp_path: Path) -> None:
    """Its own namespace, its source through the pipeline, a failure with its text."""
    source = tmp_path / "count.star"
    source.write_text(
        "def execute(argument):\n"
        '    n = (get("counters", argument) or 0) + 1\n'
        "    if n > 2:\n"
        '        fail("enough")\n'
        '    put("counters", argument, n)\n'
        "    return n\n"
    )
    command.json("contract", "namespace", "counters")
    command.json("contract", "register", "count", str(source))
    assert [command.json("execute", "count", '"x"')["output"] for _ in range(2)] == [1, 2]
    failed = command.json("execute", "count", '"x"', code=3)
    assert (failed["status"], failed["code"], failed["text"]) == ("failed", "contract.failed", "enough")


def test_the_learner_is_asked_and_only_asked(command: CommandLine) -> None:
    """A SELECT is answered up to the sequence it is to wait for; anything else is refused."""
    written = command.json("execute", "object.put", '{"key":"sql","value":7}')
    query = "SELECT value FROM records WHERE namespace = 'object' AND key = 'sql'"
    answer = command.json("sql", query, "--wait-for", str(written["sequence"]))
    assert answer["rows"] == [["7"]]
    assert command.json("sql", "DROP TABLE records", code=4)["error"] == "sql.not_select"
    assert command.json("sql", "SELECT * FROM read_csv('/etc/passwd')", code=4)["error"].startswith("sql.")


def test_the_journal_is_learned_from_pieces_and_what_it_costs_is_shown(command: CommandLine) -> None:
    """learn --report, learn --running and storage agree with each other, and with what was written."""
    for value in range(2):  # enough for another block, whichever tests were run before
        command.json("execute", "object.put", f'{{"key":"learned","value":{value}}}')
    written = command.json("execute", "object.put", '{"key":"learned","value":2}')
    command.json("sql", "SELECT 1", "--wait-for", str(written["sequence"]))
    found = command.json("learn", "--report", "--check-clients", "--blocks", "2")
    assert found["sequence"] >= written["sequence"]
    assert (found["within_bounds"], found["halted"], found["blamed"]) == (True, None, [])
    assert (found["messages"], found["decodes"]) == (found["messages_max"], found["decodes_max"])
    assert found["counted_bytes"] == found["counted_bytes_max"]
    assert [block["block"] for block in found["block_costs"]] == [found["blocks"] - 2, found["blocks"] - 1]
    stored = command.json("storage")
    assert stored["journal_bytes"] >= found["journal_bytes"]
    assert all(replica["counted_bytes"] < stored["journal_bytes"] for replica in stored["replicas"])
    running = command.json("learn", "--running")
    assert running["values"]["gauge_block"] >= 1
    shown = command.run("learn", "--report")
    assert shown.returncode == 0
    assert "everything is within what the theorems allow" in shown.stderr + shown.stdout


def test_status_shows_every_process_and_a_second_up_says_so(command: CommandLine) -> None:
    """All processes run, nothing is found, and `up` does not start anything twice."""
    status = command.json("status")
    names = {process["name"] for process in status["processes"] if process["pid"]}
    assert {"kafka", "auditor", "ledger", "replica-0", "replica-3", "learner"} <= names
    assert status["halted"] == []
    assert status["findings"] == []
    assert {"order", "commit", "validate", "learn"} <= {stage["name"] for stage in status["stages"]}
    assert command.json("evidence", "list")["evidence"] == []
    assert command.json("up", code=4)["error"] == "stack.running"


def test_up_starts_what_was_killed_and_nothing_else(command: CommandLine) -> None:
    """A server and a role that were killed are found missing, and come back; the others are the same processes."""
    before = {process["name"]: process["pid"] for process in command.json("status")["processes"]}
    killed = {"learner", "ledger-store"} & before.keys()  # a store that is a file has no process
    for name in killed:
        os.kill(before[name], signal.SIGKILL)
    found = command.json("status", code=5)["findings"]
    assert {each["who"] for each in found if each["kind"] == "not running"} == killed
    assert command.run("up").returncode == 0
    after = {process["name"]: process["pid"] for process in command.json("status")["processes"]}
    assert {name for name, pid in after.items() if pid != before[name]} == killed
    assert command.json("execute", "object.put", '{"key":"again","value":1}')["status"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("execute", "nosuch", "{}"), 3, "contract.unknown"),
        (("execute", "object.put", '{"key":1.5}'), 3, "argument.not_canonical"),
        (("execute", "object.put", f'{{"key":"long","value":"{"x" * 40_000}"}}'), 3, "request.too_large"),
        (("execute", "no such name", "{}"), 3, "request.malformed"),
        (("execute", "object.put", '{"key":5,"value":1}'), 3, "contract.value"),
        (("execute", "object.put", "{nonsense"), 4, "argument.not_json"),
        (("execute", "object.put", "{}", "--as", "nobody"), 4, "entity.no_key"),
        (("receipt", "verify", "/no/such/file"), 4, "file.unusable"),
    ],
)
def test_what_cannot_be_done_is_said(
    command: CommandLine, arguments: tuple[str, ...], code: int, error: str
) -> None:
    """Each with its stable code and its exit code."""
    said = command.json(*arguments, code=code)
    assert said.get("error", said.get("code")) == error  # an outcome that failed is no error: it has a code


def test_without_a_ledger_commands_say_how_to_make_one(tmp_path: Path) -> None:
    """In an empty home."""
    empty = CommandLine(tmp_path / "empty")
    assert empty.json("status", code=4)["error"] == "config.missing"
    assert "countersign init" in empty.run("status").stdout


def test_a_stopped_ledger_is_said_and_what_is_told_to_type_starts_it(command: CommandLine) -> None:
    """By every command that would wait for an answer otherwise, before it makes a file or a key."""
    assert command.run("down").returncode == 0
    waiting = (("get", "color"), ("evidence", "list"), ("learn",), ("storage",), ("entity", "register", "nobody"))
    said = [command.json(*words, code=4) for words in waiting]
    assert {each["error"] for each in said} == {"stack.down"}
    assert not (command.home / "client" / "entities" / "nobody").exists()
    (told,) = re.findall("`(.*)`", said[0]["remedy"])
    environment = {**os.environ, "COUNTERSIGN_HOME": str(command.home)}
    assert subprocess.run(told, shell=True, cwd=ROOT, env=environment, check=False).returncode == 0
    assert command.json("get", "color")["status"] == "ok"
