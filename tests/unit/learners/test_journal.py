"""The journal inside a block: from a head through updates, each of which must follow and hold what it should."""

from dataclasses import replace

import pytest

from learners.journal import follow
from learners.updates import UpdateError
from protocol.hashing import ZERO_HASH
from protocol.journal import Head
from protocol.merkle import Frontier
from schemas.statement import Update
from tests.worlds import World


def decided(count: int = 4, label: str = "key") -> World:
    world = World()
    for number in range(count):
        world.decide(world.put(label, number))
    return world


def bodies(world: World) -> list[bytes]:
    return [world.updates[sequence].to_bytes() for sequence in sorted(world.updates)]


def test_honest_updates_lead_to_the_parties_own_head() -> None:
    """Sequence, statement hash and frontier."""
    world = decided()
    followed, head = follow(Head.start(), bodies(world), world.epochs)
    assert head == world.ledger.head
    assert [update.statement.sequence for update in followed] == [0, 1, 2, 3]
    assert follow(head, [], world.epochs) == ([], head)


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [0, 0, 1, 2], [0, 2, 3], [1, 2, 3], [0, 1, 2, 3, 3]])
def test_no_update_may_be_missing_doubled_or_exchanged(order: list[int]) -> None:
    """Strictly by sequence."""
    world = decided()
    data = bodies(world)
    with pytest.raises(UpdateError):
        follow(Head.start(), [data[number] for number in order], world.epochs)


def test_an_update_of_another_history_does_not_follow() -> None:
    """The same sequence, another predecessor."""
    world, fork = decided(), decided(label="fork")
    with pytest.raises(UpdateError):
        follow(Head.start(), [bodies(world)[0], bodies(fork)[1]], world.epochs)


def test_a_journal_root_over_another_past_does_not_follow() -> None:
    """The predecessor alone is not enough: the root is over all statements before it."""
    world = decided()
    _, head = follow(Head.start(), bodies(world)[:2], world.epochs)
    other = replace(head, frontier=Frontier().append(ZERO_HASH).append(head.statement_hash))
    with pytest.raises(UpdateError):
        follow(other, bodies(world)[2:], world.epochs)


@pytest.mark.parametrize("change", ["rubbish", "longer", "outputs", "salt", "statement"])
def test_an_update_that_is_not_whole_does_not_follow(change: str) -> None:
    """Its content is checked as well as its place."""
    world = decided()
    update = world.updates[0]
    bad = {
        "rubbish": b"rubbish",
        "longer": update.to_bytes() + b"\0",
        "outputs": replace(update, outputs=(b'"altered"',)).to_bytes(),
        "salt": replace(update, salt=ZERO_HASH).to_bytes(),
        "statement": Update(
            statement=world.updates[1].statement,
            header=update.header,
            salt=update.salt,
            entries=update.entries,
            outcomes=update.outcomes,
            outputs=update.outputs,
            values=update.values,
        ).to_bytes(),
    }[change]
    with pytest.raises(UpdateError):
        follow(Head.start(), [bad], world.epochs)
