"""A batch closes at its last byte, and what an execution takes in a decision is counted in all its parts."""

from dataclasses import replace

import pytest

from protocol.contracts.calls import Execution, Read, Rejected, Row, Scan, Write
from protocol.contracts.execution import Runner, bytes_in_decision, execute
from protocol.contracts.names import contract_key, public_key_key
from protocol.hashing import ZERO_HASH
from protocol.limits import READ_BYTES, REQUEST_BYTES, ROW_BYTES, SCAN_BYTES, WRITE_BYTES
from protocol.records import ABSENT, RecordKey, successor
from tests.unit.protocol.contract_world import LEDGER_ID, LIMITS, World, call, hosts_alive

READ = Read("space", "abc", 1, 0, 0, ZERO_HASH)
ROW = Row("abcd", 1, 0, 0, ZERO_HASH)
SCAN = Scan("space", "ab", "xyz", 9, "xyz", True, ())
WRITE = Write("space", "a", ABSENT._replace(value=b"12345"))
NOTHING = Execution(0, "ok", "", "", b"", (), (), ())
CALL = REQUEST_BYTES + 2 * LIMITS.name_bytes
NAMES = 2 * (5 + 3)


@pytest.mark.parametrize(
    ("execution", "size"),
    [
        (NOTHING, 0),
        (NOTHING._replace(output=b"123"), 3),
        (NOTHING._replace(fail_text="123"), 3),
        (NOTHING._replace(fail_text="1\U0001f511"), 5),
        (NOTHING._replace(writes=(WRITE, WRITE)), 2 * (WRITE_BYTES + 2 * (5 + 1) + 5)),
        (NOTHING._replace(writes=(WRITE._replace(namespace="é", key="\U0001f511"),)), WRITE_BYTES + 2 * (2 + 4) + 5),
        (NOTHING._replace(reads=(READ, READ)), 2 * (READ_BYTES + NAMES)),
        (NOTHING._replace(reads=(READ._replace(key="éé"),)), READ_BYTES + 2 * (5 + 4)),
        (NOTHING._replace(scans=(SCAN,)), SCAN_BYTES + 2 * (5 + 2 + 3 + 3)),
        (
            NOTHING._replace(scans=(SCAN._replace(rows=(ROW, ROW._replace(key="é"))), SCAN)),
            2 * (SCAN_BYTES + 26) + 2 * ROW_BYTES + 2 * (4 + 2),
        ),
    ],
)
def test_what_counts(execution: Execution, size: int) -> None:
    """Output, values, text, versions read, written and scanned with their names, scans with their bounds, in UTF-8."""
    assert bytes_in_decision(execution, LIMITS) == CALL + size


def test_a_batch_is_full_at_its_last_byte() -> None:
    """What fills it exactly is of it, a byte more is not; how many fit does not depend on what follows."""
    world = World()
    world.register("def execute(argument):\n    return 'x' * argument\n")
    calls = [call("test", 1_000) for _ in range(4)]
    first, *_ = Runner(LIMITS).run(world.batch(*calls), world)
    assert isinstance(first, Execution)
    size = bytes_in_decision(first, LIMITS)
    for room, fit in ((2 * size - 1, 1), (2 * size, 2), (2 * size + 1, 2), (3 * size, 3), (4 * size, 4)):
        limits = replace(LIMITS, request_output_bytes=1_100, value_bytes=1_000, batch_output_bytes=room)
        assert len(Runner(limits).run(world.batch(*calls), world)) == fit


@pytest.mark.parametrize(("output", "code"), [(1_098, ""), (1_099, "contract.output_too_large")])
@pytest.mark.parametrize("value", [0, 500])
def test_output_and_values_of_one_request(output: int, code: str, value: int) -> None:
    """Together as many bytes as the limit says, whichever of the two they are; what is too large writes nothing."""
    world = World()
    world.do("sys.namespace.create", {"namespace": "mine"})
    world.register(
        "def execute(argument):\n"
        "    if argument[0]: put('mine', 'a', 'x' * (argument[0] - 2))\n"
        "    return 'x' * argument[1]\n"
    )
    world.executor = Runner(replace(LIMITS, request_output_bytes=1_100, value_bytes=1_000))
    result = world.do("test", [value, output - value])
    assert result.code == code
    assert (result.output == b"") is bool(code)
    assert (world.value("mine", "a") is None) is (bool(code) or not value)


@pytest.mark.parametrize(
    ("where", "code"),
    [(public_key_key("admin", 1), "entity.key_revoked"), (contract_key("object.get", 1), "contract.unknown")],
    ids=["key", "contract"],
)
def test_a_registration_that_was_deleted(where: RecordKey, code: str) -> None:
    """Nothing deletes from the registry; were it so, the request is rejected as with one that is gone for good."""
    world = World()
    before = world.current(where)
    deleted = successor(LEDGER_ID, where, before, None, request_id=ZERO_HASH, writer_sequence=0, writer_index=0)
    world.history[where].append(deleted)
    (result,) = world.run(call("object.get", {"key": "a"}))
    assert isinstance(result, Rejected)
    assert (result.code, result.final) == (code, True)
    assert result.reads[-1][:3] == (*where, 2)


def test_what_is_executed_once_leaves_nothing_behind() -> None:
    """Neither compiled contracts nor the engine: whoever judges evidence executes any number of batches."""
    world = World()
    world.register("def execute(argument):\n    return argument\n")
    batch = world.batch(call("test", 1))
    before = hosts_alive()
    (result,) = execute(batch, world, LIMITS)
    assert isinstance(result, Execution)
    assert hosts_alive() == before
