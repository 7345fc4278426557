"""The child process that runs contracts: no contract takes a party down, and no surroundings make two parties differ."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.contracts.calls import Call, Execution, Rejected
from protocol.contracts.names import contract_key
from protocol.limits import Limits
from protocol.records import DamagedRecordError, RecordKey
from streams import executor as executor_module
from streams.executor import Executor, ExecutorError, InProcessExecutor
from tests.unit.protocol.contract_world import World, call, proof_fields
from tests.unit.protocol.test_contract_execution import NOTES

ROOT = Path(__file__).resolve().parents[3]
MIB = 1024 * 1024
LIMITS = replace(Limits(), contract_memory_bytes=96 * MIB, contract_cpu_ms=100)


@pytest.fixture
def parties() -> Iterator[tuple[Executor, Executor]]:
    """The Auditor's executor and the Ledger's, four times as wide."""
    auditor, ledger = Executor(LIMITS), Executor(LIMITS, scale=LIMITS.resources_factor)
    yield auditor, ledger
    auditor.close()
    ledger.close()


def notes_world(executor: Any = None) -> World:
    world = World(executor)
    world.do("sys.namespace.create", {"namespace": "notes"})
    world.register(NOTES, "notes")
    return world


def notes(*steps: list[Any]) -> Call:
    return call("notes", list(steps))


# --- the same results as in process ---


def test_results_are_those_of_the_engine_itself(parties: tuple[Executor, Executor]) -> None:
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
    along = [RecordKey("notes", "h"), RecordKey("notes", "new"), contract_key("notes", 1), RecordKey("a", "unused")]
    for keys in ([], along, list(world.history)):
        batch = world.batch(*calls, records={key: world.current(key) for key in keys})
        expected = InProcessExecutor(LIMITS).run(batch, world)
        assert {type(result) for result in expected} == {Execution, Rejected}
        for party in parties:
            assert party.run(batch, world) == expected


def test_one_child_serves_batch_after_batch(parties: tuple[Executor, Executor]) -> None:
    """It is started once, and keeps nothing but compiled contracts."""
    world = notes_world(parties[0])
    first = parties[0].child_pid
    for n in range(20):
        world.run(notes(["get", "a"], ["put", "a", n]), notes(["get", "a"]))
    assert world.value("notes", "a") == b"19"
    assert parties[0].child_pid == first is not None


def test_a_closed_batch_is_shorter(parties: tuple[Executor, Executor]) -> None:
    """Through the child as well, also when it is executed one by one."""
    world = World()
    world.register("def execute(argument):\n    return 'x' * argument\n")
    batch = world.batch(*[call("test", 250_000) for _ in range(20)])
    results = parties[0].run(batch, world)
    assert len(results) == 16
    assert parties[0]._run_one_by_one(batch, world) == results


def test_damage_is_told(parties: tuple[Executor, Executor]) -> None:
    """A record without its hash ends the run, not the child."""
    world = notes_world()
    world.do("notes", [["put", "a", 1]])
    key = RecordKey("notes", "a")
    world.history[key] = [world.current(key)._replace(value=b"2")]
    with pytest.raises(DamagedRecordError) as raised:
        parties[0].run(world.batch(notes(["get", "a"])), world)
    assert raised.value.code == "store.damaged"
    pid = parties[0].child_pid
    assert parties[0].run(world.batch(notes(["get", "b"])), world)[0].code == ""
    assert parties[0].child_pid == pid


def test_a_fetch_that_fails_ends_the_run(parties: tuple[Executor, Executor]) -> None:
    """The store's error is the caller's to handle; the next batch finds a new child."""

    class Away(World):
        def record(self, key: RecordKey) -> Any:
            raise ConnectionError("the store is away")

    world = notes_world()
    with pytest.raises(ConnectionError, match="the store is away"):
        parties[0].run(world.batch(notes(["get", "a"])), Away())
    assert parties[0].child_pid is None
    assert parties[0].run(world.batch(notes(["get", "a"])), world)[0].code == ""


# --- traps: whatever a contract does, both parties live, and the next request is served ---


def loop(line: str, before: str = "pass", times: int = 1_000_000) -> str:
    return f"def execute(argument):\n    {before}\n    for i in range({times}):\n        {line}\n"


KILLERS = {
    "list that does not fit": "def execute(argument):\n    return len([0] * 1000000000)\n",
    "string that does not fit": "def execute(argument):\n    return len('a' * 1000000000)\n",
    "string that doubles": loop("a = a + a", "a = 'a'", 60),
    "list that doubles": loop("a = a + a", "a = [0]", 60),
    "integer squared": loop("a = a * a", "a = 7", 60),
    "sorting": loop("sorted(range(1000000))", times=1000),
    "joining": loop("len(','.join(['a' * 1000] * 1000))", times=100000),
    "replacing": "def execute(argument):\n    return len(('a' * 30000).replace('a', 'b' * 30000))\n",
    "shifts as keys": "def execute(argument):\n    d = {}\n    for i in range(40000):\n        d[1 << i] = i\n    return len(d)\n",
    "text of deep data": loop("a = [[[[a]]]]", "a = []", 900_000) + "    return len(str(a))\n",
    "deep keys": loop("a = ((((a,),),),)", "a = ()", 900_000) + "    return len({a: 1})\n",
    "wide value": "def execute(argument):\n    return ['aaaaaaaa'] * 20000000\n",
    "large write": "def execute(argument):\n    put('object', 'a', 'x' * 500000000)\n",
    "large failure": "def execute(argument):\n    fail('x' * 500000000)\n",
    "text of a great integer": loop("a = a * a", "a = 3", 22) + "    return len(str(a)) + len(str(a + 1))\n",
}

OUT_OF_STEPS = {
    "loop": loop("pass", times=10**9),
    "nested loops": loop("[j for j in range(10000)]", times=10**9),
    "recursion that branches": "def f(n):\n    return 0 if n == 0 else f(n - 1) + f(n - 1)\ndef execute(argument):\n    return f(45)\n",
    "a million puts": loop("put('object', 'a', i)"),
    "a million gets": loop("get('object', 'a')"),
    "a million invocations": loop("invoke('object.get/1', {'key': 'a'})"),
}

FAILING = {
    "recursion through invoke": ("def execute(argument):\n    invoke('trap/1', None)\n", "contract.value"),
    "recursion": ("def execute(argument):\n    return execute(argument)\n", "contract.value"),
    "integer of 5,000 digits": ("def execute(argument):\n    return int('9' * 5000)\n", "contract.value"),
    "string of 5,000 digits": ("def execute(argument):\n    return len(str(int('9' * 5000)))\n", ""),
    "great list": ("def execute(argument):\n    return len([0] * 10000000000)\n", "contract.value"),
    "great shift": ("def execute(argument):\n    return 1 << 10000000000\n", "contract.value"),
    "formatting as a float": ("def execute(argument):\n    return '%f %e %g' % (1, 2, 3)\n", ""),
    "lone surrogate": ("def execute(argument):\n    return chr(0xD800)\n", "contract.value"),
    "value of deep data": (loop("a = [a]", "a = []", 100_000) + "    return a\n", "contract.value"),
    "put of deep data": (loop("a = {'a': a}", "a = {}", 100_000) + "    put('object', 'a', a)\n", "contract.value"),
    "comparison of deep data": (loop("a, b = [a], [b]", "a, b = [], []", 100_000) + "    a == b\n", "contract.value"),
    "many keys": (loop("put('object', str(i), i)", times=100), "contract.records"),
    "texts of the engine": ("def execute(argument):\n    fail('MemoryError')\n", "contract.failed"),
}


def serve(party: Executor, world: World, *calls: Call) -> tuple[Execution | Rejected, ...]:
    """Execute a trap between two honest requests, which must both be served."""
    before, after = call("object.put", {"key": "a", "value": 1}), call("object.get", {"key": "a"})
    first, *results, last = party.run(world.batch(before, *calls, after), world)
    assert isinstance(first, Execution)
    assert isinstance(last, Execution)
    assert (first.status, last.status, last.output) == ("ok", "ok", b"1")
    assert last.index == 1 + sum(isinstance(result, Execution) for result in results)
    return tuple(results)


def plant(world: World, source: str, contract: str = "trap") -> None:
    """Register a contract without compiling it in this process: the engine folds constants, great ones too."""
    world.plant(contract_key(contract, 1), {"owner": "admin", "source": source})


@pytest.mark.parametrize("source", KILLERS.values(), ids=KILLERS.keys())
def test_what_would_kill_a_process(parties: tuple[Executor, Executor], source: str) -> None:
    """In the Auditor it is rejected, in the Ledger, with wider bounds, rejected as well or executed; both live.

    The rejection is never an outcome. If the Ledger gets to an end, nothing was ordered that it could contradict.
    """
    world = World()
    plant(world, source)
    auditor, ledger = parties
    (result,) = serve(auditor, world, call("trap", None))
    assert isinstance(result, Rejected)
    assert (result.code, result.final) == ("contract.resources", True)
    serve(ledger, world, call("trap", None))


@pytest.mark.parametrize("source", OUT_OF_STEPS.values(), ids=OUT_OF_STEPS.keys())
def test_what_would_never_end(source: str) -> None:
    """Rejected by the count of steps, long before the time is up, and without killing anything."""
    world = World()
    world.register(source, "trap")
    party = Executor(replace(LIMITS, contract_cpu_ms=20_000))
    try:
        serve(party, world)
        pid = party.child_pid
        (result,) = serve(party, world, call("trap", None))
        assert isinstance(result, Rejected)
        assert result.code == "contract.resources"
        assert [read.key for read in result.reads][:2] == ["entity/admin/key/1", "contract/trap/1"]
        assert party.child_pid == pid
    finally:
        party.close()


@pytest.mark.parametrize(("source", "code"), FAILING.values(), ids=FAILING.keys())
def test_what_both_judge_alike(parties: tuple[Executor, Executor], source: str, code: str) -> None:
    """An outcome, the same in both, with a stable code."""
    world = World()
    world.register(source, "trap")
    (result,), (same,) = (serve(party, world, call("trap", None)) for party in parties)
    assert isinstance(result, Execution)
    assert result == same
    assert result.code == code


@pytest.mark.parametrize(
    "expression", ["[" * 2400 + "]" * 2400, "-" * 1000 + "1", "1e400", "1.0 / 3", "float('1e400')"]
)
def test_sources_that_never_reach_the_engine(parties: tuple[Executor, Executor], expression: str) -> None:
    """Refused at registration, or, for `float`, when run; both parties serve the next request."""
    world = World()
    source = f"def execute(argument):\n    return {expression}\n"
    argument = {"contract": "trap", "source": source, "version": 1}
    for party in parties:
        registered, run = serve(party, world, call("sys.contract.register", argument), call("trap", None))
        if expression.startswith("float"):
            assert isinstance(run, Execution)
            assert (registered.code, run.code) == ("", "contract.value")
        else:
            assert isinstance(run, Rejected)
            assert (registered.code, run.code) == ("contract.source_refused", "contract.unknown")


@pytest.mark.parametrize("expression", ["[" * 60_000 + "]" * 60_000, "-" * 120_000 + "1"])
def test_sources_past_the_scan(parties: tuple[Executor, Executor], expression: str) -> None:
    """If a source that overflows the parser's stack got in some other way, it would kill a child and no party."""
    world = World()
    plant(world, f"def execute(argument):\n    return {expression}\n")
    auditor, ledger = parties
    (result,) = serve(auditor, world, call("trap", None))
    assert isinstance(result, Rejected)
    assert result.code == "contract.resources"
    serve(ledger, world, call("trap", None))


def test_registering_what_does_not_compile_within_bounds(parties: tuple[Executor, Executor]) -> None:
    """The engine folds constants when it compiles: what is too great even so is rejected, and registers nothing."""
    world = World()
    argument = {"contract": "trap", "source": KILLERS["string that does not fit"], "version": 1}
    registered, run = serve(parties[0], world, call("sys.contract.register", argument), call("trap", None))
    assert (registered.code, run.code) == ("contract.resources", "contract.unknown")


@pytest.fixture
def patient() -> Iterator[Executor]:
    """An executor with much time."""
    party = Executor(replace(LIMITS, contract_memory_bytes=160 * MIB, contract_cpu_ms=5_000))
    yield party
    party.close()


def large(number: int, megabytes: int) -> str:
    """A contract that is large once compiled: the engine folds tuples, whatever their length."""
    return f"def execute(argument):\n    return len(argument or ({number},) * {125_000 * megabytes})\n"


def test_large_compiled_contracts_take_no_room_from_others(patient: Executor) -> None:
    """Each fits alone, all of them would not: they are forgotten, and no child dies."""
    world = World()
    pids = set()
    for number in range(30):
        plant(world, large(number, 5), f"large{number}")
        (result,) = patient.run(world.batch(call(f"large{number}", None)), world)
        assert isinstance(result, Execution)
        assert result.output == b"625000"
        pids.add(patient.child_pid)
    assert len(pids) == 1


@pytest.mark.parametrize("is_new", [False, True])
def test_nobody_is_blamed_for_what_others_took(monkeypatch: pytest.MonkeyPatch, is_new: bool) -> None:
    """Only what kills a new child is rejected; after others, a death may be theirs."""
    party = Executor(LIMITS)
    world = World()
    attempt = Executor._attempt
    deaths = [1]

    def dying(self: Executor, batch: Batch, fetch: Fetch) -> tuple[Execution | Rejected, ...]:
        if len(batch.calls) == 2:
            raise executor_module._ChildDiedError(by_itself=True)
        if deaths[0] and (self.child_pid is None) == is_new:
            deaths[0] -= 1
            self.close()
            raise executor_module._ChildDiedError(by_itself=True)
        return attempt(self, batch, fetch)

    try:
        monkeypatch.setattr(Executor, "_attempt", dying)
        calls = [call("object.get", {"key": "a"}), call("object.get", {"key": "b"})]
        codes = [result.code for result in party.run(world.batch(*calls), world)]
        assert codes == (["contract.resources", ""] if is_new else ["", ""])
        assert deaths == [0]
    finally:
        party.close()


def test_several_traps_in_one_batch(parties: tuple[Executor, Executor]) -> None:
    """Each is found, whatever lies between them; writes of the others stand on one another."""
    world = notes_world()
    plant(world, KILLERS["list that does not fit"], "memory")
    plant(world, KILLERS["sorting"], "time")
    calls = [notes(["get", "n"], ["put", "n", n]) for n in range(6)]
    batch = world.batch(calls[0], call("memory", None), calls[1], calls[2], call("time", None), calls[3], calls[4])
    results = parties[0].run(batch, world)
    assert [result.code for result in results] == ["", "contract.resources", "", "", "contract.resources", "", ""]
    alone = replace(batch, calls=tuple(made for made in batch.calls if made.contract == "notes"))
    assert [r for r in results if isinstance(r, Execution)] == list(InProcessExecutor(LIMITS).run(alone, world))


def test_memory_of_many_is_nobodys_fault() -> None:
    """Calls that fit one by one, but not together in one child, are all executed."""
    world = World()
    world.register("def execute(argument):\n    return 'x' * 200000\n")
    limits = replace(LIMITS, contract_memory_bytes=8 * MIB, batch_output_bytes=64 * MIB, message_bytes=128 * MIB)
    party = Executor(limits)
    try:
        results = party.run(world.batch(*[call("test", None) for _ in range(60)]), world)
        assert [result.code for result in results] == [""] * 60
    finally:
        party.close()


# --- life and death of the child ---


def test_killed_from_outside_is_nobodys_fault(parties: tuple[Executor, Executor]) -> None:
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


# --- surroundings ---

SURROUNDINGS: dict[str, dict[str, str]] = {
    "plain": {},
    "hash seed 1": {"PYTHONHASHSEED": "1"},
    "random hashes": {"PYTHONHASHSEED": "random"},
    "few digits": {"PYTHONINTMAXSTRDIGITS": "640"},
    "any digits": {"PYTHONINTMAXSTRDIGITS": "0"},
    "C locale": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0"},
    "another locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "development": {"PYTHONDEVMODE": "1", "PYTHONMALLOC": "debug"},
}

EXPRESSIONS = (
    "str(int('9' * %d)) == '9' * %d",
    "int('9' * (%d + 4200))",
    "[hash(str(%d)), hash('é' * %d)]",
    "sorted([str(i * %d %% 97) for i in range(%d)])",
    "{str(i): i for i in range(%d)}.keys() + [%d]",
    "['İ'.lower(), 'straße'.upper() * %d][%d %% 2]",
    "(1 << %d) %% (%d + 1)",
    "-(7 << %d) // (%d + 3)",
    "'%%s %%r' %% (%d, 'é%d')",
    "[1 // (%d %% 3), %d]",
    "[x for x in range(%d) if x %% 7 == %d %% 7]",
    "str({'a': (%d, [None, {'é': %d}])})",
    "len(('aé😀' * %d).elems()) + %d",
    "[get('notes', str(i)) for i in range(%d %% 9)] + [%d]",
    "[put('notes', str(i), [i, %d]) for i in range(%d %% 9)]",
    "scan('notes', '', '', %d %% 20 + 1)['rows'][:%d]",
    "[i for i in range(%d * 500)][-%d:][:3]",
    "('ab' * %d)[%d]",
)
DIGEST = """
import sys
from hashlib import sha256
from tests.unit.streams.test_executor import random_results
print(sha256(random_results(int(sys.argv[1]), int(sys.argv[2]))).hexdigest())
"""


def random_results(count: int, scale: int) -> bytes:
    """Results of `count` random calls, some of which fail, as bytes."""
    rng = random.Random(20)
    limits = replace(Limits(), contract_memory_bytes=128 * MIB)
    party = Executor(limits, scale=scale)
    world = notes_world(party)
    contracts = []
    for number, expression in enumerate(EXPRESSIONS):
        filled = expression.replace("%%", "\0").replace("%d", "{}").replace("\0", "%")
        source = filled.replace("{}", "argument[0]", 1).replace("{}", "argument[1]", 1)
        world.register(f"def execute(argument):\n    return {source}\n", f"c{number}")
        contracts.append(f"c{number}")
    seen = []
    for _ in range(count // 100):
        made = [call(rng.choice(contracts), [rng.randrange(200), rng.randrange(1, 200)]) for _ in range(100)]
        seen += [repr(result) for result in world.run(*made)]
    party.close()
    assert any("'ok'" in result for result in seen)
    assert any("contract.value" in result for result in seen)
    return "\n".join(seen).encode()


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_surroundings_make_no_difference(count: int) -> None:
    """Parents with other hash seeds, digit limits, locales and bounds get the same results of the same calls."""
    digests = {}
    for number, (name, environment) in enumerate(SURROUNDINGS.items()):
        command = [sys.executable, "-c", DIGEST, str(count), str(1 + 3 * (number % 2))]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, text=True)
        digests[name] = done.stdout
    assert len(set(digests.values())) == 1, digests
