"""What an update holds is what both parties signed: no output, no value and no leaf of it can be another."""

from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.updates import UpdateError, check_content, unsigned_parts, update_bytes
from protocol import merkle
from protocol.countersigned import check_parts
from protocol.hashing import ZERO_HASH, tagged
from protocol.records import RecordKey, record_hash
from schemas.outcome import Outcome, ReadPin, RowPin, ScanPins, WritePin
from schemas.statement import Decision
from tests.worlds import World

LEDGER = tagged("genesis", b"ledger")

hashes = st.binary(min_size=32, max_size=32)
names = st.text(max_size=5) | st.text(min_size=60, max_size=140)
numbers = st.sampled_from([-1, 0, 1, 63, 64, 8191, 8192, 2**31, 2**62])
values = st.binary(min_size=1, max_size=5) | st.binary(min_size=130, max_size=140)
reads = st.lists(st.builds(ReadPin, names, names, numbers, numbers, numbers, hashes), max_size=4)
rows = st.lists(st.builds(RowPin, names, numbers, numbers, numbers, hashes), max_size=3).map(tuple)
scans = st.lists(
    st.builds(ScanPins, names, names, names, numbers, names, st.booleans(), rows), max_size=2
).map(tuple)


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[bytes, bytes, list[bytes]]:
    """An outcome's bytes with its output and values, as an honest party makes them."""
    request_id, output = draw(hashes), draw(st.binary(max_size=9))
    read = {(pin.namespace, pin.key): pin for pin in draw(reads)}
    written, attached = [], []
    for place in draw(st.sets(st.sampled_from(sorted(read)))) if read else ():
        version = draw(st.integers(1, 2**63 - 1))
        deleted = draw(st.booleans())
        value = b"" if deleted else draw(values)
        previous = read[place].record_hash
        key = RecordKey(*place)
        hashed = record_hash(LEDGER, key, version, deleted, value, request_id, previous)
        written.append(WritePin(*place, version, deleted, hashed))
        attached.append(value)
    outcome = Outcome(
        index=draw(numbers),
        request_id=request_id,
        entity=draw(names),
        key_version=draw(numbers),
        contract=draw(names),
        contract_version=draw(numbers),
        status=draw(st.sampled_from(["ok", "failed"])),
        code=draw(names),
        fail_text=draw(names),
        output_hash=tagged("output", output),
        reads=tuple(read.values()),
        scans=draw(scans),
        writes=tuple(written),
    )
    return outcome.to_bytes(), output, attached


def columns(made: list[tuple[bytes, bytes, list[bytes]]]) -> tuple[list[bytes], list[bytes], list[bytes]]:
    return [row[0] for row in made], [row[1] for row in made], [value for row in made for value in row[2]]


@cache
def decided(*requests: int) -> tuple[World, Decision]:
    world = World()
    return world, world.decide(*(world.put(f"key {number}", number) for number in requests))


def check(ledger_id: bytes, bodies: list[bytes], outputs: list[bytes], attached: list[bytes]) -> None:
    """Check what two parties signed that agree on anything."""
    world, decision = decided()
    checked = check_parts(decision.signed, world.epochs)
    statement = replace(
        checked.statement, ledger_id=ledger_id, count=len(bodies), outcomes_root=merkle.root(bodies)
    )
    header = replace(checked.header, count=len(bodies), entries_root=merkle.root(bodies))
    content = replace(
        decision,
        entries=tuple(bodies),
        outcomes=tuple(bodies),
        outputs=tuple(outputs),
        values=tuple(attached),
    )
    check_content(content, statement, header)


@given(made=st.lists(outcomes(), max_size=3))
def test_what_honest_parties_attach_passes(made: list[tuple[bytes, bytes, list[bytes]]]) -> None:
    """Names, numbers and values of every length, scans, deletions, nothing at all."""
    check(LEDGER, *columns(made))


@given(made=st.lists(outcomes(), min_size=1, max_size=3), data=st.data())
def test_nothing_else_passes(made: list[tuple[bytes, bytes, list[bytes]]], data: st.DataObject) -> None:
    """Any output or value altered, missing, added or exchanged."""
    bodies, outputs, attached = columns(made)
    kinds = ["output", "more values", "ledger"]
    kinds += ["value", "fewer values", "emptied", "swapped"] * bool(attached)
    kind = data.draw(st.sampled_from(kinds))
    ledger_id = LEDGER
    at = data.draw(st.integers(0, len(attached) - 1)) if attached else 0
    match kind:
        case "output":
            at = data.draw(st.integers(0, len(outputs) - 1))
            outputs[at] += b"x"
        case "more values":
            attached.append(b"")
        case "value":
            attached[at] += b"x"
        case "fewer values":
            attached.pop()
        case "emptied":
            attached[at] = b"" if attached[at] else b"x"
        case "swapped" if len(attached) > 1 and attached[0] != attached[-1]:
            attached[0], attached[-1] = attached[-1], attached[0]
        case _ if attached:
            ledger_id = ZERO_HASH
        case _:
            outputs[0] += b"x"
    with pytest.raises(UpdateError):
        check(ledger_id, bodies, outputs, attached)


@given(made=outcomes(), data=st.data())
def test_outcomes_of_no_party_raise_only_the_one_error(
    made: tuple[bytes, bytes, list[bytes]], data: st.DataObject
) -> None:
    """If both parties lie, whatever they signed as an outcome hangs or crashes nobody."""
    body, output, attached = made
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, len(body)))
    hostile = body[:start] + data.draw(st.binary(max_size=12)) + body[end:]
    with suppress(UpdateError):
        check(LEDGER, [hostile], [output], attached)
    for rubbish in (data.draw(st.binary(max_size=80)), b"\xff" * 40, b"\xfe" * 90):
        with pytest.raises(UpdateError):
            check(LEDGER, [rubbish], [b"no output of this"], [b"x"])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_update_is_its_decision_without_signatures(count: int) -> None:
    """Cut out of the decision's bytes, it is what its own schema encodes."""
    world, decision = decided(*range(count))
    assert update_bytes(decision, decision.to_bytes()) == world.updates[0].to_bytes()


@pytest.mark.parametrize("field", ["entries", "outcomes", "outputs", "values"])
@pytest.mark.parametrize("change", ["drop", "double", "alter", "swap"])
def test_no_part_of_a_decision_can_be_another(field: str, change: str) -> None:
    """What a broker may do to a decision whose signatures stay good: it always shows."""
    world, decision = decided(1, 2)
    checked = check_parts(decision.signed, world.epochs)
    check_content(decision, checked.statement, checked.header)
    parts = list(getattr(decision, field))
    match change:
        case "drop":
            parts.pop()
        case "double":
            parts.append(parts[-1])
        case "alter":
            parts[1] = parts[1][:-1] + bytes([parts[1][-1] ^ 1]) if parts[1] else b"x"
        case "swap":
            parts = [parts[1], parts[0] if parts[0] != parts[1] else b"another"]
    changed: dict[str, Any] = {field: tuple(parts)}
    with pytest.raises(UpdateError):
        check_content(replace(decision, **changed), checked.statement, checked.header)


def test_an_update_whose_parts_do_not_agree_is_none() -> None:
    """Statement, header and salt belong together, without any signature."""
    world, _ = decided(1)
    world.decide(world.put("key", 2))
    first, second = world.updates[0], world.updates[1]
    unsigned_parts(first, world.epochs)
    for mixed in (
        replace(first, salt=second.salt),
        replace(first, header=second.header),
        replace(first, statement=second.statement),
        replace(first, statement=b""),
    ):
        with pytest.raises(UpdateError):
            unsigned_parts(mixed, world.epochs)
