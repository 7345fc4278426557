"""Statements follow one another: each names the one before it, and the whole journal."""

from dataclasses import replace
from typing import Any

import pytest

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
