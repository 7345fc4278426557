"""What looks like a statement or outcome at fault, and is none."""

import pytest

from protocol.evidence import build
from protocol.evidence.verdicts import Finding, Role
from protocol.hashing import tagged
from protocol.journal import Head
from protocol.merkle import Frontier
from schemas.outcome import ReadPin
from tests.gallery.hanging import A, alter_outcome, alter_pin, judge, order_of, started
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
