"""Statements follow one another: each names the one before it, and the whole journal."""

from dataclasses import replace
from typing import Any

import pytest

from protocol import merkle
from protocol.hashing import tagged
from protocol.journal import Head, JournalError
from schemas.order import OrderHeader
from schemas.statement import Statement
from tests.worlds import World


def statements(count: int) -> list[Statement]:
    """The first statements of a ledger."""
    world = World()
    head, made = Head.start(), []
    for number in range(count):
        order, _ = world.order(world.put("a", number))
        header = OrderHeader.from_bytes(order.header)
        made.append(head.next_statement(order.header, header, bytes(32)))
        head = head.advance(made[-1].to_bytes())
    return made


def test_each_follows_the_one_before() -> None:
    """From the start on."""
    head = Head.start()
    for statement in statements(4):
        head.check_follows(statement)
        head = head.advance(statement.to_bytes())
    assert head.sequence == 3


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sequence": 1}, "journal.sequence"),
        ({"sequence": 3}, "journal.sequence"),
        ({"previous_statement_hash": tagged("statement", b"another")}, "journal.predecessor"),
        ({"journal_root": bytes(32)}, "journal.root"),
    ],
)
def test_what_does_not_follow(changes: dict[str, Any], code: str) -> None:
    """A gap, a repetition, another predecessor, another past."""
    *before, last = statements(3)
    head = Head.start()
    for statement in before:
        head = head.advance(statement.to_bytes())
    head.check_follows(last)
    with pytest.raises(JournalError) as caught:
        head.check_follows(replace(last, **changes))
    assert caught.value.code == code


def test_a_head_comes_back_from_its_bytes() -> None:
    """Before the first statement and behind it; its frontier has a leaf for each statement, or it is damaged."""
    head = Head.start()
    assert (head.sequence, Head.from_bytes(head.to_bytes())) == (-1, head)
    for statement in statements(3):
        before, head = head, head.advance(statement.to_bytes())
        assert Head.from_bytes(head.to_bytes()) == head
        with pytest.raises(ValueError, match="over a journal"):
            Head.from_bytes(before.to_bytes()[:8] + head.to_bytes()[8:])


def test_a_statement_repeats_its_header_and_names_the_head() -> None:
    """Every field: what its order says, the outcomes' root, and the journal before it."""
    world = World()
    order, update = world.order(world.put("a", 1))
    header = OrderHeader.from_bytes(order.header)
    second = replace(header, sequence=1, kind="audit", count=5, epoch=3)
    head = Head.start().advance(update.statement)
    outcomes_root = tagged("salt", b"outcomes")
    assert head.next_statement(second.to_bytes(), second, outcomes_root) == Statement(
        format=1,
        ledger_id=world.ledger_id,
        epoch=3,
        sequence=1,
        order_hash=tagged("order", second.to_bytes()),
        outcomes_root=outcomes_root,
        count=5,
        ordered_at_ms=header.ordered_at_ms,
        kind="audit",
        previous_statement_hash=tagged("statement", update.statement),
        journal_root=merkle.root([tagged("statement", update.statement)]),
    )
    with pytest.raises(AssertionError):
        head.next_statement(order.header, header, outcomes_root)
