"""What looks like a statement or outcome at fault, and is none."""

from typing import Any

import pytest

from protocol.evidence import build
from protocol.evidence.verdicts import Finding, Role
from protocol.hashing import tagged
from protocol.journal import Head
from protocol.merkle import Frontier
from protocol.records import RecordKey
from schemas.outcome import Outcome, ReadPin, WritePin
from tests.gallery.hanging import A, alter_outcome, alter_pin, judge, order_of, started
from tests.gallery.orders import register_scanner, scan
from tests.gallery.outcomes import FALSE_HASH, Signed

ROLES = pytest.mark.parametrize("role", ["ledger", "auditor"])


def verdict_on(signed: Signed, claim: str, *parts: tuple[str, bytes]) -> Finding:
    """The verdict on a leaf contradiction."""
    shown = signed.exhibit(claim, *parts)
    return judge(shown.evidence, shown.epochs).finding


@ROLES
def test_an_honest_outcome(role: Role) -> None:
    """No claim holds against what an honest party signed."""
    world = started()
    signed = Signed(world, role, world.get("b"), world.put("a", 3), world.get("a"))
    order = ("order", build.order_part(signed.order))
    pins = [build.decided_leaf_part(world.decisions[sequence], 0) for sequence in (0, 1)]
    assert verdict_on(signed, "header", order) is Finding.NOTHING
    for index in range(3):
        leaf, entry = ("leaf", signed.leaf(index)), ("entry", build.entry_part(signed.order, index))
        for claim in ("request", "versions"):
            assert verdict_on(signed, claim, leaf, entry) is Finding.NOTHING
        assert verdict_on(signed, "malformed", leaf) is Finding.NOTHING
        assert verdict_on(signed, "read", leaf) is Finding.NOTHING
        for pin in pins:
            assert verdict_on(signed, "read", leaf, ("pin", pin)) is Finding.NOTHING
        for earlier in range(3):
            pin = signed.leaf(earlier)
            assert verdict_on(signed, "read", leaf, ("earlier leaf", pin)) is Finding.NOTHING


@ROLES
def test_another_entry_or_order_is_not_copied(role: Role) -> None:
    """A leaf need not agree with its neighbour's entry, nor with another order."""
    world = started()
    signed = Signed(world, role, world.get("b"), world.put("a", 3))
    for claim in ("request", "versions"):
        neighbour = ("entry", build.entry_part(signed.order, 1))
        assert verdict_on(signed, claim, ("leaf", signed.leaf(0)), neighbour) is Finding.NOTHING
        other = ("entry", build.entry_part(order_of(world, 1), 0))
        assert verdict_on(signed, claim, ("leaf", signed.leaf(0)), other) is Finding.NOTHING
    other_order = ("order", build.order_part(order_of(world, 1)))
    assert verdict_on(signed, "header", other_order) is Finding.NOTHING


@ROLES
def test_only_the_writer_named_pins_a_read(role: Role) -> None:
    """A version read has the hash its writer gave it; what another place says of that version does not matter."""
    world = started()
    signed = Signed(world, role, world.get("a"))
    pin = build.decided_leaf_part(world.decisions[0], 0)
    assert verdict_on(signed, "read", ("leaf", signed.leaf(0)), ("pin", pin)) is Finding.NOTHING
    signed.alter(alter_outcome(signed.outcomes, 0, reads=alter_pin(signed.outcomes[0], A, FALSE_HASH)))
    assert verdict_on(signed, "read", ("leaf", signed.leaf(0)), ("pin", pin)) is Finding.NOTHING
    assert verdict_on(signed, "read", ("leaf", signed.leaf(0))) is Finding.NOTHING


@ROLES
@pytest.mark.parametrize("changes", [{"writer_index": 1}, {"writer_sequence": 0}], ids=str)
def test_a_pin_is_of_the_place_that_is_named(role: Role, changes: dict[str, Any]) -> None:
    """The version and the false hash are the pin's affair only where the leaf says that it was written there."""
    world = started()
    signed = Signed(world, role, world.get("a"))
    pin = ("pin", build.decided_leaf_part(world.decisions[1], 0))
    false = alter_pin(signed.outcomes[0], A, FALSE_HASH)
    moved = tuple(read._replace(**changes) if read.record_hash == FALSE_HASH else read for read in false)
    signed.alter(alter_outcome(signed.outcomes, 0, reads=moved))
    assert verdict_on(signed, "read", ("leaf", signed.leaf(0)), pin) is Finding.NOTHING
    signed.alter(alter_outcome(signed.outcomes, 0, reads=false))
    assert verdict_on(signed, "read", ("leaf", signed.leaf(0)), pin) is Finding.GUILTY


@ROLES
def test_every_read_of_a_pin_is_compared(role: Role) -> None:
    """Behind one that the pin did not write an altered one is found all the same."""
    world = started()
    world.decide(world.enrol("bob"))
    signed = Signed(world, role, world.request("object.get", {"key": "a"}, "bob"))
    false = alter_pin(signed.outcomes[0], RecordKey("sys", "entity/bob/key/1"), FALSE_HASH)
    signed.alter(alter_outcome(signed.outcomes, 0, reads=(ReadPin("sys", "entity/bob", 9, 2, 0, FALSE_HASH), *false)))
    pin = ("pin", build.decided_leaf_part(world.decisions[2], 0))
    assert verdict_on(signed, "read", ("leaf", signed.leaf(0)), pin) is Finding.GUILTY


@ROLES
def test_a_later_version_of_a_record_of_the_genesis(role: Role) -> None:
    """It has another hash than the first one, and is no altered record."""
    world = started()
    source = "def execute(argument):\n    return get('sys', 'entity/admin/key/1')\n"
    world.decide(world.request("sys.contract.register", {"contract": "peek", "source": source, "version": 1}))
    world.decide(world.enrol("bob"))
    world.decide(world.request("sys.key.revoke", {"entity": "admin", "key_version": 1}))
    signed = Signed(world, role, world.request("peek", {}, "bob"))
    key = RecordKey("sys", "entity/admin/key/1")
    outcome = Outcome.from_bytes(signed.outcomes[0])
    assert [read.version for read in outcome.reads if (read.namespace, read.key) == key] == [2]
    assert verdict_on(signed, "read", ("leaf", signed.leaf(0))) is Finding.NOTHING


@ROLES
def test_only_what_the_genesis_wrote_has_its_hash(role: Role) -> None:
    """A first version that is said to be somebody's is judged by what he wrote, and not by the genesis."""
    world = started()
    signed = Signed(world, role, world.get("a"))
    key = RecordKey("sys", "contract/object.get/1")
    false = alter_pin(signed.outcomes[0], key, FALSE_HASH)
    for sequence, finding in ((-1, Finding.GUILTY), (0, Finding.NOTHING)):
        reads = tuple(r._replace(writer_sequence=sequence) if r.record_hash == FALSE_HASH else r for r in false)
        signed.alter(alter_outcome(signed.outcomes, 0, reads=reads))
        assert verdict_on(signed, "read", ("leaf", signed.leaf(0))) is finding


@ROLES
@pytest.mark.parametrize("part", ["limit", "covered_to", "exhausted", "rows", "reads", "writes"])
def test_every_version_of_an_entry_is_compared(role: Role, part: str) -> None:
    """Those of its scans, and what these covered, as well as those that it read or wrote."""
    world = started()
    register_scanner(world)
    signed = Signed(world, role, scan(world))
    entry = ("entry", build.entry_part(signed.order, 0))
    assert verdict_on(signed, "versions", ("leaf", signed.leaf(0)), entry) is Finding.NOTHING
    outcome = Outcome.from_bytes(signed.outcomes[0])
    (scanned,) = outcome.scans
    other: dict[str, Any] = {"limit": 11, "covered_to": "b", "exhausted": False, "rows": scanned.rows[:1]}
    if part in other:
        changes: dict[str, Any] = {"scans": (scanned._replace(**{part: other[part]}),)}
    else:
        changes = {"reads": outcome.reads[1:]} if part == "reads" else {"writes": (WritePin(*A, 3, False, FALSE_HASH),)}
    signed.alter(alter_outcome(signed.outcomes, 0, **changes))
    assert verdict_on(signed, "versions", ("leaf", signed.leaf(0)), entry) is Finding.GUILTY


@ROLES
@pytest.mark.parametrize("field", ["request_id", "entity", "key_version", "contract", "contract_version"])
def test_every_field_of_a_request_is_compared(role: Role, field: str) -> None:
    """An outcome repeats all five of its request."""
    world = started()
    signed = Signed(world, role, world.get("a"))
    entry = ("entry", build.entry_part(signed.order, 0))
    other = {"request_id": FALSE_HASH, "entity": "bob", "contract": "object.put"}.get(field, 2)
    signed.alter(alter_outcome(signed.outcomes, 0, **{field: other}))
    assert verdict_on(signed, "request", ("leaf", signed.leaf(0)), entry) is Finding.GUILTY


def reads_from_the_future(outcome_bytes: bytes) -> tuple[ReadPin, ...]:
    """The reads of an outcome, with object "a" in the version that sequence 2 writes, and a false hash."""
    return tuple(
        read._replace(version=3, writer_sequence=2, writer_index=0) if read.record_hash == FALSE_HASH else read
        for read in alter_pin(outcome_bytes, A, FALSE_HASH)
    )


@ROLES
def test_a_pin_is_earlier(role: Role) -> None:
    """Neither the leaf itself nor a later one pins what it read."""
    world = started()
    world.decide(world.put("a", 3))
    itself = Signed(world, role, sequence=2)
    itself.alter(alter_outcome(itself.outcomes, 0, reads=reads_from_the_future(itself.outcomes[0])))
    leaf = itself.leaf(0)
    assert verdict_on(itself, "read", ("leaf", leaf), ("earlier leaf", leaf)) is Finding.NOTHING
    before = Signed(world, role, sequence=1)
    before.alter(alter_outcome(before.outcomes, 0, reads=reads_from_the_future(before.outcomes[0])))
    pin = ("pin", build.decided_leaf_part(world.decisions[2], 0))
    assert verdict_on(before, "read", ("leaf", before.leaf(0)), pin) is Finding.NOTHING


@ROLES
def test_a_pin_is_of_an_earlier_sequence(role: Role) -> None:
    """What the same batch wrote is pinned by a leaf under the party's own root, and not by the decision."""
    world = started()
    world.decide(world.put("a", 3), world.get("a"))
    signed = Signed(world, role, sequence=2)
    reads = alter_pin(signed.outcomes[1], A, FALSE_HASH)
    signed.alter(alter_outcome(signed.outcomes, 1, reads=reads))
    leaf, pin = ("leaf", signed.leaf(1)), ("pin", build.decided_leaf_part(world.decisions[2], 0))
    assert verdict_on(signed, "read", leaf, pin) is Finding.NOTHING
    assert verdict_on(signed, "read", leaf, ("earlier leaf", signed.leaf(0))) is Finding.GUILTY


@ROLES
def test_a_journal_must_be_shown_as_it_was(role: Role) -> None:
    """Another statement before, or another frontier, is no ground to judge a journal by."""
    world = started()
    world.decide(world.get("a"))
    signed = Signed(world, role, world.get("b"))
    heads = [Head.start()]
    for decision in world.decisions.values():
        heads.append(heads[-1].advance(decision.signed.statement))
    false = Frontier().append(tagged("salt", b"1")).append(tagged("salt", b"2"))
    for sequence in range(3):
        previous = ("previous", build.decided_part(world.decisions[sequence]))
        assert verdict_on(signed, "predecessor", previous) is Finding.NOTHING
        for frontier in (*(head.frontier for head in heads), false):
            shown = ("frontier", frontier.to_bytes())
            assert verdict_on(signed, "journal root", previous, shown) is Finding.NOTHING
    for claim in ("predecessor", "journal root"):
        assert verdict_on(signed, claim) is Finding.NOTHING
