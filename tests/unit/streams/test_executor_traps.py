"""Traps: whatever a contract does, both parties live, and the next request is served."""

import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from protocol.contracts.calls import Batch, Call, Execution, Fetch, Rejected
from protocol.contracts.names import contract_key
from streams import executor as executor_module
from streams.executor import Executor, InProcessExecutor
from streams.executor_child import EXHAUSTED_EXIT
from tests.unit.protocol.contract_world import World, call, notes, notes_world, proof_fields
from tests.unit.streams.executor_parties import LIMITS, MIB, Parties, start_parties


@pytest.fixture
def parties() -> Iterator[Parties]:
    yield from start_parties()


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
    "shifts as keys": loop("d[1 << i] = i", "d = {}", 40_000) + "    return len(d)\n",
    "text of deep data": loop("a = [[[[a]]]]", "a = []", 900_000) + "    return len(str(a))\n",
    "deep keys": loop("a = ((((a,),),),)", "a = ()", 900_000) + "    return len({a: 1})\n",
    "wide value": "def execute(argument):\n    return ['aaaaaaaa'] * 20000000\n",
    "large write": "def execute(argument):\n    put('object', 'a', 'x' * 500000000)\n",
    "large failure": "def execute(argument):\n    fail('x' * 500000000)\n",
    "text of a great integer": loop("a = a * a", "a = 3", 22) + "    return len(str(a)) + len(str(a + 1))\n",
}

FULL = "kept.append('x' * (20000 + i % 2))"
ENDS_OF_MEMORY = {
    "put": loop(f"{FULL}\n        put('object', 'a', 'e' * 30000)", "kept = []", 9_000),
    "put of what is not ASCII": loop(f"{FULL}\n        put('object', 'a', 'é' * 15000)", "kept = []", 9_000),
    "get": loop(f"{FULL}\n        get('object', 'long')", "kept = []", 9_000),
    "return": loop(FULL, "kept = []", 4_700) + "    return 'é' * 120000\n",
}
"""Contracts whose last memory goes to a value on its way between contract and host."""

OUT_OF_STEPS = {
    "loop": loop("pass", times=10**9),
    "nested loops": loop("[j for j in range(10000)]", times=10**9),
    "recursion that branches": "def f(n):\n    return 0 if n == 0 else f(n - 1) + f(n - 1)\n"
    "def execute(argument):\n    return f(45)\n",
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
    "put of deep data": (
        loop("a = {'a': a}", "a = {}", 100_000) + "    put('object', 'a', a)\n",
        "contract.value",
    ),
    "comparison of deep data": (
        loop("a, b = [a], [b]", "a, b = [], []", 100_000) + "    a == b\n",
        "contract.value",
    ),
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
    """Register a contract without compiling it here: the engine folds constants, great ones too."""
    world.plant(contract_key(contract, 1), {"owner": "admin", "source": source})


@pytest.mark.parametrize("source", KILLERS.values(), ids=KILLERS.keys())
def test_what_would_kill_a_process(parties: Parties, source: str) -> None:
    """In the Auditor it is rejected, in the Ledger, with wider bounds, rejected or executed; both live.

    The rejection is no outcome: where the Ledger gets to an end, nothing was ordered that it contradicts.
    """
    world = World()
    plant(world, source)
    auditor, ledger = parties
    (result,) = serve(auditor, world, call("trap", None))
    assert isinstance(result, Rejected)
    assert (result.code, result.final) == ("contract.resources", True)
    serve(ledger, world, call("trap", None))


@pytest.mark.parametrize("source", ENDS_OF_MEMORY.values(), ids=ENDS_OF_MEMORY.keys())
def test_where_memory_ends_no_value_is_to_blame(source: str) -> None:
    """A value that finds no memory on its way is neither the contract's failure nor the child's: a rejection."""
    world = World()
    world.do("object.put", {"key": "long", "value": "e" * 30_000})
    world.register(source, "trap")
    party = Executor(replace(LIMITS, contract_cpu_ms=10_000))
    try:
        (result,) = serve(party, world, call("trap", None))
        assert isinstance(result, Rejected)
        assert (result.code, result.final) == ("contract.resources", True)
    finally:
        party.close()


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
def test_what_both_judge_alike(parties: Parties, source: str, code: str) -> None:
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
def test_sources_that_never_reach_the_engine(parties: Parties, expression: str) -> None:
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
def test_sources_past_the_scan(parties: Parties, expression: str) -> None:
    """Did a source get in that overflows the parser's stack, it would kill a child and no party."""
    world = World()
    plant(world, f"def execute(argument):\n    return {expression}\n")
    auditor, ledger = parties
    (result,) = serve(auditor, world, call("trap", None))
    assert isinstance(result, Rejected)
    assert result.code == "contract.resources"
    serve(ledger, world, call("trap", None))


@pytest.mark.parametrize(
    "source", [KILLERS["string that does not fit"], "def execute(argument):\n    return (1,) * 7000000\n"]
)
def test_registering_what_does_not_compile_within_bounds(parties: Parties, source: str) -> None:
    """The engine folds constants when it compiles: what is too great is rejected, and not registered."""
    world = World()
    argument = {"contract": "trap", "source": source, "version": 1}
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


@pytest.mark.parametrize(
    ("is_new", "status", "is_blamed"),
    [
        (False, -signal.SIGABRT, False),
        (True, -signal.SIGABRT, True),
        (False, EXHAUSTED_EXIT, False),
        (True, EXHAUSTED_EXIT, True),
        (False, -signal.SIGPROF, True),
        (True, -signal.SIGKILL, False),
    ],
)
def test_nobody_is_blamed_for_what_others_took(
    monkeypatch: pytest.MonkeyPatch, is_new: bool, status: int, is_blamed: bool
) -> None:
    """Memory that kills a child may have been taken by others before, unless it is new; time is one's own."""
    party = Executor(LIMITS)
    world = World()
    attempt = Executor._attempt
    deaths = [1]

    def dying(self: Executor, batch: Batch, fetch: Fetch) -> tuple[Execution | Rejected, ...]:
        if len(batch.calls) == 2:
            raise executor_module._ChildDiedError(status)
        if deaths[0] and (self.child_pid is None) == is_new:
            deaths[0] -= 1
            self.close()
            raise executor_module._ChildDiedError(status)
        return attempt(self, batch, fetch)

    try:
        monkeypatch.setattr(Executor, "_attempt", dying)
        calls = [call("object.get", {"key": "a"}), call("object.get", {"key": "b"})]
        codes = [result.code for result in party.run(world.batch(*calls), world)]
        assert sorted(codes) == ["", "contract.resources" if is_blamed else ""]
        assert deaths == [0]
    finally:
        party.close()


def test_several_traps_in_one_batch(parties: Parties) -> None:
    """Each is found, whatever lies between them; writes of the others stand on one another."""
    world = notes_world()
    plant(world, KILLERS["list that does not fit"], "memory")
    plant(world, KILLERS["sorting"], "time")
    calls = [notes(["get", "n"], ["put", "n", n]) for n in range(6)]
    batch = world.batch(
        calls[0], call("memory", None), calls[1], calls[2], call("time", None), calls[3], calls[4]
    )
    results = parties[0].run(batch, world)
    assert [result.code for result in results] == [
        "",
        "contract.resources",
        "",
        "",
        "contract.resources",
        "",
        "",
    ]
    alone = replace(batch, calls=tuple(made for made in batch.calls if made.contract == "notes"))
    assert [r for r in results if isinstance(r, Execution)] == list(
        InProcessExecutor(LIMITS).run(alone, world)
    )


def test_memory_of_many_is_nobodys_fault() -> None:
    """Calls that fit one by one, but not together in one child, are all executed."""
    world = World()
    world.register("def execute(argument):\n    return 'x' * 200000\n")
    limits = replace(
        LIMITS, contract_memory_bytes=8 * MIB, batch_output_bytes=64 * MIB, message_bytes=128 * MIB
    )
    party = Executor(limits)
    try:
        results = party.run(world.batch(*[call("test", None) for _ in range(60)]), world)
        assert [result.code for result in results] == [""] * 60
    finally:
        party.close()


def test_keys_are_judged_where_there_is_memory() -> None:
    """What fills a child before, read by read, makes no difference to a key: what judges it is loaded as well."""
    world = World()
    world.register("def execute(argument):\n    for i in range(30):\n        get('object', str(argument + i))\n")
    for number in range(900):
        world.do("object.put", {"key": str(number), "value": "x" * 30_000})
    reading = [call("test", first) for first in range(0, 900, 30)]
    registering = call("sys.entity.register", {"entity": "alice", "rights": [], **proof_fields("alice")})
    limits = replace(LIMITS, contract_memory_bytes=32 * MIB, contract_cpu_ms=5_000)
    for count in (10, 15, 20, 25, 30):
        party = Executor(limits)
        try:
            results = party.run(world.batch(*reading[:count], registering), world)
            assert [result.code for result in results] == [""] * (count + 1)
        finally:
            party.close()
