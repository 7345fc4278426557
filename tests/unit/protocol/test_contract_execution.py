"""What contracts can do, what they cannot, and what is recorded of it."""

from typing import Any

import pytest

from protocol.contracts.calls import Execution, Read, Rejected, Row
from protocol.contracts.execution import Runner
from protocol.contracts.names import contract_key, namespace_key, public_key_key
from protocol.limits import Limits
from protocol.records import ABSENT, DamagedRecordError, RecordKey, record_hash
from tests.unit.protocol.contract_world import LEDGER_ID, World, call, notes, notes_world, output


@pytest.fixture
def world() -> World:
    """A ledger with a namespace `notes` and a contract `notes` that does what its argument says."""
    return notes_world()


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
    assert (one.namespace, one.key, one.record.version, one.record.previous_hash) == (
        "notes",
        "a",
        1,
        bytes(32),
    )
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
    assert [(write.key, write.record.value) for write in result.writes] == [
        ("b", b'{"a":2,"z":1}'),
        ("a", b"1"),
    ]


def test_deleting(world: World) -> None:
    """What exists becomes a tombstone; what does not, and what was only about to, writes nothing."""
    world.do("notes", [["put", "a", 1]])
    result = world.do(
        "notes", [["delete", "a"], ["delete", "nothing"], ["put", "new", 1], ["delete", "new"], ["get", "a"]]
    )
    assert output(result) is None
    assert [(write.key, write.record.version, write.record.deleted) for write in result.writes] == [
        ("a", 2, True)
    ]
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
def test_a_failure_writes_nothing_and_keeps_its_reads(
    world: World, end: list[Any], code: str, text: str
) -> None:
    """Nothing of the call remains but its reads, a stable code, and the text of `fail`."""
    argument = [["get", "seen"], ["put", "seen", 1], end]
    result = Runner(Limits(argument_bytes=64 * 1024)).run(
        world.batch(call("notes", []), call("notes", argument)), world
    )[1]
    assert isinstance(result, Execution)
    assert (result.status, result.code, result.fail_text, result.output) == ("failed", code, text, b"")
    assert (result.writes, result.index) == ((), 1)
    assert ("seen", 0) in note_reads(result)


def test_a_failure_does_not_touch_its_neighbours(world: World) -> None:
    """Calls before and after a failed one keep their effects; the next sees nothing of it."""
    world.run(
        notes(["put", "a", 1]), notes(["put", "a", 2], ["fail", "no"]), notes(["put", "b", 1], ["get", "a"])
    )
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
    loop = "for _ in range(argument):\n        value = [value]"
    world.register(f"def execute(argument):\n    value = 1\n    {loop}\n    return value\n")
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
    altered = record_hash(
        LEDGER_ID, RecordKey("notes", "a"), 1, False, b"9", old.request_id, old.previous_hash
    )
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


# --- portions ---


def test_records_sent_along_are_not_fetched(world: World) -> None:
    """A batch that brings everything needs no round trip."""
    fill(world, "a")
    keys = [
        public_key_key("admin", 1),
        contract_key("notes", 1),
        namespace_key("notes"),
        RecordKey("notes", "a"),
    ]
    keys.append(RecordKey("notes", "new"))
    world.fetched.clear()
    made = world.batch(
        notes(["get", "a"], ["put", "new", 1]), records={key: world.current(key) for key in keys}
    )
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
