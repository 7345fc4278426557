"""What bounds contracts, and what they may do in whose name."""

from dataclasses import replace

import pytest

from protocol.canonical_json import dumps
from protocol.contracts.calls import Execution, Rejected
from protocol.contracts.execution import Runner
from protocol.limits import Limits
from tests.unit.protocol.contract_world import World, call, notes, notes_world, output


@pytest.fixture
def world() -> World:
    """A ledger with a namespace `notes` and a contract `notes` that does what its argument says."""
    return notes_world()


# --- limits ---


def test_too_many_records(world: World) -> None:
    """Reads, writes, rows, versions and scans count together."""
    room = Limits().records_per_request - 3  # key, contract and namespace
    assert world.do("notes", [["put", f"{n:02}", n] for n in range(room)]).status == "ok"
    assert world.do("notes", [["put", str(n), n] for n in range(room + 1)]).code == "contract.records"
    assert world.do("notes", [["get", "00"]] * 500).status == "ok"
    world.do("notes", [["put", "x", 1]])  # 62 keys
    assert world.do("notes", [["scan", "", "", 61]]).status == "ok"  # and key, contract, scan are 64
    assert world.do("notes", [["scan", "", "", 62]]).code == "contract.records"
    assert world.do("notes", [["scan", "y", "", 1]] * 63).code == "contract.records"
    for _ in range(40):
        world.run(*[notes(["put", "long", n]) for n in range(2)])
    assert world.do("notes", [["history", "long", 61]]).status == "ok"
    assert world.do("notes", [["history", "long", 64]]).code == "contract.records"


def test_too_large(world: World) -> None:
    """One value, and output and values together."""
    world.do("sys.namespace.create", {"namespace": "mine"})
    world.register(
        "def execute(argument):\n"
        "    for i in range(argument[0]):\n"
        "        put('mine', str(i), 'x' * argument[1])\n"
    )
    assert world.do("test", [1, 32766]).status == "ok"
    assert world.do("test", [1, 32767]).code == "contract.output_too_large"
    assert world.do("test", [8, 32766]).code == "contract.output_too_large"
    world.register("def execute(argument):\n    return 'x' * argument\n", version=2)
    assert world.do("test", 256 * 1024 - 2, contract_version=2).status == "ok"
    assert world.do("test", 256 * 1024 - 1, contract_version=2).code == "contract.output_too_large"


def test_a_full_batch_is_closed(world: World) -> None:
    """What no longer fits is not executed; what came before is as if the batch had ended there."""
    world.register("def execute(argument):\n    return 'x' * argument\n")
    calls = [call("test", 250_000) for _ in range(30)]
    results = world.executor.run(world.batch(*calls), world)
    assert len(results) == 16
    assert results == world.executor.run(world.batch(*calls[:16]), world)


def test_one_call_always_fits(world: World) -> None:
    """Otherwise it could never be ordered."""
    world.register("def execute(argument):\n    return 'x' * argument\n")
    limits = replace(Limits(), batch_output_bytes=Limits().request_output_bytes)
    assert len(Runner(limits).run(world.batch(call("test", 262_142), call("test", 1)), world)) == 1


STEPS = "def execute(argument):\n    for i in range(argument):\n        pass\n"


def test_out_of_steps_is_a_rejection(world: World) -> None:
    """Never an outcome: it takes no index, and says what it relied on."""
    world.register(STEPS)
    fine, rejected, after = world.run(call("test", 990_000), call("test", 1_010_000), call("test", 1))
    assert isinstance(fine, Execution)
    assert isinstance(after, Execution)
    assert (fine.index, after.index) == (0, 1)
    assert isinstance(rejected, Rejected)
    assert (rejected.code, rejected.final) == ("contract.resources", True)
    assert [read.key for read in rejected.reads] == ["entity/admin/key/1", "contract/test/1"]


@pytest.mark.parametrize(
    "loop",
    ["get('bank', 'a')", "caller()", "ordered_at()", "history('bank', 'a', 1)", "invoke('nothing/1', None)"],
)
def test_calls_cost_steps(world: World, loop: str) -> None:
    """Twenty thousand calls are too many, whichever they are, though so short a loop would do."""
    world.register("def execute(argument):\n    return 0\n", "nothing")
    world.register(f"def execute(argument):\n    for i in range(argument):\n        {loop}\n")
    (few,) = world.run(call("test", 500))
    (many,) = world.run(call("test", 20_000))
    assert isinstance(few, Execution)
    assert few.status == "ok"
    assert isinstance(many, Rejected)


def test_nested_contracts_share_the_steps(world: World) -> None:
    """Splitting work over invocations gains nothing."""
    world.register(STEPS, "work")
    world.register("def execute(argument):\n    for i in range(4):\n        invoke('work/1', argument)\n")
    assert isinstance(world.run(call("test", 200_000))[0], Execution)
    assert isinstance(world.run(call("test", 300_000))[0], Rejected)


# --- who may ---


def test_unknown_and_revoked(world: World) -> None:
    """Rejected, with the records that say so."""
    world.enrol("alice")
    world.do("sys.key.revoke", {"entity": "alice", "key_version": 1}, "alice")
    cases = [
        (call("notes", [], "nobody"), "entity.unknown", ["entity/nobody/key/1"]),
        (call("notes", [], "admin", key_version=2), "entity.unknown", ["entity/admin/key/2"]),
        (call("notes", [], "a/b"), "entity.unknown", []),
        (call("notes", [], "alice"), "entity.key_revoked", ["entity/alice/key/1"]),
        (call("nothing", []), "contract.unknown", ["entity/admin/key/1", "contract/nothing/1"]),
        (
            call("notes", [], contract_version=2),
            "contract.unknown",
            ["entity/admin/key/1", "contract/notes/2"],
        ),
        (call("no/tes", []), "contract.unknown", ["entity/admin/key/1"]),
    ]
    for made, code, keys in cases:
        (result,) = world.run(made)
        assert isinstance(result, Rejected)
        assert (result.code, result.final, [read.key for read in result.reads]) == (code, True, keys)


@pytest.fixture
def two_owners() -> World:
    """alice and bob, each with a namespace and a contract that writes the namespace it is told."""
    world = World()
    for entity in ("alice", "bob"):
        world.enrol(entity, ["contract.register"])
        world.do("sys.namespace.create", {"namespace": f"of-{entity}"}, entity)
        source = "def execute(argument):\n    put(argument, 'k', caller())\n"
        world.register(source, f"write.{entity}", entity=entity)
        source = "def execute(argument):\n    invoke(argument[0], argument[1])\n"
        world.register(source, f"invoke.{entity}", entity=entity)
    return world


@pytest.mark.parametrize("who", ["alice", "bob", "admin"])
def test_the_owner_of_the_contract_decides(two_owners: World, who: str) -> None:
    """Not who calls it: the namespace and the contract must have one owner."""
    assert two_owners.do("write.alice", "of-alice", who).status == "ok"
    assert two_owners.value("of-alice", "k") == dumps(who)
    foreign = two_owners.do("write.alice", "of-bob", who)
    assert foreign.code == "namespace.foreign"
    assert "namespace/of-bob" in [read.key for read in foreign.reads]


def test_invoked_contracts_have_their_own_rights(two_owners: World) -> None:
    """Through bob's contract alice's namespace can be written, but not by what bob's own code says."""
    assert two_owners.do("invoke.bob", ["write.alice/1", "of-alice"]).status == "ok"
    assert two_owners.value("of-alice", "k") == b'"contract/invoke.bob"'
    for contract, namespace in (("write.bob/1", "of-alice"), ("write.alice/1", "of-bob")):
        for invoker in ("invoke.alice", "invoke.bob"):
            assert two_owners.do(invoker, [contract, namespace]).code == "namespace.foreign"


def test_rights_end_with_the_invocation(two_owners: World) -> None:
    """After it the invoker writes with its own rights again, and is itself again."""
    two_owners.register(
        "def execute(argument):\n    invoke('write.alice/1', 'of-alice')\n    put('of-alice', 'k', 'mine')\n",
        "later.bob",
        entity="bob",
    )
    assert two_owners.do("later.bob", None).code == "namespace.foreign"
    assert two_owners.value("of-alice", "k") is None


@pytest.mark.parametrize(
    "call_text", ["put('sys', 'x', 1)", "delete('sys', 'entity/admin')", "put('sys', 'entity/x/key/1', {})"]
)
@pytest.mark.parametrize("by", ["test", "invoke.admin"])
def test_sys_belongs_to_what_is_built_in(call_text: str, by: str) -> None:
    """Even for the administrator, directly and through `invoke`; reading it is allowed."""
    world = World()
    world.register(f"def execute(argument):\n    {call_text}\n")
    world.register("def execute(argument):\n    return invoke('test/1', None)\n", "invoke.admin")
    assert world.do(by, None).code == "namespace.foreign"
    world.register("def execute(argument):\n    return get('sys', 'entity/admin')\n", "look")
    assert output(world.do("look", None)) == {"rights": ["contract.register", "entity.register"]}


def test_unknown_namespace(world: World) -> None:
    """Nobody writes a namespace that was not created."""
    world.register("def execute(argument):\n    put(argument, 'k', 1)\n")
    assert world.do("test", "nowhere").code == "namespace.unknown"
    assert world.do("test", "no/where").code == "name.refused"


# --- invocation ---


def test_who_is_who(two_owners: World) -> None:
    """`caller` is the immediate caller, `origin` the entity that signed, the time is the batch's."""
    source = "def execute(argument):\n    return [caller(), origin(), ordered_at()]\n"
    two_owners.register(source, "who")
    two_owners.register("def execute(argument):\n    return invoke('who/1', None) + [caller()]\n", "ask")
    time_ms = 1_700_000_000_000 + two_owners.sequence
    assert output(two_owners.do("who", None, "bob")) == ["bob", "bob", time_ms]
    assert output(two_owners.do("ask", None, "bob")) == ["contract/ask", "bob", time_ms + 1, "bob"]


def test_invocation_passes_copies(world: World) -> None:
    """Neither side can change what the other holds, and only values of canonical JSON pass."""
    world.register("def execute(argument):\n    argument.append(1)\n    return argument\n", "append")
    world.register(
        "def execute(argument):\n"
        "    mine = [0]\n"
        "    theirs = invoke('append/1', mine)\n"
        "    return [mine, theirs]\n"
    )
    assert output(world.do("test", None)) == [[0], [0, 1]]
    world.register("def execute(argument):\n    return invoke('append/1', [1 << 60])\n", version=2)
    assert world.do("test", None, contract_version=2).code == "contract.value"
    world.register("def execute(argument):\n    return invoke('append/1', ['x' * 40000])\n", version=3)
    assert world.do("test", None, contract_version=3).code == "contract.output_too_large"


def test_failure_inside_fails_the_whole(world: World) -> None:
    """There is no catching: the request ends with the inner code and text, and writes nothing."""
    world.register(
        "def execute(argument):\n"
        "    invoke('notes/1', [['put', 'a', 1]])\n"
        "    invoke('notes/1', [['fail', 'inner']])\n"
    )
    result = world.do("test", None)
    assert (result.code, result.fail_text, result.writes) == ("contract.failed", "inner", ())


def test_inner_and_outer_see_one_state(world: World) -> None:
    """What the inner one wrote, the outer one reads, and both are one request."""
    world.register(
        "def execute(argument):\n    invoke('notes/1', [['put', 'a', 7]])\n    return get('notes', 'a')\n"
    )
    result = world.do("test", None)
    assert output(result) == 7
    assert [read.key for read in result.reads if read.namespace == "sys"] == [
        "entity/admin/key/1",
        "contract/test/1",
        "contract/notes/1",
        "namespace/notes",
    ]


def test_no_recursion(world: World) -> None:
    """A contract that is running is not invoked again, directly or on a detour; after it ended it is."""
    for name, other in (("a", "a"), ("b", "c"), ("c", "b")):
        once = f"invoke('{other}/1', argument - 1)"
        world.register(f"def execute(argument):\n    return 'end' if argument == 0 else {once}\n", name)
    for name, depth in (("a", 1), ("b", 2)):
        assert output(world.do(name, depth - 1)) == "end"
        assert world.do(name, depth).code == "contract.value"
    world.register("def execute(argument):\n    return [invoke('a/1', 0), invoke('a/1', 0)]\n", "twice")
    assert output(world.do("twice", None)) == ["end", "end"]


def test_nesting_ends(world: World) -> None:
    """Eight contracts deep, the first included."""
    world.register("def execute(argument):\n    return 'end'\n", "c1")
    for level in range(2, 10):
        world.register(f"def execute(argument):\n    return invoke('c{level - 1}/1', None)\n", f"c{level}")
    assert output(world.do("c8", None)) == "end"
    assert world.do("c9", None).code == "contract.value"
