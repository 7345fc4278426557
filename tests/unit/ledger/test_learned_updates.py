"""Updates that somebody else gives back: each must be the Ledger's own history, and lead to a signed statement."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ledger.learned_updates import LearnedUpdateError, check_updates
from protocol.hashing import ZERO_HASH, tagged
from protocol.journal import Head
from protocol.signatures import commitment, order_hash
from schemas.order import OrderHeader
from schemas.statement import Countersigned, Statement, Update
from tests.unit.learners.cluster import verifies
from tests.worlds import World

LAST = 5


@pytest.fixture(scope="module")
def world() -> World:
    """Six decided batches of two requests."""
    world = World()
    for value in range(LAST + 1):
        world.decide(world.put("a", value), world.put("b", value))
    return world


def head_at(world: World, sequence: int) -> Head:
    """The Ledger's head after a sequence."""
    head = Head.start()
    for number in range(sequence + 1):
        head = head.advance(world.updates[number].statement)
    return head


def bodies(world: World, *sequences: int) -> list[bytes]:
    return [world.updates[sequence].to_bytes() for sequence in sequences]


def last_of(world: World, sequence: int = LAST) -> Countersigned:
    return world.decisions[sequence].signed


@pytest.mark.parametrize("above", range(-1, LAST))
def test_updates_are_those_above_the_head(world: World, above: int) -> None:
    """The world's own, with the header and statement of each, and the three signatures of the last."""
    found, end = check_updates(head_at(world, above), bodies(world, *range(LAST + 1)), last_of(world), world.epochs)
    assert [each.update for each in found] == [world.updates[sequence] for sequence in range(above + 1, LAST + 1)]
    for each in found:
        assert each.checked.statement == Statement.from_bytes(each.update.statement)
        assert each.checked.header == OrderHeader.from_bytes(each.update.header)
    assert end.statement == Statement.from_bytes(last_of(world).statement)
    assert len(end.checks) == 3
    assert all(map(verifies, end.checks))


def test_nothing_is_new_where_the_head_is_the_end(world: World) -> None:
    """Which is no contradiction."""
    head = head_at(world, LAST)
    assert check_updates(head, bodies(world, 4, 5), last_of(world), world.epochs)[0] == []
    assert check_updates(head, [], last_of(world), world.epochs)[0] == []


Given = tuple[list[bytes], Countersigned]


def changed(world: World, sequence: int, **changes: Any) -> Given:
    """All updates, one of them changed."""
    given = bodies(world, *range(LAST + 1))
    given[sequence] = replace(world.updates[sequence], **changes).to_bytes()
    return given, last_of(world)


def restated(world: World, **changes: Any) -> Given:
    """All updates, with another statement in the third."""
    statement = replace(Statement.from_bytes(world.updates[2].statement), **changes)
    return changed(world, 2, statement=statement.to_bytes())


def reordered(world: World, **changes: Any) -> Given:
    """All updates, with another header in the last, and a statement that names it."""
    update = world.updates[LAST]
    header = replace(OrderHeader.from_bytes(update.header), **changes).to_bytes()
    statement = replace(Statement.from_bytes(update.statement), order_hash=order_hash(header)).to_bytes()
    return changed(world, LAST, header=header, statement=statement)


def _swapped(update: Update, part: str) -> dict[str, tuple[bytes, ...]]:
    return {part: getattr(update, part)[::-1]}


WRONG: dict[str, tuple[str, Callable[[World], Given]]] = {
    "one is missing": (
        "journal.sequence",
        lambda world: (bodies(world, 0, 1, 3, 4, 5), last_of(world)),
    ),
    "the first are missing": ("journal.sequence", lambda world: (bodies(world, 2, 3, 4, 5), last_of(world))),
    "the last is missing": ("do not lead", lambda world: (bodies(world, 0, 1, 2, 3, 4), last_of(world))),
    "they go beyond the end": ("do not lead", lambda world: (bodies(world, 0, 1, 2, 3), last_of(world, 2))),
    "there are none": ("do not lead", lambda world: ([], last_of(world))),
    "rubbish": ("beyond the end", lambda world: ([b"rubbish"], last_of(world))),
    "entries turned round": (
        "the entries are not the ordered ones",
        lambda world: changed(world, 2, **_swapped(world.updates[2], "entries")),
    ),
    "an entry less": ("entries are missing", lambda world: changed(world, 2, entries=world.updates[2].entries[1:])),
    "outcomes turned round": (
        "the outcomes are not the signed ones",
        lambda world: changed(world, 2, **_swapped(world.updates[2], "outcomes")),
    ),
    "an outcome less": (
        "the outcomes are not the signed ones",
        lambda world: changed(world, 2, outcomes=world.updates[2].outcomes[:1]),
    ),
    "another salt": ("statement.commitment", lambda world: changed(world, 2, salt=bytes(32))),
    "another header": ("statement.order", lambda world: changed(world, 2, header=world.updates[1].header)),
    "another predecessor": (
        "journal.predecessor",
        lambda world: restated(world, previous_statement_hash=ZERO_HASH),
    ),
    "another root": ("journal.root", lambda world: restated(world, journal_root=tagged("statement", b""))),
    "another ledger": ("statement.ledger", lambda world: restated(world, ledger_id=tagged("genesis", b""))),
    "an epoch that is not there": ("epoch.unknown", lambda world: restated(world, epoch=3)),
    "the last from another order": (
        "do not lead",
        lambda world: reordered(world, previous_order_hash=ZERO_HASH),
    ),
    "a statement at the end that is none": (
        "statement.malformed",
        lambda world: (bodies(world, *range(LAST + 1)), last_of(world)._replace(statement=b"rubbish")),
    ),
    "an end that does not open its commitment": (
        "statement.commitment",
        lambda world: (bodies(world, *range(LAST + 1)), last_of(world)._replace(salt=bytes(32))),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_the_ledgers_own_history_is_not_taken(world: World, name: str) -> None:
    """It says what is wrong, and gives nothing back."""
    said, make = WRONG[name]
    given, last = make(world)
    with pytest.raises(LearnedUpdateError, match=said):
        check_updates(Head.start(), given, last, world.epochs)


def test_another_history_of_the_same_parties_is_not_taken(world: World) -> None:
    """It is whole and signed by both, but the Ledger's head is on another one."""
    other = World()
    for value in range(LAST + 1):
        other.decide(other.put("a", value + 1))
    with pytest.raises(LearnedUpdateError, match=r"journal\.predecessor"):
        check_updates(
            head_at(world, 2),
            bodies(other, *range(LAST + 1)),
            last_of(other),
            world.epochs,
        )


def test_what_the_head_covers_is_not_looked_at_again(world: World) -> None:
    """A block reaches below the head; that part was checked when it came in, and its entries are of no use."""
    given = bodies(world, *range(LAST + 1))
    given[1] = replace(world.updates[1], entries=(), outcomes=()).to_bytes()
    found, _ = check_updates(head_at(world, 1), given, last_of(world), world.epochs)
    assert [each.checked.statement.sequence for each in found] == [2, 3, 4, 5]


def test_epochs_are_followed_across_their_cut() -> None:
    """Each statement by the configuration of its own epoch; one above its epoch's cut is none."""
    world = World()
    world.decide(world.put("a", 1))
    world.begin_epoch(auditor="new auditor")
    world.decide(world.put("a", 2))
    found, end = check_updates(Head.start(), bodies(world, 0, 1), last_of(world, 1), world.epochs)
    assert [each.checked.statement.epoch for each in found] == [0, 1]
    assert all(map(verifies, end.checks))
    update = world.updates[1]
    header = replace(OrderHeader.from_bytes(update.header), epoch=0)
    statement = replace(Statement.from_bytes(update.statement), epoch=0, order_hash=order_hash(header.to_bytes()))
    assert header.commitment == commitment(update.salt, statement.outcomes_root)
    above = replace(update, header=header.to_bytes(), statement=statement.to_bytes())
    with pytest.raises(LearnedUpdateError, match=r"epoch\.cut"):
        check_updates(Head.start(), [*bodies(world, 0), above.to_bytes()], last_of(world, 1), world.epochs)
