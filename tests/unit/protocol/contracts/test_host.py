"""What contracts may call, at its last step, length, depth and count; and whose rights each call has."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from protocol.contracts.calls import Execution, Rejected
from protocol.contracts.engine import ExhaustedError
from protocol.contracts.execution import Runner
from protocol.contracts.host import CALL_STEPS, INVOKE_STEPS
from protocol.limits import Limits
from tests.unit.protocol.contract_world import LIMITS, World, call, notes_world, output


@pytest.fixture
def world() -> World:
    """A ledger with a namespace `notes` and a contract `notes`."""
    return notes_world()


def code_of(world: World, body: str, argument: object = None) -> str:
    """The code of a contract with this body; empty if it ends well."""
    version = len([key for key in world.history if key.key.startswith("contract/probe/")]) + 1
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    world.register(f"def execute(argument):\n{lines}", "probe", version)
    return world.do("probe", argument, contract_version=version).code


def with_limits(world: World, **limits: int) -> World:
    """The same ledger with other limits."""
    world.executor = Runner(replace(LIMITS, **limits))
    return world


# --- Steps ---


@pytest.mark.parametrize(("calls", "steps"), [("caller()", CALL_STEPS), ("invoke('idle/1', None)", INVOKE_STEPS)])
def test_the_last_step(world: World, calls: str, steps: int) -> None:
    """The limit itself may be used up, one step more may not; `invoke` is ten times as dear as any other call."""
    assert (CALL_STEPS, INVOKE_STEPS) == (100, 1_000)
    world.register("def execute(argument):\n    return None\n", "idle")
    world.register(f"def execute(argument):\n    {calls}\n    {calls}\n")
    fits, exceeds = (Runner(replace(LIMITS, contract_steps=2 * steps - less)) for less in (0, 1))
    (result,) = fits.run(world.batch(call("test", None)), world)
    assert isinstance(result, Execution)
    assert result.status == "ok"
    (result,) = exceeds.run(world.batch(call("test", None)), world)
    assert isinstance(result, Rejected)


@pytest.mark.parametrize(("steps", "fits"), [(2_000, True), (1_999, False), (1_000, False)])
def test_the_last_steps_of_a_loop(world: World, steps: int, fits: bool) -> None:
    """The engine asks once per thousand of them: twice here, and the limit itself may be used up."""
    world.register("def execute(argument):\n    for i in range(2500):\n        pass\n")
    (result,) = Runner(replace(LIMITS, contract_steps=steps)).run(world.batch(call("test", None)), world)
    assert isinstance(result, Execution if fits else Rejected)


def test_a_failure_at_the_last_step_is_a_failure(world: World) -> None:
    """All steps are used up and none is missing: what went wrong then is the contract's own."""
    world.register("def execute(argument):\n    for i in range(2500):\n        pass\n    return 1 // 0\n")
    (result,) = Runner(replace(LIMITS, contract_steps=2_000)).run(world.batch(call("test", None)), world)
    assert isinstance(result, Execution)
    assert result.code == "contract.value"


def test_steps_are_those_of_one_request(world: World) -> None:
    """The next call of the batch has all of them again, whatever became of the one before."""
    world.register("def execute(argument):\n    caller()\n    caller()\n")
    runner = Runner(replace(LIMITS, contract_steps=2 * CALL_STEPS))
    results = runner.run(world.batch(*[call("test", None) for _ in range(3)]), world)
    assert all(isinstance(result, Execution) and result.status == "ok" for result in results)


def test_a_failure_leaves_nothing_behind(world: World) -> None:
    """Neither the contracts that were running nor what they raised."""
    world.register("def execute(argument):\n    fail('no')\n", "inner")
    world.register("def execute(argument):\n    if argument: invoke('inner/1', None)\n    return caller()\n")
    results = world.run(*[call("test", fails) for fails in (True, False, True, False)])
    assert [result.code for result in results] == ["contract.failed", "", "contract.failed", ""]
    assert [output(result) for result in results[1::2] if isinstance(result, Execution)] == ["admin", "admin"]


# --- Names and keys ---

KEY = LIMITS.key_bytes


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (f"get('notes', 'k' * {KEY})", ""),
        (f"get('notes', 'k' * {KEY + 1})", "name.refused"),
        ("get('notes', '')", "name.refused"),
        ("get('notes', 'a\\n')", "name.refused"),
        (f"get('n' * {LIMITS.name_bytes}, 'k')", ""),
        (f"get('n' * {LIMITS.name_bytes + 1}, 'k')", "name.refused"),
        ("get('a/b', 'k')", "name.refused"),
        ("get(1, 'k')", "contract.value"),
        ("get('notes', None)", "contract.value"),
        (f"history('notes', 'k' * {KEY + 1}, 1)", "name.refused"),
        ("put('notes', '', 1)", "name.refused"),
        ("delete('notes', '')", "name.refused"),
        (f"scan('notes', 'k' * {KEY + 1}, '', 1)", ""),
        (f"scan('notes', 'k' * {KEY + 2}, '', 1)", "name.refused"),
        (f"scan('notes', '', 'k' * {KEY + 1}, 1)", ""),
        (f"scan('notes', '', 'k' * {KEY + 2}, 1)", "name.refused"),
        ("scan('a/b', '', '', 1)", "name.refused"),
        ("scan('notes', None, '', 1)", "contract.value"),
        ("scan('notes', '', 1, 1)", "contract.value"),
        ("scan(None, '', '', 1)", "contract.value"),
    ],
)
def test_names_and_keys(world: World, body: str, code: str) -> None:
    """At their bounds; a scan may go on behind the longest key, which is one character more."""
    assert code_of(world, body) == code


MOST = LIMITS.records_per_request


@pytest.mark.parametrize("limit", ["0", "-1", str(MOST + 1), "True", "'1'", "None", "1 << 70"])
def test_counts_that_are_none(world: World, limit: str) -> None:
    """At least one, at most all that a request may read, and a number."""
    assert code_of(world, f"scan('notes', '', '', {limit})") == "contract.value"
    assert code_of(world, f"history('notes', 'a', {limit})") == "contract.value"


@pytest.mark.parametrize("limit", [1, MOST])
def test_counts_that_are(world: World, limit: int) -> None:
    """The least and the greatest."""
    assert code_of(world, f"scan('notes', '', '', {limit})") == ""
    assert code_of(world, f"history('notes', 'a', {limit})") == ""


# --- Failing ---


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * 32, "x" * 32),
        ("x" * 33, "x" * 32),
        ("é" * 17, "é" * 16),
        ("x" + "é" * 16, "x" + "é" * 15),
        ("😀" * 9, "😀" * 8),
        ("xx" + "😀" * 8, "xx" + "😀" * 7),
    ],
)
def test_a_text_is_cut_to_whole_characters(text: str, kept: str) -> None:
    """As many bytes as may be; half a character is none, and nothing stands for it."""
    world = World()
    world.register("def execute(argument):\n    fail(argument)\n")
    (result,) = with_limits(world, fail_text_bytes=32).run(call("test", text))
    assert isinstance(result, Execution)
    assert (result.code, result.fail_text) == ("contract.failed", kept)


def test_a_text_is_a_text(world: World) -> None:
    """Nothing else can be what a contract says."""
    for value in ("1", "None", "['a']"):
        assert code_of(world, f"fail({value})") == "contract.value"


# --- Invoking ---


def nested(levels: int) -> World:
    """So many contracts, each of which invokes the next; the last one says who called it."""
    world = World()
    world.register("def execute(argument):\n    return [caller(), origin()]\n", f"level{levels}")
    for level in range(levels - 1, 0, -1):
        source = f"def execute(argument):\n    return invoke('level{level + 1}/1', argument)\n"
        world.register(source, f"level{level}")
    return world


def test_the_deepest_nesting() -> None:
    """As many contracts inside one another as the limit says, the first included; the caller is the innermost one."""
    most = Limits().contract_nesting
    assert output(nested(most).do("level1", None)) == [f"contract/level{most - 1}", "admin"]
    assert nested(most + 1).do("level1", None).code == "contract.value"


def test_no_contract_is_inside_itself() -> None:
    """However many others lie between."""
    world = World()
    world.register("def execute(argument):\n    return invoke('third/1', argument)\n", "second")
    world.register("def execute(argument):\n    return invoke('first/1', argument)\n", "third")
    world.register("def execute(argument):\n    return invoke('second/1', 0) if argument else 7\n", "first")
    assert world.do("third", 0).status == "ok"
    assert world.do("first", 1).code == "contract.value"


@pytest.mark.parametrize(
    "name",
    ["'unknown/1'", "'idle'", "'idle/2'", "'idle/01'", "'idle/0'", "'sys.key.revoke/1'", "1", "'a' * 200 + '/1'"],
)
def test_what_cannot_be_invoked(world: World, name: str) -> None:
    """What is not registered, in another form, or built in."""
    world.register("def execute(argument):\n    return None\n", "idle")
    assert code_of(world, "invoke('idle/1', None)") == ""
    assert code_of(world, f"invoke({name}, None)") == "contract.value"


def test_an_argument_passed_on_has_the_bound_of_arguments() -> None:
    """And not that of values."""
    world = World()
    world.register("def execute(argument):\n    return len(argument)\n", "inner")
    world.register("def execute(argument):\n    return invoke('inner/1', 'x' * argument)\n")
    with_limits(world, argument_bytes=1000, value_bytes=500)
    assert output(world.do("test", 998)) == 998
    assert world.do("test", 999).code == "contract.output_too_large"


# --- Writing ---


@pytest.mark.parametrize(
    ("value", "put", "invoke"),
    [
        ("1", "contract.records", "contract.records"),
        ("'x' * 40000", "contract.records", "contract.output_too_large"),
        ("'é' * 40000", "contract.records", "contract.output_too_large"),
        ("1 << 60", "contract.records", "contract.value"),
        ("1 << 2000", "contract.value", "contract.value"),
        ("{1: 2}", "contract.records", "contract.value"),
    ],
)
def test_what_is_refused_first(world: World, value: str, put: str, invoke: str) -> None:
    """Where no record may be read any more, a `put` says so before it looks at the value, an `invoke` after."""
    world.register("def execute(argument):\n    return None\n", "idle")
    world.register(f"def execute(argument):\n    put('notes', 'a', {value})\n", "putting")
    world.register(f"def execute(argument):\n    invoke('idle/1', {value})\n", "invoking")
    for contract, records, code in (("putting", 3, put), ("invoking", 2, invoke)):
        (result,) = Runner(replace(LIMITS, records_per_request=records)).run(world.batch(call(contract, None)), world)
        assert isinstance(result, Execution)
        assert (result.code, len(result.reads)) == (code, records)


def test_every_write_asks_whose_namespace_it_is(world: World) -> None:
    """`put` and `delete`, into what is another's, nobody's or the system's; and again in the second contract."""
    world.enrol("alice", ["contract.register"])
    writes: list[tuple[str, Any]] = [
        ("put('notes', 'a', 1)", "namespace.foreign"),
        ("delete('notes', 'a')", "namespace.foreign"),
        ("put('sys', 'a', 1)", "namespace.foreign"),
        ("delete('sys', 'entity/admin')", "namespace.foreign"),
        ("put('unknown', 'a', 1)", "namespace.unknown"),
        ("delete('unknown', 'a')", "namespace.unknown"),
        ("invoke('hers/1', None)\nput('notes', 'a', 1)", "namespace.foreign"),
    ]
    argument = [["put", "a", 1]]
    world.register("def execute(argument):\n    return invoke('notes/1', " + str(argument) + ")\n", "hers", 1, "alice")
    for number, (body, code) in enumerate(writes, 1):
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        world.register(f"def execute(argument):\n{lines}", "mine", number, "alice")
        assert world.do("mine", None, "alice", contract_version=number).code == code, body
    assert output(world.do("hers", None, "alice")) is None
    assert world.value("notes", "a") == b"1"


def test_an_output_for_which_there_is_no_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no outcome of the call, but the end of the process that executes."""
    world.register("def execute(argument):\n    return 'é'\n")
    loads = orjson.loads

    def scarce(data: bytes) -> object:
        if data == '"é"'.encode():
            raise MemoryError
        return loads(data)

    monkeypatch.setattr(orjson, "loads", scarce)
    with pytest.raises(ExhaustedError):
        world.run(call("test", None))
