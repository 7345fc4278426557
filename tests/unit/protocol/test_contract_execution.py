"""What contracts can do, what they cannot, and what is recorded of it."""

from dataclasses import replace
from typing import Any

import pytest

from protocol.canonical_json import dumps, loads
from protocol.contracts.calls import Execution, Read, Rejected, Row
from protocol.contracts.execution import Runner
from protocol.contracts.names import contract_key, namespace_key, public_key_key
from protocol.limits import Limits
from protocol.records import ABSENT, DamagedRecordError, RecordKey, record_hash
from tests.unit.protocol.contract_world import LEDGER_ID, World, call

NOTES = """
def execute(argument):
    output = None
    for step in argument:
        name = step[0]
        if name == "get":
            output = get("notes", step[1])
        elif name == "put":
            put("notes", step[1], step[2])
        elif name == "delete":
            delete("notes", step[1])
        elif name == "scan":
            output = scan("notes", step[1], step[2], step[3])
        elif name == "history":
            output = history("notes", step[1], step[2])
        elif name == "fail":
            fail(step[1])
        elif name == "break":
            output = 1 // 0
    return output
"""


@pytest.fixture
def world() -> World:
    """A ledger with a namespace `notes` and a contract `notes` that does what its argument says."""
    made = World()
    assert made.do("sys.namespace.create", {"namespace": "notes"}).status == "ok"
    made.register(NOTES, "notes")
    return made


def output(result: Execution) -> Any:
    assert result.status == "ok", result
    return loads(result.output)


def notes(*steps: list[Any]) -> Any:
    return call("notes", list(steps))


def note_reads(result: Execution | Rejected) -> list[tuple[str, int]]:
    return [(read.key, read.version) for read in result.reads if read.namespace == "notes"]


# --- reading and writing ---


def test_a_write_is_read_back_and_kept(world: World) -> None:
    """Within the request, in the next call of the batch, and in the next batch."""
    first, second = world.run(notes(["put", "a", {"x": 1}], ["get", "a"]), notes(["get", "a"]))
    assert isinstance(first, Execution)
    assert isinstance(second, Execution)
    assert output(first) == output(second) == {"x": 1}
    assert output(world.do("notes", [["get", "a"]])) == {"x": 1}


def test_what_does_not_exist_is_none(world: World) -> None:
    """Never written, or deleted; both are read, with their versions."""
    assert output(world.do("notes", [["get", "a"]])) is None
    world.do("notes", [["put", "a", 1]])
    world.do("notes", [["delete", "a"]])
    result = world.do("notes", [["get", "a"]])
    assert output(result) is None
    assert note_reads(result) == [("a", 2)]


def test_reads_are_listed_once_with_the_version_before_the_call(world: World) -> None:
    """First what admits the call, then what it touches; its own writes change nothing of that."""
    world.do("notes", [["put", "a", 1]])
    result = world.do("notes", [["get", "b"], ["put", "a", 2], ["get", "a"], ["get", "b"], ["put", "b", 3]])
    key, contract = world.current(public_key_key("admin", 1)), world.current(contract_key("notes", 1))
    owner = world.current(namespace_key("notes"))
    assert result.reads == (
        Read("sys", "entity/admin/key/1", 1, -1, key.writer_index, key.record_hash),
        Read("sys", "contract/notes/1", 1, contract.writer_sequence, 0, contract.record_hash),
        Read("notes", "b", 0, -1, -1, ABSENT.record_hash),
        Read("sys", "namespace/notes", 1, owner.writer_sequence, 0, owner.record_hash),
        Read("notes", "a", 1, 2, 0, world.history[RecordKey("notes", "a")][0].record_hash),
    )


def test_writes_are_versions_in_the_chain(world: World) -> None:
    """Version, hash, request and writer, also of several versions in one batch."""
    first, second = world.run(notes(["put", "a", 1]), notes(["put", "a", 2]))
    assert isinstance(first, Execution)
    assert isinstance(second, Execution)
    (one,), (two,) = first.writes, second.writes
    assert (one.namespace, one.key, one.record.version, one.record.previous_hash) == ("notes", "a", 1, bytes(32))
    assert (two.record.version, two.record.previous_hash) == (2, one.record.record_hash)
    assert (two.record.writer_sequence, two.record.writer_index) == (world.sequence - 1, 1)
    key = RecordKey("notes", "a")
    for record in (one.record, two.record):
        assert record.record_hash == record_hash(
            LEDGER_ID, key, record.version, False, record.value, record.request_id, record.previous_hash
        )
    assert note_reads(second) == [("a", 1)]
    assert second.reads[-1].writer_sequence == world.sequence - 1


def test_several_writes_of_one_record_are_one_version(world: World) -> None:
    """The last one counts, at the place of the first."""
    result = world.do("notes", [["put", "b", 1], ["put", "a", 1], ["put", "b", {"z": 1, "a": 2}]])
    assert [(write.key, write.record.value) for write in result.writes] == [("b", b'{"a":2,"z":1}'), ("a", b"1")]


def test_deleting(world: World) -> None:
    """What exists becomes a tombstone; what does not, and what was only about to, writes nothing."""
    world.do("notes", [["put", "a", 1]])
    result = world.do(
        "notes", [["delete", "a"], ["delete", "nothing"], ["put", "new", 1], ["delete", "new"], ["get", "a"]]
    )
    assert output(result) is None
    assert [(write.key, write.record.version, write.record.deleted) for write in result.writes] == [("a", 2, True)]
    again = world.do("notes", [["put", "a", 5]])
    assert again.writes[0].record.version == 3


# --- failure ---


@pytest.mark.parametrize(
    ("end", "code", "text"),
    [
        (["fail", "no"], "contract.failed", "no"),
        (["fail", 5], "contract.value", ""),
        (["break"], "contract.value", ""),
        (["scan", "a", "b", 0], "contract.value", ""),
        (["put", "", 1], "name.refused", ""),
        (["get", "a\n"], "name.refused", ""),
        (["get", "k" * 1025], "name.refused", ""),
        (["get", "é" * 600], "name.refused", ""),
        (["put", "a", "x" * 32767], "contract.output_too_large", ""),
    ],
)
def test_a_failure_writes_nothing_and_keeps_its_reads(world: World, end: list[Any], code: str, text: str) -> None:
    """Nothing of the call remains but its reads, a stable code, and the text of `fail`."""
    argument = [["get", "seen"], ["put", "seen", 1], end]
    result = Runner(Limits(argument_bytes=64 * 1024)).run(world.batch(call("notes", []), call("notes", argument)), world)[1]
    assert isinstance(result, Execution)
    assert (result.status, result.code, result.fail_text, result.output) == ("failed", code, text, b"")
    assert (result.writes, result.index) == ((), 1)
    assert ("seen", 0) in note_reads(result)


def test_a_failure_does_not_touch_its_neighbours(world: World) -> None:
    """Calls before and after a failed one keep their effects; the next sees nothing of it."""
    world.run(notes(["put", "a", 1]), notes(["put", "a", 2], ["fail", "no"]), notes(["put", "b", 1], ["get", "a"]))
    assert (world.value("notes", "a"), world.value("notes", "b")) == (b"1", b"1")


@pytest.mark.parametrize("text", ["é" * 600, "a" * 2000, "😀" * 300])
def test_fail_texts_are_cut_between_characters(world: World, text: str) -> None:
    """At most `fail_text_bytes`, and valid UTF-8."""
    result = world.do("notes", [["fail", text]])
    assert text.startswith(result.fail_text)
    assert 1020 < len(result.fail_text.encode()) <= 1024


@pytest.mark.parametrize(
    "expression",
    [
        "(1 << 53)",
        "{1: 2}",
        "range(3)",
        "execute",
        "get",
        "int('9' * 5000)",
        "{'a': [1 << 60]}",
        "[None] * 3 + [len]",
        "get('notes')",
        "get('notes', 5)",
        "get(5, 'a')",
        "get('notes', 'a', 'b')",
        "get(namespace = 'notes', name = 'a')",
        "fail()",
        "scan('notes', '', '', 65)",
        "scan('notes', '', '', True)",
        "history('notes', 'a', 1 << 70)",
        "invoke('notes', [])",
        "invoke('notes/2', [])",
        "invoke('notes/01', [])",
        "invoke('sys.namespace.create/1', {'namespace': 'x'})",
        "invoke(5, [])",
        "put('mine', 'a', execute)",
        "ordered_at(1)",
    ],
)
def test_whatever_else_goes_wrong_is_one_code(world: World, expression: str) -> None:
    """Wrong arguments, errors in code and values beyond canonical JSON: `contract.value` and no text."""
    world.do("sys.namespace.create", {"namespace": "mine"})
    world.register(f"def execute(argument):\n    return {expression}\n")
    result = world.do("test", None)
    assert (result.code, result.fail_text) == ("contract.value", "")


@pytest.mark.parametrize("depth", [32, 33, 40, 2000])
def test_depth_of_values(world: World, depth: int) -> None:
    """32 levels cross the border, more do not."""
    source = "def execute(argument):\n    value = 1\n    for _ in range(argument):\n        value = [value]\n    return value\n"
    world.register(source)
    assert world.do("test", depth).code == ("" if depth == 32 else "contract.value")


def test_values_that_refer_to_themselves(world: World) -> None:
    """A cycle is no value."""
    world.register("def execute(argument):\n    value = []\n    value.append(value)\n    return value\n")
    assert world.do("test", None).code == "contract.value"


def test_tuples_are_arrays(world: World) -> None:
    """The one conversion there is."""
    world.register("def execute(argument):\n    return (1, (2, 'x'))\n")
    assert output(world.do("test", None)) == [1, [2, "x"]]


# --- scans and histories ---


def fill(world: World, *keys: str) -> None:
    for key in keys:
        world.do("notes", [["put", key, key.upper()]])


def test_scan_finds_a_range_in_order(world: World) -> None:
    """Start included, end excluded, by code point; what was seen is recorded."""
    fill(world, "b", "a", "d", "c", "\uffff", "😀")
    result = world.do("notes", [["scan", "b", "d", 10]])
    assert output(result) == {"rows": [["b", "B"], ["c", "C"]], "next": None}
    (scan,) = result.scans
    assert scan[:6] == ("notes", "b", "d", 10, "d", True)
    record = world.current(RecordKey("notes", "b"))
    assert scan.rows[0] == Row("b", 1, record.writer_sequence, 0, record.record_hash)
    everything = output(world.do("notes", [["scan", "", "", 10]]))
    assert [key for key, _ in everything["rows"]] == ["a", "b", "c", "d", "\uffff", "😀"]


def test_scan_goes_on_where_it_stopped(world: World) -> None:
    """`next` is where to start again; tombstones count towards the limit and are rows, but no result."""
    fill(world, "a", "b", "c", "d")
    world.do("notes", [["delete", "b"]])
    first = world.do("notes", [["scan", "", "", 2]])
    assert output(first) == {"rows": [["a", "A"]], "next": "b\0"}
    assert first.scans[0][4:6] == ("b", False)
    assert [(row.key, row.version) for row in first.scans[0].rows] == [("a", 1), ("b", 2)]
    second = output(world.do("notes", [["scan", "b\0", "", 2]]))
    assert second == {"rows": [["c", "C"], ["d", "D"]], "next": "d\0"}
    assert output(world.do("notes", [["scan", "d\0", "", 2]])) == {"rows": [], "next": None}


def test_scan_sees_own_writes_but_records_the_state_before(world: World) -> None:
    """New, replaced and deleted ones; the rows recorded are those before the call."""
    fill(world, "a", "b", "c")
    result = world.do(
        "notes", [["put", "aa", 1], ["put", "b", 2], ["delete", "c"], ["put", "e", 3], ["scan", "", "d", 10]]
    )
    assert output(result) == {"rows": [["a", "A"], ["aa", 1], ["b", 2]], "next": None}
    assert [(row.key, row.version) for row in result.scans[0].rows] == [("a", 1), ("b", 1), ("c", 1)]


def test_scan_with_own_writes_beyond_its_limit(world: World) -> None:
    """A result never has more rows than asked for, and loses none for the next scan."""
    fill(world, "a", "c")
    result = world.do("notes", [["put", "b", 1], ["put", "z", 1], ["scan", "", "", 2]])
    assert output(result) == {"rows": [["a", "A"], ["b", 1]], "next": "c"}


def test_scan_sees_earlier_calls_of_the_batch(world: World) -> None:
    """They are part of the state before the call, written by this batch."""
    fill(world, "a", "c")
    _, second = world.run(notes(["put", "b", 1], ["delete", "a"]), notes(["scan", "", "", 2]))
    assert isinstance(second, Execution)
    assert output(second) == {"rows": [["b", 1]], "next": "b\0"}
    sequence = world.sequence - 1
    assert [row[:4] for row in second.scans[0].rows] == [("a", 2, sequence, 0), ("b", 1, sequence, 0)]


def test_an_empty_range_is_no_scan(world: World) -> None:
    """It holds nothing in any state, so nothing is recorded."""
    result = world.do("notes", [["scan", "b", "a", 5]])
    assert (output(result), result.scans) == ({"rows": [], "next": None}, ())


def test_history_is_proved_by_the_current_version(world: World) -> None:
    """Newest first, deletions among them, over what the batch wrote; only the current version is read."""
    for steps in ([["put", "a", 1]], [["put", "a", 2]], [["delete", "a"]]):
        world.do("notes", steps)
    _, result = world.run(notes(["put", "a", 4]), notes(["put", "a", 5], ["history", "a", 3]))
    assert isinstance(result, Execution)
    assert output(result) == [
        {"deleted": False, "value": 4, "version": 4},
        {"deleted": True, "value": None, "version": 3},
        {"deleted": False, "value": 2, "version": 2},
    ]
    assert note_reads(result) == [("a", 4)]
    assert output(world.do("notes", [["history", "nothing", 5]])) == []


def test_history_that_does_not_chain_is_our_own_damage(world: World) -> None:
    """An older version that was altered with its hash, or is missing, is found."""
    for value in (1, 2, 3):
        world.do("notes", [["put", "a", value]])
    versions = world.history[RecordKey("notes", "a")]
    old = versions[0]
    altered = record_hash(LEDGER_ID, RecordKey("notes", "a"), 1, False, b"9", old.request_id, old.previous_hash)
    versions[0] = old._replace(value=b"9", record_hash=altered)
    with pytest.raises(DamagedRecordError):
        world.run(notes(["history", "a", 3]))
    del versions[0]
    with pytest.raises(DamagedRecordError):
        world.run(notes(["history", "a", 3]))


@pytest.mark.parametrize("steps", [["get", "a"], ["put", "a", 2], ["scan", "", "", 5], ["history", "a", 1]])
def test_a_damaged_record_is_never_signed_again(world: World, steps: list[Any]) -> None:
    """A value altered at rest, its hash left: nothing comes out, and the party halts."""
    fill(world, "a")
    versions = world.history[RecordKey("notes", "a")]
    versions[0] = versions[0]._replace(value=b'"X"')
    with pytest.raises(DamagedRecordError) as raised:
        world.run(notes(steps))
    assert raised.value.code == "store.damaged"


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
    world.register("def execute(argument):\n    for i in range(argument[0]):\n        put('mine', str(i), 'x' * argument[1])\n")
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
    "loop", ["get('bank', 'a')", "caller()", "ordered_at()", "history('bank', 'a', 1)", "invoke('nothing/1', None)"]
)
def test_calls_cost_steps(world: World, loop: str) -> None:
    """A million calls are too many, whichever they are."""
    world.register("def execute(argument):\n    return 0\n", "nothing")
    world.register(f"def execute(argument):\n    for i in range(argument):\n        {loop}\n")
    (few,) = world.run(call("test", 500))
    (many,) = world.run(call("test", 1_000_000))
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
        (call("notes", [], contract_version=2), "contract.unknown", ["entity/admin/key/1", "contract/notes/2"]),
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


@pytest.mark.parametrize("call_text", ["put('sys', 'x', 1)", "delete('sys', 'entity/admin')", "put('sys', 'entity/x/key/1', {})"])
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
    world.register("def execute(argument):\n    mine = [0]\n    theirs = invoke('append/1', mine)\n    return [mine, theirs]\n")
    assert output(world.do("test", None)) == [[0], [0, 1]]
    world.register("def execute(argument):\n    return invoke('append/1', [1 << 60])\n", version=2)
    assert world.do("test", None, contract_version=2).code == "contract.value"
    world.register("def execute(argument):\n    return invoke('append/1', ['x' * 40000])\n", version=3)
    assert world.do("test", None, contract_version=3).code == "contract.output_too_large"


def test_failure_inside_fails_the_whole(world: World) -> None:
    """There is no catching: the request ends with the inner code and text, and writes nothing."""
    world.register("def execute(argument):\n    invoke('notes/1', [['put', 'a', 1]])\n    invoke('notes/1', [['fail', 'inner']])\n")
    result = world.do("test", None)
    assert (result.code, result.fail_text, result.writes) == ("contract.failed", "inner", ())


def test_inner_and_outer_see_one_state(world: World) -> None:
    """What the inner one wrote, the outer one reads, and both are one request."""
    world.register("def execute(argument):\n    invoke('notes/1', [['put', 'a', 7]])\n    return get('notes', 'a')\n")
    result = world.do("test", None)
    assert output(result) == 7
    assert [read.key for read in result.reads if read.namespace == "sys"] == [
        "entity/admin/key/1",
        "contract/test/1",
        "contract/notes/1",
        "namespace/notes",
    ]


def test_no_recursion(world: World) -> None:
    """A contract that is running is not invoked again, directly or on a detour."""
    world.register("def execute(argument):\n    return invoke(argument[0], argument[1:])\n", "a")
    world.register("def execute(argument):\n    return invoke(argument[0], argument[1:])\n", "b")
    assert world.do("a", ["a/1"]).code == "contract.value"
    assert world.do("a", ["b/1", "a/1"]).code == "contract.value"


def test_nesting_ends(world: World) -> None:
    """Eight contracts deep, the first included."""
    world.register("def execute(argument):\n    return 'end'\n", "c1")
    for level in range(2, 10):
        world.register(f"def execute(argument):\n    return invoke('c{level - 1}/1', None)\n", f"c{level}")
    assert output(world.do("c8", None)) == "end"
    assert world.do("c9", None).code == "contract.value"


# --- portions ---


def test_records_sent_along_are_not_fetched(world: World) -> None:
    """A batch that brings everything needs no round trip."""
    fill(world, "a")
    keys = [public_key_key("admin", 1), contract_key("notes", 1), namespace_key("notes"), RecordKey("notes", "a")]
    keys.append(RecordKey("notes", "new"))
    world.fetched.clear()
    made = world.batch(notes(["get", "a"], ["put", "new", 1]), records={key: world.current(key) for key in keys})
    (result,) = world.executor.run(made, world)
    assert isinstance(result, Execution)
    assert result.status == "ok"
    assert world.fetched == []


def test_a_runner_keeps_nothing_between_batches(world: World) -> None:
    """The same batch gives the same results, whatever was run before."""
    made = world.batch(notes(["put", "a", 1], ["get", "a"]), notes(["fail", "x"]), notes(["scan", "", "", 3]))
    first = world.executor.run(made, world)
    world.executor.run(world.batch(notes(["put", "a", 9]), call("nothing", None)), world)
    assert world.executor.run(made, world) == first == Runner(Limits()).run(made, world)
