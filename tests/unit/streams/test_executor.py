"""The child process that runs contracts: the same results as in process, and its life and death."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.contracts.calls import Execution, Rejected
from protocol.contracts.names import contract_key
from protocol.records import DamagedRecordError, RecordKey
from streams import executor as executor_module
from streams.executor import Executor, ExecutorError, InProcessExecutor
from tests.unit.protocol.contract_world import World, call, hosts_alive, notes, notes_world, proof_fields
from tests.unit.streams.executor_parties import LIMITS, ROOT, Parties, start_parties


@pytest.fixture
def parties() -> Iterator[Parties]:
    yield from start_parties()


# --- the same results as in process ---


def test_results_are_those_of_the_engine_itself(parties: Parties) -> None:
    """Every kind of result, with records sent along and records asked for."""
    world = notes_world()
    for n in range(5):
        world.do("notes", [["put", "h", n]])
        world.do("notes", [["put", f"k{n}", {"é": [n, None, True, "😀\0"]}]])
    calls = (
        notes(["get", "h"], ["put", "h", 7], ["put", "new", -1], ["delete", "k0"]),
        notes(["history", "h", 4]),
        notes(["scan", "", "", 4], ["get", "k4"]),
        notes(["scan", "k", "k3", 9], ["put", "k1", [[]]], ["scan", "k", "", 2]),
        notes(["put", "x", 1], ["fail", "né"]),
        notes(["break"]),
        call("nothing", None),
        call("notes", [], "nobody"),
        call("sys.entity.register", {"entity": "dave", **proof_fields("dave")}),
        notes(["get", "new"], ["put", "new", 2], ["delete", "k1"], ["history", "h", 9]),
    )
    along = [
        RecordKey("notes", "h"),
        RecordKey("notes", "new"),
        contract_key("notes", 1),
        RecordKey("a", "unused"),
    ]
    for keys in ([], along, list(world.history)):
        batch = world.batch(*calls, records={key: world.current(key) for key in keys})
        expected = InProcessExecutor(LIMITS).run(batch, world)
        assert {type(result) for result in expected} == {Execution, Rejected}
        for party in parties:
            assert party.run(batch, world) == expected


def test_one_child_serves_batch_after_batch(parties: Parties) -> None:
    """It is started once, and keeps nothing but compiled contracts."""
    world = notes_world(parties[0])
    first = parties[0].child_pid
    for n in range(20):
        world.run(notes(["get", "a"], ["put", "a", n]), notes(["get", "a"]))
    assert world.value("notes", "a") == b"19"
    assert parties[0].child_pid == first is not None


def test_a_closed_batch_is_shorter(parties: Parties) -> None:
    """Through the child as well, also when it is executed one by one."""
    world = World()
    world.register("def execute(argument):\n    return 'x' * argument\n")
    batch = world.batch(*[call("test", 250_000) for _ in range(20)])
    results = parties[0].run(batch, world)
    assert len(results) == 16
    assert parties[0]._run_one_by_one(batch, world) == results


@pytest.mark.parametrize("value", [b"2", b"\xff\x00", b"\xed\xa0\x80", b""])
def test_damage_is_told(parties: Parties, value: bytes) -> None:
    """A record without its hash ends the run, not the child, whatever bytes a broken store gave."""
    world = notes_world()
    world.do("notes", [["put", "a", 1]])
    key = RecordKey("notes", "a")
    world.history[key] = [world.current(key)._replace(value=value)]
    with pytest.raises(DamagedRecordError) as raised:
        parties[0].run(world.batch(notes(["get", "a"])), world)
    assert raised.value.code == "store.damaged"
    pid = parties[0].child_pid
    assert parties[0].run(world.batch(notes(["get", "b"])), world)[0].code == ""
    assert parties[0].child_pid == pid


def test_a_fetch_that_fails_ends_the_run(parties: Parties) -> None:
    """The store's error is the caller's to handle; the next batch finds a new child."""

    class Away(World):
        def record(self, key: RecordKey) -> Any:
            raise ConnectionError("the store is away")

    world = notes_world()
    with pytest.raises(ConnectionError, match="the store is away"):
        parties[0].run(world.batch(notes(["get", "a"])), Away())
    assert parties[0].child_pid is None
    assert parties[0].run(world.batch(notes(["get", "a"])), world)[0].code == ""


CHILD = """#!{python}
import json, marshal, socket, sys
parent = socket.socket(fileno=int(sys.argv[-1]))
for answer in (["ready"], ["broken", "as a child says it"]):
    parent.recv(1 << 20)
    body = {written}
    parent.sendall(len(body).to_bytes(4, "big") + body)
parent.recv(1)
"""


@pytest.mark.parametrize(
    ("written", "error"),
    [("json.dumps(answer).encode()", "as a child says it"), ("marshal.dumps(answer, 2)", "no child process")],
)
def test_a_child_that_answers_in_marshals_format_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str, error: str
) -> None:
    """That format is for what is trusted: no answer is read in it; in JSON the same child is understood. It is ended
    at once, not after the silence that a child is allowed: it did answer."""
    child = tmp_path / "child"
    child.write_text(CHILD.format(python=sys.executable, written=written))
    child.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(child))
    party = Executor(LIMITS)
    began = time.monotonic()
    with pytest.raises(ExecutorError, match=error):
        party.run(World().batch(notes(["get", "a"])), World())
    assert time.monotonic() - began < executor_module.START_S, "each of its children was waited for"
    assert party.child_pid is None


# --- life and death of the child ---


def test_killed_from_outside_is_nobodys_fault(parties: Parties) -> None:
    """The batch is executed again, and nothing is rejected."""
    world = notes_world(parties[0])
    world.run(notes(["put", "a", 1]))
    for _ in range(3):
        pid = parties[0].child_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        (result,) = world.run(notes(["get", "a"]))
        assert isinstance(result, Execution)
        assert result.output == b"1"
        assert parties[0].child_pid not in (None, pid)


def test_a_silent_child_is_killed_and_the_batch_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence by the clock on the wall is never held against a call."""
    monkeypatch.setattr(executor_module, "SILENCE_FACTOR", 2)
    party = Executor(LIMITS)
    try:
        world = notes_world(party)
        pid = party.child_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        (result,) = world.run(notes(["put", "a", 1]))
        assert isinstance(result, Execution)
        assert party.child_pid != pid
    finally:
        party.close()


def test_what_is_always_killed_is_rejected_in_the_end() -> None:
    """So that even a contract that makes the system kill its child does not stop a party."""
    world = notes_world()
    party = Executor(LIMITS)
    kills = []

    class Killing(World):
        def record(self, key: RecordKey) -> Any:
            return world.record(key)

        def scan(self, *scanned: Any) -> Any:
            assert party.child_pid is not None
            kills.append(party.child_pid)
            os.kill(party.child_pid, signal.SIGKILL)
            return world.scan(*scanned)

    try:
        good, bad, last = party.run(
            world.batch(notes(["get", "a"]), notes(["scan", "", "", 1]), notes(["get", "a"])), Killing()
        )
        assert (good.code, bad.code, last.code) == ("", "contract.resources", "")
        assert len(kills) == 1 + executor_module.TRIES_MAX
    finally:
        party.close()


def test_no_child_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: it is said loudly, and no call is blamed."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    party = Executor(LIMITS)
    with pytest.raises(ExecutorError, match="no child process"):
        party.run(World().batch(notes(["get", "a"])), World())


def test_the_child_ends_with_its_parent() -> None:
    """Also when the parent is killed."""
    script = (
        "import time\n"
        "from streams.executor import Executor\n"
        "from tests.unit.protocol.contract_world import LIMITS, World, call\n"
        "party = Executor(LIMITS)\n"
        "World(party).do('object.get', {'key': 'a'})\n"
        "print(party.child_pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
        wait_until(lambda: not is_running(pid))


def test_close_ends_the_child() -> None:
    """And an executor that was closed starts another when it is used again."""
    party = Executor(LIMITS)
    world = World(party)
    world.do("object.get", {"key": "a"})
    pid = party.child_pid
    assert pid is not None
    party.close()
    party.close()
    assert not is_running(pid)
    assert world.do("object.get", {"key": "a"}).status == "ok"
    party.close()


def test_an_executor_in_this_process_gives_its_engine_back() -> None:
    """An engine that nobody gives back stays to the end of the process."""
    world = notes_world()
    before = hosts_alive()
    executor = InProcessExecutor(LIMITS)
    (result,) = executor.run(world.batch(call("notes", [])), world)
    assert isinstance(result, Execution)
    executor.close()
    del executor
    assert hosts_alive() == before


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
