"""Checking attachments in C says that they hold where its Python twin does, and only there."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.updates import UpdateError, check_attachments
from protocol.hashing import ZERO_HASH, tagged
from protocol.native import NATIVE
from protocol.records import RecordKey, record_hash
from schemas.outcome import Outcome, ReadPin, WritePin
from schemas.statement import Decision
from tests.unit.learners.test_updates import LEDGER, columns, outcomes
from tests.worlds import World

pytestmark = pytest.mark.skipif(NATIVE is None, reason="no hashing in C here; tests/compiled runs these with it")

Columns = tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]


def hold(ledger_id: bytes, attached: Columns) -> bool:
    assert NATIVE is not None
    return NATIVE.attachments_hold(ledger_id, *attached)


def parts_of(decision: Decision) -> Columns:
    return decision.outcomes, decision.outputs, decision.values


def writing(
    key: str,
    previous_hash: bytes,
    *reads: ReadPin,
    namespace: str = "object",
    deleted: bool = False,
    value: bytes = b"1",
) -> Columns:
    """One outcome with these reads, and a write of a record on top of a hash."""
    hashed = record_hash(LEDGER, RecordKey(namespace, key), 2, deleted, value, ZERO_HASH, previous_hash)
    outcome = Outcome(
        index=0,
        request_id=ZERO_HASH,
        entity="admin",
        key_version=1,
        contract="object.put",
        contract_version=1,
        status="ok",
        code="",
        fail_text="",
        output_hash=tagged("output", b"null"),
        reads=reads,
        scans=(),
        writes=(WritePin(namespace, key, 2, deleted, hashed),),
    )
    return (outcome.to_bytes(),), (b"null",), (value,)


def read(key: str, pinned: bytes = LEDGER) -> ReadPin:
    return ReadPin("object", key, 1, 0, 0, pinned)


def decided() -> tuple[World, Decision]:
    """A batch of several requests that read and write, one of which fails."""
    world = World()
    fails = world.request("object.delete", {"key": "nothing"})
    return world, world.decide(world.put("a", 1), world.put("b", [2, "two"]), fails, world.get("a"), world.put("a", 3))


def test_what_parties_usually_decide_holds() -> None:
    """It is judged here and not left to the twin; an empty batch, too."""
    world, decision = decided()
    assert hold(world.ledger_id, parts_of(decision))
    assert hold(world.ledger_id, ((), (), ()))


@pytest.mark.parametrize("key", ["k" * 63, "k" * 64, "k" * 1024])
def test_long_names_hold(key: str) -> None:
    """Written and deleted: that their length takes two bytes makes them no rare ones."""
    world = World()
    decision = world.decide(world.put(key, 1), world.request("object.delete", {"key": key}))
    assert decision.values[-1] == b""
    assert hold(world.ledger_id, parts_of(decision))


def test_each_byte_counts() -> None:
    """Of the pinned hashes, of what they are over, and of all that says where they stand: where one is changed, it does
    not hold, or the twin lets it pass as well, because the field pins nothing here.
    """
    world, decision = decided()
    whole = parts_of(decision)
    seen = {True: 0, False: 0}
    for column, parts in enumerate(whole):
        for row, part in enumerate(parts):
            for at in range(len(part)):
                altered = part[:at] + bytes((part[at] ^ 0x11,)) + part[at + 1 :]
                changed = (*parts[:row], altered, *parts[row + 1 :])
                attached: Columns = (*whole[:column], changed, *whole[column + 1 :])  # type: ignore[assignment]
                seen[hold(world.ledger_id, attached)] += 1
                if hold(world.ledger_id, attached):
                    check_attachments(world.ledger_id, *attached)
    assert min(seen.values()) > 50


def test_numbers_in_a_longer_form() -> None:
    """Avro's numbers can be written with zeros at their end: wherever the twin refuses that, it does not hold."""
    world, decision = decided()
    whole, outputs, values = parts_of(decision)
    held = 0
    for row, body in enumerate(whole):
        for at, byte in enumerate(body):
            longer = body[:at] + bytes((byte | 0x80, 0)) + body[at + 1 :]
            altered = (*whole[:row], longer, *whole[row + 1 :]), outputs, values
            if hold(world.ledger_id, altered):
                held += 1
                check_attachments(world.ledger_id, *altered)
    assert held > 20


@pytest.mark.parametrize(("count", "judged_here"), [(64, True), (65, False), (66, False)])
def test_as_many_reads_as_the_limits_allow(count: int, judged_here: bool) -> None:
    """The first and the last of them are written upon. Where a ledger allows more, the twin judges those."""
    for key in ("0", str(count - 1)):
        attached = writing(key, LEDGER, *(read(str(number)) for number in range(count)))
        check_attachments(LEDGER, *attached)
        assert hold(LEDGER, attached) == judged_here


def test_of_two_reads_of_a_record_the_last_counts() -> None:
    """As in the twin; no party pins one twice."""
    other = tagged("output", b"other")
    reads = read("k", other), read("l"), read("k")
    check_attachments(LEDGER, *writing("k", LEDGER, *reads))
    assert hold(LEDGER, writing("k", LEDGER, *reads))
    with pytest.raises(UpdateError):
        check_attachments(LEDGER, *writing("k", other, *reads))
    assert not hold(LEDGER, writing("k", other, *reads))


@pytest.mark.parametrize(("deleted", "value"), [(True, b"1"), (False, b"")])
def test_deletions_have_no_value_and_all_else_has_one(deleted: bool, value: bytes) -> None:
    """Even where the hash is over just that."""
    attached = writing("k", LEDGER, read("k"), deleted=deleted, value=value)
    assert not hold(LEDGER, attached)
    with pytest.raises(UpdateError):
        check_attachments(LEDGER, *attached)


@pytest.mark.parametrize(("namespace", "key"), [("clés", "k"), ("object", "clé")])
def test_written_names_beyond_ascii_are_left_to_the_twin(namespace: str, key: str) -> None:
    """It says whether they are UTF-8."""
    attached = writing(key, LEDGER, ReadPin(namespace, key, 1, 0, 0, LEDGER), namespace=namespace)
    check_attachments(LEDGER, *attached)
    assert not hold(LEDGER, attached)


def test_a_write_without_its_read_is_left_to_the_twin() -> None:
    """Whatever its hash is upon: nobody makes one."""
    for previous_hash in (ZERO_HASH, LEDGER):
        assert not hold(LEDGER, writing("k", previous_hash, read("l", previous_hash)))


@pytest.mark.parametrize("column", [0, 1, 2])
def test_one_more_or_one_less(column: int) -> None:
    """Outcomes and outputs are as many, and each write has its value."""
    world, decision = decided()
    whole = list(parts_of(decision))
    for parts in (whole[column][:-1], (*whole[column], whole[column][-1])):
        other = [*whole[:column], parts, *whole[column + 1 :]]
        assert not hold(world.ledger_id, (other[0], other[1], other[2]))


@given(made=st.lists(outcomes(), min_size=1, max_size=3), data=st.data())
def test_it_never_holds_where_the_twin_refuses(
    made: list[tuple[bytes, bytes, list[bytes]]], data: st.DataObject
) -> None:
    """Honest outcomes of every kind, and with bytes cut out and put in anywhere."""
    bodies, outputs, values = columns(made)
    row = data.draw(st.integers(0, len(bodies) - 1))
    start = data.draw(st.integers(0, len(bodies[row])))
    end = min(len(bodies[row]), start + data.draw(st.integers(0, 40)))
    bodies[row] = bodies[row][:start] + data.draw(st.binary(max_size=12)) + bodies[row][end:]
    attached = tuple(bodies), tuple(outputs), tuple(values)
    if hold(LEDGER, attached):
        check_attachments(LEDGER, *attached)


@given(bodies=st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_any_bytes(bodies: list[bytes]) -> None:
    """Nothing is read beyond their end, whatever lengths and counts they name."""
    far = [b"\xff" * 9 + b"\x01", b"\xfe" * 8 + b"\x7f", b"\x80" * 20, b"\xfc\xff\xff\xff\x0f"]
    for body in (*bodies, *(bytes(32) + number for number in far), *(b"\0" + bytes(32) + number for number in far)):
        with suppress(ValueError):
            assert not hold(LEDGER, ((body,), (b"",), ()))
