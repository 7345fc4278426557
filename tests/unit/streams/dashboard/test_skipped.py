"""Messages that nobody could use: what counts as such, for how many readers, and what is said of them."""

from typing import Any

import pytest

from streams.dashboard.board import Board, LedgerFacts
from streams.dashboard.exposition import exposition
from tests.measures import REPLICAS, MeasuredLine

FACTS = LedgerFacts(ledger_id=bytes(32), epoch=0, n=REPLICAS, b=1, c=0, k=3, window=64)


def snapshot(more: dict[str, dict[str, float]], seconds: int = 5, foreign: int = 0) -> dict[str, Any]:
    """A working line whose processes say this, too, from its third second on."""
    board, line = Board(FACTS, 0), MeasuredLine()
    for second in range(1, seconds + 1):
        if second == 3:
            line.more = more
        for metrics in line.say(1_000 * second):
            board.take_metrics(metrics, 1_000 * second)
    for _ in range(foreign):
        board.take_metrics(None, 1_000 * seconds)
    return board.snapshot(1_000 * seconds)


def test_where_everything_is_used_nothing_is_said() -> None:
    """Counters that are there and stand at nothing, and counters that are not."""
    zeros = {"order.skipped": 0.0, "order.unanswered": 0, "order.unauthenticated": 5}
    assert snapshot({"auditor": zeros})["skipped"] == []


def test_requests_that_are_none_are_counted_with_what_to_do() -> None:
    """So many since the Auditor was started, and of late; whoever sent them finds out how a request begins."""
    (told,) = snapshot({"auditor": {"order.skipped": 12}}, seconds=10)["skipped"]
    assert (told["who"], told["topic"], told["messages"], told["late"]) == ("auditor", "requests", 12, 12)
    assert told["text"].startswith("12 messages are no requests at all, and their senders are told nothing (12 of them")
    assert "ten bytes of framing" in told["text"]


def test_what_is_over_is_said_with_its_number_of_late() -> None:
    """A minute later nothing has been added; the count stays."""
    (told,) = snapshot({"auditor": {"order.skipped": 1}}, seconds=90)["skipped"]
    assert (told["messages"], told["late"]) == (1, 0)
    assert told["text"].startswith("1 message is no requests at all")


def test_replicas_read_the_same_messages() -> None:
    """They are counted once, by whoever counted most."""
    more = {"replica-1": {"replica.skipped": 2.0}, "replica-2": {"replica.skipped": 3.0}}
    (told,) = snapshot(more)["skipped"]
    assert (told["who"], told["topic"], told["messages"]) == ("replica-2", "decisions", 3)


MEASURES = {
    "order.unanswered": ("auditor", "requests"),
    "commit.skipped": ("ledger", "orders"),
    "validate.skipped": ("auditor", "results"),
    "learn.skipped": ("learner", "pieces"),
    "learn.evidence_too_large": ("learner", "evidence"),
    "views.skipped": ("views", "learned"),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_each_reader_has_its_line(measure: str) -> None:
    """And each line is scraped."""
    who, topic = MEASURES[measure]
    shown = snapshot({who: {measure: 4}})
    (told,) = shown["skipped"]
    assert (told["who"], told["topic"], told["messages"]) == (who, topic, 4)
    label = f'countersign_skipped{{reader="{who}",topic="{topic}",what="{told["what"]}"}} 4'
    assert label in exposition(shown, []).splitlines()


def test_measures_of_nobody_are_counted() -> None:
    """By the dashboard itself, which reads them."""
    (told,) = snapshot({}, foreign=2)["skipped"]
    assert (told["who"], told["topic"], told["messages"], told["late"]) == ("dashboard", "metrics", 2, None)


def test_nobody_is_suspected_because_of_what_anybody_may_send() -> None:
    """Whoever may write to a topic makes any number of such messages."""
    more: dict[str, dict[str, float]] = {}
    for measure, (who, _) in MEASURES.items():
        more.setdefault(who, {})[measure] = 1_000_000
    assert snapshot(more)["suspected"] == []
